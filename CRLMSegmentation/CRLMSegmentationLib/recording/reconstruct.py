"""Reconstructs a volume from the file of a tracked sweep, or from a recorded case."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..core.errors import SweepError
from ..core.field_of_view import infer_field_of_view
from ..core.output_files import atomic_files, check_output_paths
from ..core.progress import OnProgress
from ..core.text import printable
from ..core.volume import Volume, write_volume
from ..core.volume_files import VOLUME_SUFFIXES
from ..tracking.sweeps.calibration import ProbeCalibration, read_calibration
from ..tracking.sweeps.colours import colour_notes
from ..tracking.sweeps.placement import REFERENCE, FramePoses, place_frames
from ..tracking.sweeps.reconstruction import reconstruct_sweep
from ..tracking.sweeps.volume_builder import DEVICE, Compounding, Interpolation
from .case import Case
from .recorded_sweep import sweep_of_messages
from .sweep_messages import RecordedSweep
from .timeline import load_source, timeline

DEFAULT_SPACING_MM = 1.0
MAX_NOTE = 600
RECONSTRUCTING = "Reconstructing"
COMPOUNDING_ADVICE = "choose one with --compounding of crlm-seg reconstruct, or correct CompoundingMode"
INTERPOLATION_ADVICE = "choose with --linear or --nearest of crlm-seg reconstruct, or correct Interpolation"
Mode = TypeVar("Mode", Compounding, Interpolation)


@dataclass(frozen=True)
class ReconstructionSettings:
    """The options of a reconstruction; None takes what the calibration file says, else the default.

    Attributes:
        spacing_mm: of the voxels; default 1 mm.
        compounding: default MEAN.
        interpolation: default NEAREST.
        fill_holes: default yes.
        frame: the coordinate frame of the volume.
        image_frame: the coordinate frame of the pixels; None finds it by the transforms.
        ignored: transforms that must not be used.
    """

    spacing_mm: float | None = None
    compounding: Compounding | None = None
    interpolation: Interpolation | None = None
    fill_holes: bool | None = None
    frame: str = REFERENCE
    image_frame: str | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choices:
    """What to use of a recording; for None the program decides and reports why.

    Attributes:
        device: whose images are the ultrasound.
        pairing: how poses are assigned to frames, "time" or "arrival".
    """

    device: str | None = None
    pairing: str | None = None


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """A reconstructed volume, and how many frames went into it.

    Attributes:
        notes: what was decided and why, as sentences for a user.
    """

    volume: Volume
    poses: FramePoses
    seconds: float
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return a summary for a terminal."""
        volume = self.volume
        size = " x ".join(map(str, volume.shape_ijk))
        spacing = " x ".join(f"{x:g}" for x in volume.spacing_mm)
        filled = (
            0.0 if volume.insonified is None else 100 * np.count_nonzero(volume.insonified) / volume.insonified.size
        )
        return [
            f"{self.poses}",
            *(f"Note: {printable(note, MAX_NOTE)}" for note in self.notes),
            f"{size} voxels of {spacing} mm, {filled:.0f} % filled, in {self.seconds:.1f} s",
        ]


def load_sweep(
    path: Path, calibration: str | Path | None = None, choices: Choices = Choices(), frame: str = REFERENCE
) -> RecordedSweep:
    """Read the sweep of a file or of a recorded case.

    Args:
        calibration: see `read_calibration`; None where the sweep has its own.
        choices: of a recorded case; a file holds one stream of images with its poses.
        frame: in which it is to be placed.

    Raises:
        SweepError, CaseError, VolumeError: it is no sweep, or damaged.
    """
    known = None if calibration is None else read_calibration(calibration)
    source = load_source(path, known)
    if isinstance(source, RecordedSweep):
        return source
    if isinstance(source, Case):
        messages = timeline(source)
        return RecordedSweep(sweep_of_messages(source, messages, choices.device, known, choices.pairing, frame), known)
    raise SweepError(f"{path} is a volume already; give a sequence of tracked 2D frames (.igs.mha), or a recorded case")


def reconstruct(
    sweep: RecordedSweep,
    settings: ReconstructionSettings = ReconstructionSettings(),
    on_progress: OnProgress = lambda *_: None,
) -> Reconstructed:
    """Reconstruct the volume of a sweep.

    Raises:
        SweepError: no frame can be placed, or the volume would be too large.
    """
    started_s, known = time.monotonic(), sweep.calibration
    poses = place_frames(sweep.sequence, known, settings.frame, settings.image_frame, settings.ignored)
    spacing_mm, told = _spacing(settings, known)
    compounding = settings.compounding or _named(Compounding, known.compounding if known else None, COMPOUNDING_ADVICE)
    interpolation = settings.interpolation or _named(
        Interpolation, known.interpolation if known else None, INTERPOLATION_ADVICE
    )
    fills = _fill_holes(settings, known)
    volume = reconstruct_sweep(
        sweep.sequence,
        known,
        spacing_mm,
        compounding,
        fills,
        lambda done, total: on_progress(RECONSTRUCTING, done, total),
        interpolation=interpolation,
        poses=poses,
        device=device_in(settings.frame),
    )
    # Frames also hold the black around the scanner's sector, which shows no tissue.
    shown = infer_field_of_view(volume.array)
    volume = replace(volume, insonified=shown if volume.insonified is None else volume.insonified & shown)
    notes = [
        *poses.notes,
        *colour_notes(sweep.sequence.frames, poses.accepted),
        f"placed in {poses.frame} by {poses.way}; {_image_size(poses, sweep)}",
        f"{told}, {compounding.name.lower()} of the pixels in a voxel, {interpolation.name.lower()} voxel, "
        f"gaps between frames {'closed' if fills else 'kept'}",
        *volume.field_of_view_warnings,
    ]
    return Reconstructed(volume, poses, time.monotonic() - started_s, tuple(notes))


def device_in(frame: str) -> str:
    """Return the name that PLUS gives to a volume that was reconstructed in a frame."""
    return f"{DEVICE.rpartition('_')[0]}_{frame}"


def _image_size(poses: FramePoses, sweep: RecordedSweep) -> str:
    """Return the size of a pixel and of the image, which shows a calibration in a wrong unit."""
    first = poses.matrices[np.flatnonzero(poses.accepted)[0]]
    pixel_mm = np.linalg.norm(first[:3, :2], axis=0)
    rows, columns = sweep.sequence.frames.shape[1:3]
    width_mm, height_mm = pixel_mm * (columns, rows)
    known = sweep.calibration
    parts = {} if known is None else {"clip rectangle": known.clip, "fan": known.fan}
    used = [what for what, part in parts.items() if part is not None]
    return (
        f"pixels of {pixel_mm[0]:.3g} x {pixel_mm[1]:.3g} mm, picture {width_mm:.3g} x {height_mm:.3g} mm, "
        f"{' and '.join(used) + ' of the configuration' if used else 'all of it'} used"
    )


def _spacing(
    settings: ReconstructionSettings, known: ProbeCalibration | None
) -> tuple[float | tuple[float, float, float], str]:
    """Return the spacing of the voxels, and where it came from."""
    if settings.spacing_mm:
        return settings.spacing_mm, "spacing as --spacing says"
    if known is not None and known.output_spacing_mm:
        return known.output_spacing_mm, "spacing of the configuration"
    return DEFAULT_SPACING_MM, f"spacing {DEFAULT_SPACING_MM:g} mm by default"


def check_calibrated(sweep: RecordedSweep) -> None:
    """Refuse a sweep whose pixels have no known position in Reference.

    Raises:
        SweepError: it is not.
    """
    place_frames(sweep.sequence, sweep.calibration)


def reconstruct_file(
    path: Path,
    out: Path,
    calibration: str | Path | None = None,
    settings: ReconstructionSettings = ReconstructionSettings(),
    on_progress: OnProgress = lambda *_: None,
    choices: Choices = Choices(),
) -> list[str]:
    """Write the volume of a sweep, and return a summary in lines for a terminal.

    Raises:
        CrlmError: see the kinds in `core.errors`.
    """
    if not out.name.lower().endswith(VOLUME_SUFFIXES):
        raise SweepError(f"{out.name}: write the volume as one of {' '.join(VOLUME_SUFFIXES)}")
    check_output_paths([out], inputs=[path])
    sweep = load_sweep(path, calibration, choices, settings.frame)
    with atomic_files([out]) as (unfinished,):
        made = reconstruct(sweep, settings, on_progress)
        write_volume(made.volume, unfinished)
    return [*made.lines(), f"Volume: {out}"]


def _named(kind: type[Mode], word: str | None, advice: str) -> Mode:
    """Return the mode that a configuration names, or the first one, which is the default.

    Raises:
        SweepError: there is no such mode here.
    """
    modes = list(kind)
    found = next((mode for mode in modes if word is None or mode.value == word.strip().upper()), None)
    if found is None:
        word = word or ""
        known = ", ".join(mode.value for mode in modes)
        raise SweepError(f"the configuration asks for {kind.__name__} '{word[:40]}', known are {known}; {advice}")
    return found


def _fill_holes(settings: ReconstructionSettings, calibration: ProbeCalibration | None) -> bool:
    wanted = [settings.fill_holes, calibration.fill_holes if calibration else None, True]
    return next(choice for choice in wanted if choice is not None)
