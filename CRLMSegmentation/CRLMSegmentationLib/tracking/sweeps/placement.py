"""Poses of the frames of a sweep: the transform from the pixels to Reference, checked for each frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ...core.errors import SweepError
from ..transforms import Chain, text_of
from .calibrated_matrix import check_pixel_size
from .calibration import ProbeCalibration
from .chain_choice import FRAME_OPTION, REFERENCE, TRACKER, choose_chain
from .chain_matrices import compare_chains, follow_chain
from .pixel_frame import PixelFrame, find_pixel_frame, named_pixel_frame
from .sequence import IMAGE_FRAME, TrackedSequence
from .sweep_transforms import join_transforms, without_transforms

__all__ = ["REFERENCE", "TRACKER", "FramePoses", "place_frames"]

AMBIGUOUS = "AMBIGUOUS"
"""Status of poses that several tools sent under one name."""
PAIR_OPTION = "--pair"
PIXEL_CHANGE = 0.01
"""Share by which pixels may differ in size between frames without a warning; more comes of a change of depth."""
PLANE_MM = 0.1
"""Frames that lie closer together than this were taken by a probe that did not move."""


@dataclass(frozen=True, eq=False)
class FramePoses:
    """Poses of the frames of a sweep.

    Attributes:
        matrices: shape (N, 4, 4), pixels (column, row, 0) to mm of Reference; the identity where rejected.
        accepted: bool, shape (N,).
        rejections: how many frames were left out for each reason, such as "ProbeToTracker INVALID".
        frame: the coordinate frame in which they lie, Reference unless another was asked for.
        pixels: the coordinate frame of the pixels.
        way: the transforms from the pixels to that frame, as a text.
        notes: what was decided, and why, as sentences for a user.
    """

    matrices: np.ndarray
    accepted: np.ndarray
    rejections: dict[str, int]
    frame: str = REFERENCE
    pixels: PixelFrame = field(default_factory=lambda: PixelFrame(IMAGE_FRAME))
    way: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        why = ", ".join(f"{count} for {reason}" for reason, count in self.rejections.items())
        used = f"{np.count_nonzero(self.accepted)} of {len(self.accepted)} frames used"
        return f"{used}; left out: {why}" if why else used


def place_frames(
    sequence: TrackedSequence,
    calibration: ProbeCalibration | None = None,
    reference: str = REFERENCE,
    image_frame: str | None = None,
    ignored: Collection[str] = (),
) -> FramePoses:
    """Find the pose of each frame, and reject the frames without a reliable one.

    A frame is rejected when its image or a transform on the way from its pixels to Reference is not OK, or a pose on
    that way is not rigid; what the other tools do does not matter. A calibration that is given stands above what the
    sequence says of its image.

    Args:
        reference: the coordinate frame in which the frames are to lie.
        image_frame: of the pixels; None finds it by the transforms, see `find_pixel_frame`.
        ignored: transforms that must not be used.

    Raises:
        SweepError: no way leads there, two ways disagree, no frame is left, or pixels of a size that cannot be.
    """
    sequence, calibration = without_transforms(sequence, calibration, ignored)
    if reference in (image_frame, sequence.image_frame):
        raise SweepError(
            f"{FRAME_OPTION} {reference} is the frame of the pixels; expected one in mm, such as {REFERENCE}"
        )
    pixels = _pixel_frame(sequence, calibration, image_frame, reference)
    sweep, notes = join_transforms(sequence, calibration, pixels)
    chain, overruled = choose_chain(sweep, pixels, reference)
    _check_pairing(sequence, chain)
    matrices, reasons = follow_chain(sweep, chain, pixels)
    ways, differing = compare_chains(sweep, chain, pixels, reference, matrices, overruled)
    for number, reason in ways.items():
        reasons[number] = reasons[number] or reason
    accepted = np.array([not reason for reason in reasons])
    matrices[~accepted] = np.eye(4)
    found = FramePoses(
        matrices,
        accepted,
        dict(Counter(reason for reason in reasons if reason)),
        reference,
        pixels,
        text_of(chain),
        tuple(_notes(sequence, calibration, chain, pixels, reference, [*notes, *differing])),
    )
    if not accepted.any():
        raise SweepError(f"no frame of {sequence.name} can be used: {found}; {_what_to_record(found)}")
    return _with_pixel_notes(found, sequence)


def _what_to_record(found: FramePoses) -> str:
    if any(reason.endswith(f" {AMBIGUOUS}") for reason in found.rejections):
        return "give each of the tools that send under one name a name of its own, and record again"
    return "track the probe while sweeping"


def _pixel_frame(
    sequence: TrackedSequence, calibration: ProbeCalibration | None, named: str | None, reference: str
) -> PixelFrame:
    if named is not None:
        return named_pixel_frame(sequence, calibration, named, reference)
    return find_pixel_frame(sequence, calibration, reference)


def _check_pairing(sequence: TrackedSequence, chain: Chain) -> None:
    for name, _ in chain:
        pairing = sequence.pairings.get(name)
        if pairing is not None and not pairing.way:
            raise SweepError(
                f"nobody can tell which pose of {name} belongs to which frame of {sequence.name}: {pairing.reason}; "
                f"record again, or choose with {PAIR_OPTION} of crlm-seg reconstruct"
            )


def _notes(
    sequence: TrackedSequence,
    calibration: ProbeCalibration | None,
    chain: Chain,
    pixels: PixelFrame,
    reference: str,
    notes: list[str],
) -> Iterator[str]:
    yield from sequence.notes
    yield from filter(None, [pixels.note])
    by_text: dict[str, list[str]] = {}
    for name, _ in chain:
        pairing = sequence.pairings.get(name)
        if pairing is not None:
            by_text.setdefault(str(pairing), []).append(name)
    yield from (f"frames and {', '.join(names)} {text}" for text, names in by_text.items())
    yield from notes
    if calibration is None:
        return
    yield from calibration.notes
    if calibration.reference_frame not in (None, reference):
        frame = calibration.reference_frame
        yield f"the configuration reconstructs in {frame}, not {reference}; {FRAME_OPTION} {frame} follows it"


def _with_pixel_notes(poses: FramePoses, sequence: TrackedSequence) -> FramePoses:
    """Return the same poses, with notes on the pixels.

    Raises:
        SweepError: no ultrasound image has such pixels.
    """
    used = poses.matrices[poses.accepted]
    sizes_mm = np.linalg.norm(used[:, :3, :2], axis=1)
    for extreme in {int(sizes_mm.min(axis=1).argmin()), int(sizes_mm.max(axis=1).argmax())}:
        check_pixel_size(used[extreme], f"{poses.pixels.name}To{poses.frame} ({poses.way})")
    notes = list(poses.notes)
    if np.linalg.det(used[0][:3, :3]) < 0:
        notes.append("the calibration is left-handed: make sure that left and right are not exchanged")
    if (np.ptp(sizes_mm, axis=0) > PIXEL_CHANGE * sizes_mm.min(axis=0)).any():
        low, high = sizes_mm.min(), sizes_mm.max()
        notes.append(f"the size of a pixel changes from frame to frame, from {low:.3g} to {high:.3g} mm")
    if len(used) > 1 and _spread_mm(used, sequence) < PLANE_MM:
        notes.append(f"all {len(used)} frames lie in one place: the probe did not move, or its pose stood still")
    return replace(poses, notes=tuple(notes))


def _spread_mm(matrices: np.ndarray, sequence: TrackedSequence) -> float:
    rows, columns = sequence.frames.shape[1:3]
    corners = np.array([[0, 0, 0, 1], [columns, 0, 0, 1], [0, rows, 0, 1]], float)
    places = np.einsum("nij,cj->nci", matrices[:, :3], corners)
    return float(np.ptp(places, axis=0).max())
