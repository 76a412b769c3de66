"""The command `replay`: play a recording over OpenIGTLink."""

from __future__ import annotations

import ipaddress
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..igtl.sockets import DEFAULT_PORT
from .console import print_text
from .options import CalibrationOption, DialectOption

if TYPE_CHECKING:
    from ..recording.player import ReplayEvent

EXPOSED = "Note: whoever reaches {host} over the network can connect; OpenIGTLink knows no passwords."


def replay(
    source: Annotated[Path, typer.Argument(metavar="CASE", help="Case folder, tracked sweep (.igs.mha), or volume.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for connections from other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")] = DEFAULT_PORT,
    speed: Annotated[float, typer.Option(help="Speed factor; 2 plays twice as fast.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Start again at the end.")] = False,
    calibration: CalibrationOption = None,
    peer: DialectOption = "plus",
) -> None:
    """Play a recorded case over OpenIGTLink.

    Ctrl-C ends it with exit code 0.
    """
    from ..igtl.dialects import dialect_named
    from ..recording.player import run_replay

    if not (speed > 0 and math.isfinite(speed)):
        raise typer.BadParameter("must be above 0", param_hint="--speed")

    def show(event: ReplayEvent) -> None:
        print_text(event.text)
        if event.kind == "listening" and not _is_loopback(host):
            print_text(EXPOSED.format(host=host), err=True)

    run_replay(source, host, port, speed, loop, show, calibration=calibration, frame=dialect_named(peer).frame)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
