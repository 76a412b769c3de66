"""Recordings: played, made, and turned into volumes."""

from __future__ import annotations

import ipaddress
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..igtl.sockets import DEFAULT_PORT
from .app import CalibrationOption, DeviceOption, FrameOption
from .console import bars, tell

if TYPE_CHECKING:
    from ..recording.player import ReplayEvent

EXPOSED = "Note: whoever reaches {host} over the network can connect; OpenIGTLink knows no passwords."
DialectOption = Annotated[
    str, typer.Option(help="Who is at the other end: plus and slicer count in RAS, custusx in LPS.", metavar="NAME")
]


def replay(
    source: Annotated[Path, typer.Argument(metavar="CASE", help="Case folder, tracked sweep (.igs.mha), or volume.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine need e.g. 0.0.0.0.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = DEFAULT_PORT,
    speed: Annotated[float, typer.Option(help="2 plays twice as fast.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Start again at the end.")] = False,
    calibration: CalibrationOption = None,
    peer: DialectOption = "plus",
) -> None:
    """Play a recorded case over OpenIGTLink until Ctrl-C, which ends it with exit code 0."""
    from ..igtl.dialects import dialect_named
    from ..recording.player import run_replay

    if not (speed > 0 and math.isfinite(speed)):
        raise typer.BadParameter("must be above 0", param_hint="--speed")

    def show(event: ReplayEvent) -> None:
        tell(event.text)
        if event.kind == "listening" and not _is_loopback(host):
            tell(EXPOSED.format(host=host), err=True)

    run_replay(source, host, port, speed, loop, show, calibration=calibration, frame=dialect_named(peer).frame)


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


def recover(folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the recording.")]) -> None:
    """Make a case of a recording that was ended by force."""
    from .recording_progress import recover_case

    for line in recover_case(folder):
        tell(line)


def reconstruct(
    sweep: Annotated[Path, typer.Argument(help="Tracked 2D frames (.igs.mha .igs.nrrd), or a recorded case.")],
    out: Annotated[Path, typer.Option(help="Volume to write (.nrrd .nii.gz .mha).")],
    calibration: CalibrationOption = None,
    frame: FrameOption = "Reference",
    device: DeviceOption = None,
    pairing: Annotated[
        Optional[str],
        typer.Option("--pair", metavar="WAY", help="Of a recorded case: poses to frames by time or by arrival."),
    ] = None,
    image_frame: Annotated[
        Optional[str], typer.Option(metavar="NAME", help="Coordinate frame of the pixels, such as CroppedImage.")
    ] = None,
    ignore: Annotated[
        Optional[list[str]], typer.Option(metavar="NAME", help="A transform that must not be used; may be repeated.")
    ] = None,
    spacing: Annotated[
        Optional[float], typer.Option(help="Voxel size in mm; default: the calibration's, or 1.")
    ] = None,
    compounding: Annotated[
        Optional[str], typer.Option(help="Of several pixels in a voxel: mean, maximum or latest.", metavar="MODE")
    ] = None,
    linear: Annotated[
        Optional[bool],
        typer.Option("--linear/--nearest", help="Share each pixel among eight voxels; slower. Default: nearest."),
    ] = None,
    fill_holes: Annotated[
        Optional[bool], typer.Option("--fill-holes/--keep-holes", help="Close gaps between frames. Default: yes.")
    ] = None,
) -> None:
    """Make a 3D volume of a tracked 2D sweep."""
    from ..recording.frame_pairing import ARRIVAL, TIME
    from ..recording.reconstruct import Choices, Settings, reconstruct_file
    from ..tracking.sweeps.volume_builder import Compounding, Interpolation

    if pairing not in (None, TIME, ARRIVAL):
        raise typer.BadParameter(f"choose {TIME} or {ARRIVAL}", param_hint="--pair")
    modes = {mode.name.lower(): mode for mode in Compounding}
    if compounding is not None and compounding.lower() not in modes:
        raise typer.BadParameter(f"choose one of {', '.join(modes)}", param_hint="--compounding")
    if spacing is not None and not (spacing > 0 and math.isfinite(spacing)):
        raise typer.BadParameter("must be above 0", param_hint="--spacing")
    ways = {None: None, True: Interpolation.LINEAR, False: Interpolation.NEAREST}
    settings = Settings(
        spacing,
        modes[compounding.lower()] if compounding else None,
        ways[linear],
        fill_holes,
        frame,
        image_frame,
        tuple(ignore or ()),
    )
    with bars() as on_progress:
        lines = reconstruct_file(sweep, out, calibration, settings, on_progress, Choices(device, pairing))
    for line in lines:
        tell(line)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
