"""The command `record`: write what comes over OpenIGTLink into a case folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from ..igtl.sockets import DEFAULT_PORT
from .console import print_text
from .options import DialectOption


def record(
    out: Annotated[Path, typer.Option(help="Folder of the case; created if it does not exist.")],
    host: Annotated[
        str, typer.Option(help="Address of the OpenIGTLink server: PLUS, a scanner, a replay.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the server.")] = DEFAULT_PORT,
    duration: Annotated[
        Optional[float], typer.Option(min=0, metavar="SECONDS", help="Duration of the recording.")
    ] = None,
    max_gb: Annotated[Optional[float], typer.Option(min=0, metavar="GB", help="Maximum size of the recording.")] = None,
    peer: DialectOption = "plus",
    live: Annotated[
        bool, typer.Option("--live-volumes", help="Have PLUS reconstruct a volume, and request it every second.")
    ] = False,
) -> None:
    """Record OpenIGTLink messages into a case folder.

    Ctrl-C ends it with exit code 0.
    """
    from ..igtl.dialects import dialect_named
    from .recording_progress import record_case

    for line in record_case(host, port, out, duration, max_gb, peer=dialect_named(peer), live_volumes=live):
        print_text(line)
