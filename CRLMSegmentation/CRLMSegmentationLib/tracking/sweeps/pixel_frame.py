"""The coordinate frame in which the pixels of a sweep are counted.

PLUS calls it Image. A tool that has cropped, flipped or scaled the images afterwards leaves a transform in the sweep
that leads from Image to the frame of the new pixels, such as ImageToCroppedImage. What such a transform does decides,
not how it is called: it takes whole images to images, and the pixels that are there must lie in the old image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ...core.errors import SweepError
from ..transforms import STATUS_OK, frames_of, leads, neighbours_of
from .calibration import ProbeCalibration
from .sequence import TrackedSequence

OPTION = "--image-frame"
TRANSDUCER = "TRANSD"
"""PLUS's frames Transducer, TransducerOrigin, TransducerOriginPixel and Transd lie at the probe's elements: no image
is counted in them."""
DISPLAY = re.compile("screen|display|monitor|viewport|viewer|canvas|widget|window|projector", re.IGNORECASE)
"""Frames in which a program may show the image while the pixels that it sends stay as they are."""
MILLIMETRE = (0.9, 1.1)
"""A frame whose unit is so many mm counts in mm; calibrated pixels differ from the scanner's word by some percent."""


@dataclass(frozen=True, eq=False)
class PixelFrame:
    """The coordinate frame of the pixels.

    Attributes:
        name: such as "Image" or "CroppedImage".
        to_calibrated: 4x4, pixels of the sweep to pixels of the image that was calibrated.
        edits: the transforms of the sweep that lead from that image to these pixels.
        note: why it was taken, a sentence for a user; empty where nothing had to be decided.
    """

    name: str
    to_calibrated: np.ndarray = field(default_factory=lambda: np.eye(4))
    edits: tuple[str, ...] = ()
    note: str = ""


def find_pixel_frame(sequence: TrackedSequence, calibration: ProbeCalibration | None, goal: str) -> PixelFrame:
    """Find the frame of the pixels by the edits in the sweep, from the frame of the calibrated image.

    Args:
        goal: the frame in which the pixels are to be placed, such as "Reference".

    Raises:
        SweepError: several frames come into question; says which, and which option decides.
    """
    fixed = {} if calibration is None else calibration.transforms
    start = _calibrated_frame(sequence, calibration, goal)
    names, to_start = [start], np.eye(4)
    edits: list[str] = []
    while True:
        _refuse_invalid_edit(sequence, names[-1], goal)
        found = {
            name: (other, matrix)
            for name, other, matrix in _steps(sequence, names[-1])
            if other not in names and _is_edit(name, other, matrix, names[-1], sequence, fixed, goal)
        }
        if not found:
            break
        if len(found) > 1:
            raise _undecided(sequence, [names[-1], *(other for other, _ in found.values())], ", ".join(sorted(found)))
        ((name, (other, matrix)),) = found.items()
        names, edits, to_start = [*names, other], [*edits, name], to_start @ np.linalg.inv(matrix)
    _refuse_edit_told_twice(sequence, fixed, start, names[-1], to_start)
    _refuse_changing_edits(sequence, calibration, edits)
    note = f"the pixels are in {names[-1]}, by {', '.join(edits)} of the sweep" if edits else ""
    if start != _usual(sequence, calibration):
        note = note or f"the pixels are in {start}, the only calibrated picture frame"
    return PixelFrame(names[-1], to_start, tuple(edits), note)


def named_pixel_frame(
    sequence: TrackedSequence, calibration: ProbeCalibration | None, name: str, goal: str
) -> PixelFrame:
    """Return the frame that a user has named, whatever edits the sweep has."""
    names = {*sequence.transforms, *(calibration.transforms if calibration else ())}
    known = sorted({frame for transform in names for frame, _ in _pair(transform)})
    if name not in known:
        raise SweepError(f"no transform leads from {name}; {OPTION} can be one of: {', '.join(known) or 'none'}")
    to_calibrated, edits = _way_back(sequence, name, _calibrated_frame(sequence, calibration, goal))
    return PixelFrame(name, to_calibrated, edits, f"the pixels are in {name}, as {OPTION} says")


def _way_back(sequence: TrackedSequence, pixels: str, calibrated: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the transform from the pixels to the calibrated image, and the edits between them."""
    frame, matrix, seen = pixels, np.eye(4), {pixels}
    edits: list[str] = []
    while frame != calibrated:
        steps = [s for s in _steps(sequence, frame) if s[1] not in seen and _keeps_the_image(s[2])]
        steps = [s for s in steps if s[1] == calibrated or leads(set(sequence.transforms) - {s[0]}, s[1], calibrated)]
        if not steps:
            return np.eye(4), ()
        name, frame, step = steps[0]
        matrix, edits, seen = step @ matrix, [*edits, name], seen | {frame}
    return matrix, tuple(edits)


def _usual(sequence: TrackedSequence, calibration: ProbeCalibration | None) -> str:
    return (calibration.image_frame if calibration else None) or sequence.image_frame


def _calibrated_frame(sequence: TrackedSequence, calibration: ProbeCalibration | None, goal: str) -> str:
    """Return the frame of the calibrated image: the usual one, else the only one that the calibration scales."""
    fixed = {} if calibration is None else calibration.transforms
    names = {*sequence.transforms, *fixed}
    for usual in dict.fromkeys([_usual(sequence, calibration), sequence.image_frame]):
        if any(usual == frame for name in names for frame, _ in _pair(name)):
            return usual
    candidates = sorted(
        {
            frames_of(name)[0]
            for name, matrix in fixed.items()
            if not _is_millimetres(np.linalg.norm(matrix[:3, :2], axis=0)) and leads(names, frames_of(name)[0], goal)
            if TRANSDUCER not in frames_of(name)[0].upper()
        }
    )
    if len(candidates) > 1:
        raise _undecided(sequence, candidates, "the calibration")
    return candidates[0] if candidates else _usual(sequence, calibration)


def _pair(name: str) -> list[tuple[str, str]]:
    """Return both frames of a transform, each with the other; nothing for a name without two frames."""
    try:
        start, goal = frames_of(name)
    except SweepError:
        return []
    return [(start, goal), (goal, start)]


def _steps(sequence: TrackedSequence, frame: str) -> list[tuple[str, str, np.ndarray]]:
    """Yield the transforms of the sweep at a frame: name, other frame, and the first valid matrix that leads there.

    The place that the sender has given to the pixels makes no other image of them.
    """
    tracks, steps = sequence.transforms, []
    for name, is_backwards, other in neighbours_of(set(tracks) - {sequence.placed}, frame):
        valid = [m for m, status in zip(tracks[name].matrices, tracks[name].statuses) if status == STATUS_OK]
        if valid and np.isfinite(valid[0]).all() and abs(np.linalg.det(valid[0])) > 1e-12:
            steps.append((name, other, np.linalg.inv(valid[0]) if is_backwards else valid[0]))
    return steps


def _is_edit(
    name: str,
    other: str,
    matrix: np.ndarray,
    frame: str,
    sequence: TrackedSequence,
    fixed: Mapping[str, np.ndarray],
    goal: str,
) -> bool:
    """Whether a transform of the sweep leads from one image to an edited copy of it.

    Raises:
        SweepError: it may be so or not.
    """
    tracks = set(sequence.transforms) - {name}
    if other == goal or TRANSDUCER in other.upper() or leads(tracks, other, goal) or not _keeps_the_image(matrix):
        return False
    names = {*tracks, *fixed}
    if _holds_the_pixels(matrix, sequence.frames.shape[2], sequence.frames.shape[1]):
        scale = np.linalg.norm(matrix[:3, :2], axis=0)
        if DISPLAY.search(other) and not np.allclose(matrix, np.eye(4)):
            raise _undecided(sequence, [frame, other], f"{name} may tell only how a picture is shown")
        return bool(np.abs(scale - 1).max() < 1e-3) or not _may_count_in_mm(sequence, fixed, other, scale)
    is_the_only_way = leads(names | {name}, frame, goal) and not leads(names, frame, goal)
    if is_the_only_way or np.allclose(matrix, np.eye(4)):
        return False  # such as ImageToImageFull before ImageFullToProbe: the pixels were cut out of the other image
    raise _undecided(sequence, [frame, other], name)


def _refuse_invalid_edit(sequence: TrackedSequence, frame: str, goal: str) -> None:
    """Refuse an edit, by its name, of which no frame has a valid matrix."""
    valid = {sequence.placed, *(name for name, _, _ in _steps(sequence, frame))}
    for name, _, other in neighbours_of(sequence.transforms, frame):
        if name not in valid and "IMAGE" in other.upper() and not leads(set(sequence.transforms) - {name}, other, goal):
            raise _undecided(sequence, [frame, other], f"{name} is valid in no frame")


def _keeps_the_image(matrix: np.ndarray) -> bool:
    """Whether a matrix only exchanges, flips, shifts or scales rows and columns, within the plane."""
    plane = np.abs(matrix[:2, :2]) > 1e-6
    off_plane = np.abs([*matrix[2, :2], *matrix[:2, 2], matrix[2, 3]]).max()
    return bool((plane.sum(0) == 1).all() and (plane.sum(1) == 1).all() and off_plane < 1e-6)


def _holds_the_pixels(matrix: np.ndarray, columns: int, rows: int) -> bool:
    """Whether the pixels of the sweep, counted in the new image, lie in the old one: none above or left of it."""
    corners = np.array([[0, 0, 0, 1], [columns - 1, rows - 1, 0, 1]], float)
    return bool(((corners @ np.linalg.inv(matrix).T)[:, :2] > -0.5).all())


def _may_count_in_mm(sequence: TrackedSequence, fixed: Mapping[str, np.ndarray], other: str, scale: np.ndarray) -> bool:
    """Whether the unit of a scaled frame is 1 mm by the calibration, so that it is no image.

    Raises:
        SweepError: it is called an image all the same.
    """
    sizes_mm = [np.linalg.norm(matrix[:3, :2], axis=0) / scale for name, matrix in fixed.items() if "Image" in name]
    if not any(_is_millimetres(size_mm) for size_mm in sizes_mm):
        return False
    if "IMAGE" in other.upper():
        raise _undecided(sequence, [sequence.image_frame, other], f"a frame of 1 mm a pixel, {other}")
    return True


def _is_millimetres(size_mm: np.ndarray) -> bool:
    return bool(((size_mm > MILLIMETRE[0]) & (size_mm < MILLIMETRE[1])).all())


def _refuse_edit_told_twice(
    sequence: TrackedSequence, fixed: Mapping[str, np.ndarray], start: str, pixels: str, to_start: np.ndarray
) -> None:
    """Refuse a crop of the sweep that the calibration undoes already, as PLUS's own example for cropped sweeps does.

    Raises:
        SweepError: says which option decides.
    """
    if np.allclose(to_start, np.eye(4)):
        return
    for name, is_backwards, _ in neighbours_of(fixed, start):
        step = np.linalg.inv(fixed[name]) if is_backwards else fixed[name]
        if np.allclose(step, to_start, atol=1e-3):
            raise _undecided(sequence, [start, pixels], f"the crop of the sweep and {name} of the calibration")


def _refuse_changing_edits(sequence: TrackedSequence, calibration: ProbeCalibration | None, edits: list[str]) -> None:
    """Refuse a crop that moves from frame to frame where rectangle and sector are given in the image before it."""
    if calibration is None or (calibration.clip is None and calibration.fan is None):
        return
    for name in edits:
        track = sequence.transforms[name]
        valid = np.array([m for m, status in zip(track.matrices, track.statuses) if status == STATUS_OK])
        if np.ptp(valid, axis=0).max() > 1e-6:
            raise SweepError(
                f"{name} of {sequence.name} changes from frame to frame, so that the clip rectangle and fan of the "
                "configuration do not fit all frames; remove them from the configuration"
            )


def _undecided(sequence: TrackedSequence, candidates: list[str], why: str) -> SweepError:
    return SweepError(
        f"the pixels of {sequence.name} may be in {' or '.join(dict.fromkeys(candidates))} ({why}); "
        f"say which with {OPTION} of crlm-seg reconstruct"
    )
