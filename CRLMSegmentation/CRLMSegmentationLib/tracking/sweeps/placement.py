"""Poses of the frames of a sweep: the transform from the pixels to Reference, checked for each frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ...core.errors import SweepError
from ...core.geometry import rigid_fault, transform_fault
from ..transforms import STATUS_OK, Chain, find_chain, frames_of, leads, text_of, worst
from .calibrated_matrix import check_pixel_size
from .calibration import IMAGE_TO_PROBE, Calibration
from .pixel_frame import PixelFrame, find_pixel_frame, named_pixel_frame
from .sequence import IMAGE_FRAME, TrackedSequence, TransformTrack

REFERENCE, TRACKER = "Reference", "Tracker"
AMBIGUOUS = "AMBIGUOUS"
"""Status of poses that several tools sent under one name."""
FRAME_OPTION, IGNORE_OPTION, PAIR_OPTION = "--frame", "--ignore", "--pair"
MAX_DISAGREEMENT_MM = 1.0
"""Two ways from the same pixels to the same frame may differ by so much at a corner of the picture."""
PIXEL_CHANGE = 0.01
"""Share by which pixels may differ in size between frames without a word; more comes of a depth that was changed."""
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
        remarks: what was decided, and why, as sentences for a user.
    """

    matrices: np.ndarray
    accepted: np.ndarray
    rejections: dict[str, int]
    frame: str = REFERENCE
    pixels: PixelFrame = field(default_factory=lambda: PixelFrame(IMAGE_FRAME))
    way: str = ""
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        why = ", ".join(f"{count} for {reason}" for reason, count in self.rejections.items())
        used = f"{np.count_nonzero(self.accepted)} of {len(self.accepted)} frames used"
        return f"{used}; left out: {why}" if why else used


def place_frames(
    sequence: TrackedSequence,
    calibration: Calibration | None = None,
    reference: str = REFERENCE,
    image_frame: str | None = None,
    ignored: Collection[str] = (),
) -> FramePoses:
    """Find the pose of each frame, and reject the frames without a reliable one.

    A frame is rejected when its image or a transform on the way from its pixels to Reference is not OK, or a pose on
    that way is not rigid; what the other tools do does not matter. A calibration that is given stands above what the
    sequence says of its picture.

    Args:
        reference: the coordinate frame in which the frames are to lie.
        image_frame: of the pixels; None finds it by the transforms, see `find_pixel_frame`.
        ignored: transforms that must not be used.

    Raises:
        SweepError: no way leads there, two ways disagree, no frame is left, or pixels of a size that cannot be.
    """
    sequence, calibration = _without(sequence, calibration, ignored)
    if reference in (image_frame, sequence.image_frame):
        raise SweepError(
            f"{FRAME_OPTION} {reference} is the frame of the pixels; expected one in mm, such as {REFERENCE}"
        )
    pixels = _pixel_frame(sequence, calibration, image_frame, reference)
    sweep, told = _joined(sequence, calibration, pixels)
    chain, overruled = _chain(sweep, pixels, reference)
    _check_pairing(sequence, chain)
    matrices, reasons = _follow(sweep, chain, pixels)
    ways, differing = _other_ways(sweep, chain, pixels, reference, matrices, overruled)
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
        tuple(_remarks(sequence, calibration, chain, pixels, reference, [*told, *differing])),
    )
    if not accepted.any():
        raise SweepError(f"no frame of {sequence.name} can be used: {found}; {_what_to_record(found)}")
    return _checked(found, sequence)


def _what_to_record(found: FramePoses) -> str:
    if any(reason.endswith(f" {AMBIGUOUS}") for reason in found.rejections):
        return "give each of the tools that send under one name a name of its own, and record again"
    return "track the probe while sweeping"


def _without(
    sequence: TrackedSequence, calibration: Calibration | None, ignored: Collection[str]
) -> tuple[TrackedSequence, Calibration | None]:
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


class _Transforms:
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


def _pixel_frame(
    sequence: TrackedSequence, calibration: Calibration | None, named: str | None, reference: str
) -> PixelFrame:
    if named is not None:
        return named_pixel_frame(sequence, calibration, named, reference)
    return find_pixel_frame(sequence, calibration, reference)


def _joined(
    sequence: TrackedSequence, calibration: Calibration | None, pixels: PixelFrame
) -> tuple[_Transforms, list[str]]:
    """Join tracked and calibrated transforms, each name once; return them with remarks on names in both.

    A calibration decides where the picture lies, the tracker where tools are.
    """
    tracks, fixed, told = dict(sequence.transforms), dict(calibration.transforms if calibration else {}), []
    for name in sorted(set(tracks) & set(fixed)):
        is_tools = _is_pose(name, pixels)
        valid = [m for m, status in zip(tracks[name].matrices, tracks[name].statuses) if status == STATUS_OK]
        rows, columns = sequence.frames.shape[1:3]
        corner = np.array([columns, rows, 0, 1])
        apart_mm = np.linalg.norm((fixed[name] - valid[0]) @ corner) if valid and not is_tools else 0.0
        if is_tools:
            told.append(f"{name} of the configuration was not used: the sweep tracks it")
        elif apart_mm > MAX_DISAGREEMENT_MM:
            told.append(
                f"{name} that was given differs from the {name} in the sweep by up to {apart_mm:.1f} mm; the given one "
                "was used"
            )
        (fixed if is_tools else tracks).pop(name)
    return _Transforms(sequence, tracks, fixed), told


def _chain(sweep: _Transforms, pixels: PixelFrame, reference: str) -> tuple[Chain, frozenset[str]]:
    """Return the chain to use, and the transforms of the sweep that a given calibration overrules."""
    overruled = frozenset(_overruled(sweep, pixels))
    try:
        return find_chain(sweep.names - overruled, f"{pixels.name}To{reference}"), overruled
    except SweepError as error:
        raise SweepError(f"{sweep.sequence.name}: {error}; {_advice(sweep, pixels, reference, overruled)}") from error


def _overruled(sweep: _Transforms, pixels: PixelFrame) -> Iterator[str]:
    """Return the transforms of the sweep that place an image which the calibration places, and that it overrules."""
    pictures = {frame for name in pixels.edits for frame in frames_of(name)} | {pixels.name}
    calibrated = {frame for frame in pictures if any(_touches(name, frame) for name in sweep.fixed)}
    for name in sweep.tracks:
        if name not in pixels.edits and any(_touches(name, frame) for frame in calibrated):
            yield name


def _touches(name: str, frame: str) -> bool:
    try:
        return frame in frames_of(name)
    except SweepError:
        return False


def _advice(sweep: _Transforms, pixels: PixelFrame, reference: str, overruled: frozenset[str]) -> str:
    """Return what a user can do where no chain leads to a frame."""
    names = sweep.names - overruled
    nameless = sorted(name for name in sweep.tracks if not _frames(name))
    if nameless and not any(_is_pose(name, pixels) for name in sweep.tracks if _frames(name)):
        return (
            f"the poses of {', '.join(nameless)} do not say between which two frames; name their transforms as "
            f"PLUS does, such as ProbeTo{TRACKER}, and record again"
        )
    goals = sorted({frame for name in sweep.tracks for frame in _frames(name)[1:]} - {reference, pixels.name})
    reached = [frame for frame in goals if leads(names, pixels.name, frame)]
    if reached:
        frame = TRACKER if TRACKER in reached else reached[0]
        return f"record the reference sensor as well, or reconstruct in the frame {frame} with {FRAME_OPTION} {frame}"
    if overruled and leads(sweep.names, pixels.name, reference):
        return f"leave out --calibration to place the pixels by {', '.join(sorted(overruled))} of the sweep"
    if not sweep.fixed:
        return "give the probe's calibration with --calibration"
    ends = sorted({frame for name in sweep.tracks for frame in _frames(name)} - {pixels.name})
    return (
        f"the calibration must lead from {pixels.name} to a tracked sensor ({', '.join(ends) or 'none is tracked'}); "
        "give a PLUS configuration that names it"
    )


def _frames(name: str) -> tuple[str, ...]:
    try:
        return frames_of(name)
    except SweepError:
        return ()


def _check_pairing(sequence: TrackedSequence, chain: Chain) -> None:
    for name, _ in chain:
        pairing = sequence.pairings.get(name)
        if pairing is not None and not pairing.way:
            raise SweepError(
                f"nobody can tell which pose of {name} belongs to which frame of {sequence.name}: {pairing.reason}; "
                f"record again, or choose with {PAIR_OPTION} of crlm-seg reconstruct"
            )


def _follow(sweep: _Transforms, chain: Chain, pixels: PixelFrame) -> tuple[np.ndarray, list[str]]:
    """Return the matrices of all frames, shape (N, 4, 4), and for each why it cannot be used, empty if it can."""
    result = np.tile(np.eye(4), (len(sweep), 1, 1))
    for name, backwards in chain:
        result = sweep.matrices(name, backwards) @ result
    not_ok = {name: sweep.unusable(name, _is_pose(name, pixels)) for name, _ in chain}
    return result, [_reason(sweep, chain, not_ok, number) for number in range(len(sweep))]


def _is_pose(name: str, pixels: PixelFrame) -> bool:
    """Whether a transform is between tracked frames; one from an image contains the size of a pixel."""
    pictures = {frame for edit in pixels.edits for frame in frames_of(edit)} | {pixels.name}
    return not any(frame in pictures or "Image" in frame or "Pixel" in frame for frame in frames_of(name))


def _reason(sweep: _Transforms, chain: Chain, unusable: Mapping[str, np.ndarray], number: int) -> str:
    for name, _ in chain:
        status = sweep.status(name, number)
        if status != STATUS_OK:
            return f"{name} {status}"
        if unusable[name][number]:
            is_placing = is_invertible(sweep.tracks[name].matrices[number][None])[0]
            return f"{name} not rigid" if is_placing else f"{name} singular"
    status = sweep.sequence.image_statuses[number]
    return "" if status == STATUS_OK else f"image {status}"


def _other_ways(
    sweep: _Transforms,
    chain: Chain,
    pixels: PixelFrame,
    reference: str,
    matrices: np.ndarray,
    overruled: frozenset[str],
) -> tuple[dict[int, str], list[str]]:
    """Compare the chain with all others that lead from the pixels to the frame.

    Returns:
        By frame why it cannot be used, since two ways disagree; and remarks on ways that a calibration overrules.

    Raises:
        SweepError: two ways disagree in more than half of the frames that both place.
    """
    bad: dict[int, str] = {}
    told: list[str] = []
    for other in _ways_beside(sweep.names, chain, f"{pixels.name}To{reference}"):
        apart_mm, is_placed = _apart_mm(sweep, chain, other, pixels, matrices)
        wrong = is_placed & (apart_mm > MAX_DISAGREEMENT_MM)
        if not wrong.any():
            continue
        texts = f"{text_of(chain)} and {text_of(other)}"
        if any(name in overruled for name, _ in other):
            told.append(
                f"the calibration that was given places the pixels up to {apart_mm[wrong].max():.1f} mm from "
                f"{text_of(other)} of the sweep; the given one was used"
            )
        elif np.count_nonzero(wrong) * 2 > np.count_nonzero(is_placed):
            names = [name for name, _ in (*chain, *other)]
            raise SweepError(
                f"two ways lead from {pixels.name} to {reference} of {sweep.sequence.name}, {texts}, and differ by up "
                f"to {apart_mm[wrong].max():.1f} mm; say which is wrong with {IGNORE_OPTION} NAME of crlm-seg "
                f"reconstruct: {', '.join(dict.fromkeys(names))}"
            )
        else:
            bad.update((int(number), f"{texts} disagree") for number in np.flatnonzero(wrong))
    return bad, told


def _ways_beside(names: frozenset[str], chain: Chain, wanted: str) -> Iterator[Chain]:
    """Return the shortest chain without each transform of the chain, each once."""
    seen = {chain}
    for name, _ in chain:
        try:
            other = find_chain(names - {name}, wanted)
        except SweepError:
            continue
        if other not in seen:
            seen.add(other)
            yield other


def _apart_mm(
    sweep: _Transforms, chain: Chain, other: Chain, pixels: PixelFrame, matrices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far apart two chains place the corners of the image, mm, shape (N,), and where both are valid."""
    rows, columns = sweep.sequence.frames.shape[1:3]
    corners = np.array([[x, y, 0, 1] for x in (0, columns - 1) for y in (0, rows - 1)], float)
    others, reasons = _follow(sweep, other, pixels)
    difference = np.einsum("nij,cj->nci", (others - matrices)[:, :3], corners)
    statuses = [worst(sweep.status(name, n) for name, _ in (*chain, *other)) for n in range(len(sweep))]
    is_placed = np.array([status == STATUS_OK and not why for status, why in zip(statuses, reasons)])
    return np.linalg.norm(difference, axis=2).max(axis=1), is_placed


def _remarks(
    sequence: TrackedSequence,
    calibration: Calibration | None,
    chain: Chain,
    pixels: PixelFrame,
    reference: str,
    told: list[str],
) -> Iterator[str]:
    yield from sequence.remarks
    yield from filter(None, [pixels.remark])
    by_text: dict[str, list[str]] = {}
    for name, _ in chain:
        pairing = sequence.pairings.get(name)
        if pairing is not None:
            by_text.setdefault(str(pairing), []).append(name)
    yield from (f"frames and {', '.join(names)} {text}" for text, names in by_text.items())
    yield from told
    if calibration is None:
        return
    yield from calibration.remarks
    if calibration.reference_frame not in (None, reference):
        frame = calibration.reference_frame
        yield f"the configuration reconstructs in {frame}, not {reference}; {FRAME_OPTION} {frame} follows it"


def _checked(poses: FramePoses, sequence: TrackedSequence) -> FramePoses:
    """Return the same poses, with remarks on the pixels.

    Raises:
        SweepError: no ultrasound picture has such pixels.
    """
    used = poses.matrices[poses.accepted]
    sizes_mm = np.linalg.norm(used[:, :3, :2], axis=1)
    for extreme in {int(sizes_mm.min(axis=1).argmin()), int(sizes_mm.max(axis=1).argmax())}:
        check_pixel_size(used[extreme], f"{poses.pixels.name}To{poses.frame} ({poses.way})")
    remarks = list(poses.remarks)
    if np.linalg.det(used[0][:3, :3]) < 0:
        remarks.append("the calibration is left-handed: make sure that left and right are not exchanged")
    if (np.ptp(sizes_mm, axis=0) > PIXEL_CHANGE * sizes_mm.min(axis=0)).any():
        low, high = sizes_mm.min(), sizes_mm.max()
        remarks.append(f"the size of a pixel changes from frame to frame, from {low:.3g} to {high:.3g} mm")
    if len(used) > 1 and _spread_mm(used, sequence) < PLANE_MM:
        remarks.append(f"all {len(used)} frames lie in one place: the probe did not move, or its pose stood still")
    return replace(poses, remarks=tuple(remarks))


def _spread_mm(matrices: np.ndarray, sequence: TrackedSequence) -> float:
    rows, columns = sequence.frames.shape[1:3]
    corners = np.array([[0, 0, 0, 1], [columns, 0, 0, 1], [0, rows, 0, 1]], float)
    places = np.einsum("nij,cj->nci", matrices[:, :3], corners)
    return float(np.ptp(places, axis=0).max())
