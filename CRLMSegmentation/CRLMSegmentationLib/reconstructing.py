"""From the file of a tracked sweep, or a recorded case, to a volume."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .core.case import Case
from .core.errors import SweepError
from .core.volume import VOLUME_SUFFIXES, Volume, infer_swept, write_volume
from .driver import OnProgress
from .outputs import check_places, whole_files
from .replay.sweep_messages import Sweep
from .replay.sweep_of_case import sweep_of_messages
from .replay.timeline import load_source, timeline
from .sweeps.calibration import Calibration, read_calibration
from .sweeps.reconstruction import (
    IMAGE_FRAME,
    Compounding,
    FramePoses,
    Interpolation,
    place_frames,
    reconstruct_sweep,
)
from .sweeps.transforms import touches

DEFAULT_SPACING_MM = 1.0
RECONSTRUCTING = "Reconstructing"


@dataclass(frozen=True)
class Settings:
    """How a sweep becomes a volume; None leaves it to the calibration's own file, else to the default.

    Attributes:
        spacing_mm: of the voxels; default 1 mm.
        compounding: default MEAN.
        interpolation: default NEAREST.
        fill_holes: default yes.
    """

    spacing_mm: float | None = None
    compounding: Compounding | None = None
    interpolation: Interpolation | None = None
    fill_holes: bool | None = None


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """A volume, and what became of the frames."""

    volume: Volume
    poses: FramePoses
    seconds: float

    def lines(self) -> list[str]:
        """For a terminal."""
        volume = self.volume
        size = " x ".join(map(str, volume.shape_ijk))
        spacing = " x ".join(f"{x:g}" for x in volume.spacing_mm)
        filled = 100 * np.count_nonzero(volume.swept) / volume.swept.size
        return [f"{self.poses}", f"{size} voxels of {spacing} mm, {filled:.0f} % filled, in {self.seconds:.1f} s"]


def load_sweep(path: Path, calibration: str | Path | None = None) -> Sweep:
    """Read the sweep of a file or of a recorded case.

    Args:
        calibration: see `read_calibration`; None where the sweep has its own.

    Raises:
        SweepError, CaseError, VolumeError: it is no sweep, or damaged.
    """
    known = None if calibration is None else read_calibration(calibration)
    source = load_source(path, known)
    if isinstance(source, Sweep):
        return source
    if isinstance(source, Case):
        return Sweep(sweep_of_messages(source, timeline(source)), known)
    raise SweepError(f"{path} is a volume already; give a sequence of tracked 2D frames (.igs.mha), or a recorded case")


def reconstruct(
    sweep: Sweep, settings: Settings = Settings(), on_progress: OnProgress = lambda *_: None
) -> Reconstructed:
    """Make the volume of a sweep.

    Raises:
        SweepError: no frame can be placed, or the volume would be too large.
    """
    started_s, known = time.monotonic(), sweep.calibration
    check_calibrated(sweep)
    poses = place_frames(sweep.sequence, known)
    volume = reconstruct_sweep(
        sweep.sequence,
        known,
        settings.spacing_mm or (known and known.output_spacing_mm) or DEFAULT_SPACING_MM,
        settings.compounding or _compounding_of(known),
        _fill_holes(settings, known),
        lambda done, total: on_progress(RECONSTRUCTING, done, total),
        interpolation=settings.interpolation or _interpolation_of(known),
        poses=poses,
    )
    # Frames also hold the black around the scanner's sector, which shows no tissue.
    volume = replace(volume, swept=volume.swept & infer_swept(volume.array))
    return Reconstructed(volume, poses, time.monotonic() - started_s)


def check_calibrated(sweep: Sweep) -> None:
    """Make sure that the place of its pixels is known.

    Raises:
        SweepError: it is not.
    """
    if sweep.calibration is None and not any(touches(name, IMAGE_FRAME) for name in sweep.sequence.transforms):
        raise SweepError(
            f"{sweep.sequence.name} does not say where its pixels lie; give the probe's ImageToProbe with --calibration"
        )


def reconstruct_file(
    path: Path,
    out: Path,
    calibration: str | Path | None = None,
    settings: Settings = Settings(),
    on_progress: OnProgress = lambda *_: None,
) -> list[str]:
    """Write the volume of a sweep, and return a summary in lines for a terminal.

    Raises:
        CrlmError: see the kinds in `core.errors`.
    """
    if not out.name.lower().endswith(VOLUME_SUFFIXES):
        raise SweepError(f"{out.name}: write the volume as one of {' '.join(VOLUME_SUFFIXES)}")
    check_places([out], inputs=[path])
    sweep = load_sweep(path, calibration)
    with whole_files([out]) as (unfinished,):
        made = reconstruct(sweep, settings, on_progress)
        write_volume(made.volume, unfinished)
    return [*made.lines(), f"Volume: {out}"]


def _compounding_of(calibration: Calibration | None) -> Compounding:
    word = (calibration and calibration.compounding) or Compounding.MEAN.value
    return next((mode for mode in Compounding if mode.value == word.upper()), Compounding.MEAN)


def _interpolation_of(calibration: Calibration | None) -> Interpolation:
    word = (calibration and calibration.interpolation) or Interpolation.NEAREST.value
    return next((mode for mode in Interpolation if mode.value == word.upper()), Interpolation.NEAREST)


def _fill_holes(settings: Settings, calibration: Calibration | None) -> bool:
    wanted = [settings.fill_holes, calibration.fill_holes if calibration else None, True]
    return next(choice for choice in wanted if choice is not None)
