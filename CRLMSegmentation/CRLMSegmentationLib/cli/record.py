"""The command `record`: write what comes over OpenIGTLink into a case folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from ..igtl.sockets import DEFAULT_PORT
from .console import tell
from .options import DialectOption


def record(
    out: Annotated[Path, typer.Option(help="Folder of the case; made if need be.")],
    host: Annotated[str, typer.Option(help="Where the sender listens: PLUS, a scanner, a replay.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port.")] = DEFAULT_PORT,
    duration: Annotated[Optional[float], typer.Option(min=0, metavar="SECONDS", help="End after so long.")] = None,
    max_gb: Annotated[Optional[float], typer.Option(min=0, metavar="GB", help="End when so much is recorded.")] = None,
    peer: DialectOption = "plus",
    live: Annotated[
        bool, typer.Option("--live-volumes", help="Have PLUS reconstruct a volume, and ask for it every second.")
    ] = False,
) -> None:
    """Record what comes over OpenIGTLink into a case folder until Ctrl-C, which ends it with exit code 0."""
    from ..igtl.dialects import dialect_named
    from .recording_progress import record_case

    for line in record_case(host, port, out, duration, max_gb, peer=dialect_named(peer), live_volumes=live):
        tell(line)
