"""The command `reconstruct`: make a 3D volume of a tracked 2D sweep."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Optional

import typer

from .console import bars, print_text
from .options import CalibrationOption, DeviceOption, FrameOption


def reconstruct(
    sweep: Annotated[Path, typer.Argument(help="Tracked 2D frames (.igs.mha .igs.nrrd), or a recorded case.")],
    out: Annotated[Path, typer.Option(help="Volume to write (.nrrd .nii.gz .mha).")],
    calibration: CalibrationOption = None,
    frame: FrameOption = "Reference",
    device: DeviceOption = None,
    pairing: Annotated[
        Optional[str],
        typer.Option(
            "--pair", metavar="WAY", help="For a recorded case: pair poses with frames by time or by arrival."
        ),
    ] = None,
    image_frame: Annotated[
        Optional[str], typer.Option(metavar="NAME", help="Coordinate frame of the pixels, such as CroppedImage.")
    ] = None,
    ignore: Annotated[
        Optional[list[str]], typer.Option(metavar="NAME", help="Transform that must not be used; may be repeated.")
    ] = None,
    spacing: Annotated[
        Optional[float], typer.Option(help="Voxel size in mm; default: the calibration's, or 1.")
    ] = None,
    compounding: Annotated[
        Optional[str],
        typer.Option(help="Value of a voxel with several pixels: mean, maximum or latest.", metavar="MODE"),
    ] = None,
    linear: Annotated[
        Optional[bool],
        typer.Option("--linear/--nearest", help="Distribute each pixel over eight voxels; slower. Default: nearest."),
    ] = None,
    fill_holes: Annotated[
        Optional[bool], typer.Option("--fill-holes/--keep-holes", help="Fill gaps between frames. Default: yes.")
    ] = None,
) -> None:
    """Reconstruct a 3D volume from a tracked 2D sweep."""
    from ..recording.frame_pairing import ARRIVAL, TIME
    from ..recording.reconstruct import Choices, ReconstructionSettings, reconstruct_file
    from ..tracking.sweeps.volume_builder import Compounding, Interpolation

    if pairing not in (None, TIME, ARRIVAL):
        raise typer.BadParameter(f"choose {TIME} or {ARRIVAL}", param_hint="--pair")
    modes = {mode.name.lower(): mode for mode in Compounding}
    if compounding is not None and compounding.lower() not in modes:
        raise typer.BadParameter(f"choose one of {', '.join(modes)}", param_hint="--compounding")
    if spacing is not None and not (spacing > 0 and math.isfinite(spacing)):
        raise typer.BadParameter("must be above 0", param_hint="--spacing")
    ways = {None: None, True: Interpolation.LINEAR, False: Interpolation.NEAREST}
    settings = ReconstructionSettings(
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
        print_text(line)
