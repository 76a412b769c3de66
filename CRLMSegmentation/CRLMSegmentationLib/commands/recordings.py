"""Recordings: played, made, and turned into volumes."""

from __future__ import annotations

import ipaddress
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..igtl.sockets import DEFAULT_PORT

if TYPE_CHECKING:
    from ..replay.player import ReplayEvent

EXPOSED = "Note: whoever reaches {host} over the network can connect; OpenIGTLink knows no passwords."


def replay(
    case: Annotated[Path, typer.Argument(help="Case folder, or a volume (.nrrd .mha .nii.gz).")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine need e.g. 0.0.0.0.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = DEFAULT_PORT,
    speed: Annotated[float, typer.Option(help="2 plays twice as fast.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Start again at the end.")] = False,
) -> None:
    """Play a recorded case over OpenIGTLink until Ctrl-C, which ends it with exit code 0."""
    from ..replay.player import run_replay

    if not (speed > 0 and math.isfinite(speed)):
        raise typer.BadParameter("must be above 0", param_hint="--speed")

    def show(event: ReplayEvent) -> None:
        typer.echo(event.text)
        if event.kind == "listening" and not _is_loopback(host):
            typer.echo(EXPOSED.format(host=host), err=True)

    run_replay(case, host, port, speed, loop, show)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
