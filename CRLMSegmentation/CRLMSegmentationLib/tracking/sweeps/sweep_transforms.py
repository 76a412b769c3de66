"""The transforms of a sweep, tracked and calibrated, over all of its frames."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from ...core.errors import SweepError
from ...core.geometry import rigid_fault, transform_fault
from ..transforms import STATUS_OK, frames_of
from .calibration import IMAGE_TO_PROBE, ProbeCalibration
from .pixel_frame import PixelFrame
from .sequence import TrackedSequence, TransformTrack

IGNORE_OPTION = "--ignore"
MAX_DISAGREEMENT_MM = 1.0
"""Two chains from the same pixels to the same frame may differ by so much at a corner of the image."""


class SweepTransforms:
    """All transforms of a sweep over its frames: tracked and calibrated ones."""

    def __init__(
        self, sequence: TrackedSequence, tracks: Mapping[str, TransformTrack], fixed: Mapping[str, np.ndarray]
    ) -> None:
        self.sequence, self.tracks, self.fixed = sequence, tracks, fixed

    def __len__(self) -> int:
        return len(self.sequence)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.tracks) | frozenset(self.fixed)

    def matrices(self, name: str, backwards: bool) -> np.ndarray:
        """Return the matrices, shape (N, 4, 4), or (1, 4, 4) of a calibration; the identity where not OK."""
        if name not in self.tracks:
            matrices = self.fixed[name][None]
        else:
            track = self.tracks[name]
            is_ok = np.array([status == STATUS_OK for status in track.statuses])
            matrices = np.where(is_ok[:, None, None], track.matrices, np.eye(4))
        if not backwards:
            return matrices
        is_singular = np.abs(np.linalg.det(matrices)) < 1e-12
        return np.linalg.inv(np.where(is_singular[:, None, None], np.eye(4), matrices))

    def status(self, name: str, number: int) -> str:
        return self.tracks[name].statuses[number] if name in self.tracks else STATUS_OK

    def unusable(self, name: str, is_pose: bool) -> np.ndarray:
        """Return for each frame whether the matrix is invalid: bool, shape (N,)."""
        if name not in self.tracks:
            return np.zeros(len(self), bool)
        return ~(is_rigid if is_pose else is_invertible)(self.tracks[name].matrices)


def is_invertible(matrices: np.ndarray) -> np.ndarray:
    """Return whether matrices, shape (N, 4, 4), are invertible, by `transform_fault`; bool, shape (N,)."""
    return np.array([transform_fault(matrix) is None for matrix in matrices], bool)


def is_rigid(matrices: np.ndarray) -> np.ndarray:
    """Return whether matrices, shape (N, 4, 4), are rigid, by `rigid_fault`; bool, shape (N,)."""
    return np.array([rigid_fault(matrix) is None for matrix in matrices], bool)


def without_transforms(
    sequence: TrackedSequence, calibration: ProbeCalibration | None, ignored: Collection[str]
) -> tuple[TrackedSequence, ProbeCalibration | None]:
    """Remove the transforms that a user has excluded from sweep and calibration."""
    if not ignored:
        return sequence, calibration
    given = {} if calibration is None else calibration.transforms
    unknown = sorted(set(ignored) - set(sequence.transforms) - set(given))
    if unknown:
        raise SweepError(f"{IGNORE_OPTION} {unknown[0]}: {sequence.name} has no such transform")
    tracks = {name: track for name, track in sequence.transforms.items() if name not in ignored}
    if calibration is not None:
        fixed = {name: matrix for name, matrix in given.items() if name not in ignored}
        image_to_probe = None if IMAGE_TO_PROBE in ignored else calibration.image_to_probe
        calibration = replace(calibration, image_to_probe=image_to_probe, transforms=fixed)
    return replace(sequence, transforms=tracks), calibration


def join_transforms(
    sequence: TrackedSequence, calibration: ProbeCalibration | None, pixels: PixelFrame
) -> tuple[SweepTransforms, list[str]]:
    """Join tracked and calibrated transforms, each name once; return them with notes on names in both.

    A calibration decides where the image lies, the tracker where tools are.
    """
    tracks, fixed, notes = dict(sequence.transforms), dict(calibration.transforms if calibration else {}), []
    for name in sorted(set(tracks) & set(fixed)):
        is_tools = is_pose(name, pixels)
        valid = [m for m, status in zip(tracks[name].matrices, tracks[name].statuses) if status == STATUS_OK]
        rows, columns = sequence.frames.shape[1:3]
        corner = np.array([columns, rows, 0, 1])
        apart_mm = np.linalg.norm((fixed[name] - valid[0]) @ corner) if valid and not is_tools else 0.0
        if is_tools:
            notes.append(f"{name} of the configuration was not used: the sweep tracks it")
        elif apart_mm > MAX_DISAGREEMENT_MM:
            notes.append(
                f"{name} that was given differs from the {name} in the sweep by up to {apart_mm:.1f} mm; the given one "
                "was used"
            )
        (fixed if is_tools else tracks).pop(name)
    return SweepTransforms(sequence, tracks, fixed), notes


def is_pose(name: str, pixels: PixelFrame) -> bool:
    """Whether a transform is between tracked frames; one from an image contains the size of a pixel."""
    images = {frame for edit in pixels.edits for frame in frames_of(edit)} | {pixels.name}
    return not any(frame in images or "Image" in frame or "Pixel" in frame for frame in frames_of(name))


def frames_or_none(name: str) -> tuple[str, ...]:
    """Return the frames that a name contains; empty for a name without two frames."""
    try:
        return frames_of(name)
    except SweepError:
        return ()
