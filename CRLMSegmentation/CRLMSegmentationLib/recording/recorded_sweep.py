"""The tracked sweep in a case that was recorded over OpenIGTLink: its 2D images and the transforms beside them."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from ..core.errors import CaseError, SweepError
from ..igtl.messages import STATUS_AMBIGUOUS, STATUS_OK, ImageMessage, TransformMessage
from ..igtl.mixed_streams import without_mixed
from ..tracking.sweeps.calibration import ProbeCalibration
from ..tracking.sweeps.pixel_frame import find_pixel_frame
from ..tracking.sweeps.placement import REFERENCE
from ..tracking.sweeps.sequence import CONSTANT, Pairing, TrackedSequence, TransformTrack
from ..tracking.sweeps.sequence_header import MAX_PIXEL_BYTES
from ..tracking.transforms import STATUS_MISSING
from .case import Case
from .constant_transforms import Constants
from .frame_pairing import Stream, pair
from .image_stream import PLUS_FRAMES, ImageStream, choose_stream, frames_in, image_frame_of
from .sweep_messages import IMAGE, IMAGE_STATUS_KEY
from .timed_message import TimedMessage

Kind = TypeVar("Kind", ImageMessage, TransformMessage)
logger = logging.getLogger(__name__)

OFTEN = 0.5, 2.0
"""What comes so many times for each image belongs to the sender's burst around it."""
MIXED = "two senders use this name, so that no pose of it can be used"
Placed = tuple[int, TimedMessage]
"""A message, and its place among all messages of the recording."""


def sweep_of_messages(
    case: Case,
    messages: Iterable[TimedMessage],
    device: str | None = None,
    calibration: ProbeCalibration | None = None,
    way: str | None = None,
    frame: str = REFERENCE,
) -> TrackedSequence:
    """Return the frames of the ultrasound, see `image_stream`, each with its poses, see `frame_pairing`.

    An image that came placed, such as "Image_Reference", brings its ImageToReference along.

    Args:
        device: the one that a user has named; None finds it.
        calibration: of the probe, where one is given; it names the images that it was made with.
        way: how poses are assigned to frames, "time" or "arrival"; None decides.
        frame: in which the images are to be placed.

    Raises:
        SweepError: the case holds no 2D images, images of several sizes or types, or more than fit into memory; or
            nothing tells which device is the ultrasound.
    """
    placed: list[Placed] = list(enumerate(messages))
    fixed = {} if calibration is None else calibration.transforms
    stream, why = ultrasound_in(case, [m for _, m in placed], frame, device, fixed)
    images = _images([m for m in placed if _is_image(m[1]) and m[1].device == stream.device])
    damaged = stream.count - len(images)
    told = [f"{damaged} damaged images were left out"] if damaged else []
    _check_alike(stream.device, [image for _, image in images])
    frames = _frames([timed for timed, _ in images], placed)
    pixels = image_frame_of(stream, fixed)
    pairings, tracks = _tracks(placed, frames, way, Constants(pixels, frozenset(fixed), frame))
    arrays = [image for _, image in images]
    sequence = TrackedSequence(
        case.case_id,
        np.concatenate([image.array for image in arrays]),
        frames.sent_s,
        tuple(image.metadata.get(IMAGE_STATUS_KEY, STATUS_OK) for image in arrays),
        tracks,
        image_frame=pixels,
        pairings=pairings,
        notes=(f"the ultrasound is {stream}: {why}", *told),
    )
    return sequence if stream.frame is None else _placed_by_sender(sequence, stream.frame, arrays, calibration, frame)


def _placed_by_sender(
    sequence: TrackedSequence,
    placed_in: str,
    images: Sequence[ImageMessage],
    calibration: ProbeCalibration | None,
    goal: str,
) -> TrackedSequence:
    """Return the sweep with the position that the sender has given to its pixels, cropped or not.

    It stands for itself where no calibration is given; where one is, the crop that the sweep tells of counts.
    """
    try:
        edits = find_pixel_frame(sequence, calibration, goal).edits
    except SweepError:
        edits = ()  # is told when the frames are placed
    if edits and calibration is not None:
        return sequence
    tracks = {name: track for name, track in sequence.transforms.items() if name not in edits}
    matrices = np.stack([image.ijk_to_ras for image in images])
    name = f"{sequence.image_frame}To{placed_in}"
    tracks[name] = TransformTrack(matrices, (STATUS_OK,) * len(images))
    told = [f"the sender has placed the pixels in {placed_in}; {', '.join(edits)} was not used"] if edits else []
    return replace(sequence, transforms=tracks, placed=name, notes=(*sequence.notes, *told))


def ultrasound_in(
    case: Case,
    messages: Iterable[TimedMessage],
    frame: str = REFERENCE,
    device: str | None = None,
    calibrated: Collection[str] = (),
) -> tuple[ImageStream, str]:
    """Return the device that is the ultrasound, and why.

    Args:
        calibrated: names of the transforms of a calibration that is given.

    Raises:
        SweepError: there are no 2D images, or nothing tells which are the ultrasound.
    """
    messages = tuple(messages)
    counts = Counter(m.device for m in messages if _is_image(m))
    if not counts:
        raise SweepError(f"{case.case_id} holds no tracked 2D images; give a case that was recorded while sweeping")
    names = {*calibrated, *(m.device for m in messages if m.kind is TransformMessage)}
    known = frozenset({frame, *PLUS_FRAMES}.union(*map(frames_in, names)))
    streams = [ImageStream(name, count, known) for name, count in sorted(counts.items())]
    return choose_stream(streams, names, frame, device, calibrated)


def pairings_in(messages: Iterable[TimedMessage], device: str) -> dict[str, Pairing]:
    """Return how the poses of each transform are assigned to the images of a device, without reading the images."""
    placed: list[Placed] = list(enumerate(messages))
    frames = _frames([m for m in placed if _is_image(m[1]) and m[1].device == device], placed)
    return _tracks(placed, frames, None, Constants(IMAGE))[0]


def _is_image(message: TimedMessage) -> bool:
    return message.kind is ImageMessage and not message.is_volume


def _check_alike(device: str, images: Sequence[ImageMessage]) -> None:
    if not images:
        raise SweepError(f"no image of '{device}' is whole: it holds no tracked 2D images; record again")
    kinds = {f"{image.array.shape} {image.array.dtype}" for image in images}
    if len(kinds) != 1:
        raise SweepError(
            f"'{device}' sent images of several sizes or types: {sorted(kinds)}; record each scan by itself"
        )


def _images(messages: Sequence[Placed]) -> list[tuple[Placed, ImageMessage]]:
    """Read all images into memory; refuse too many by their number and the size of the first."""
    images: list[tuple[Placed, ImageMessage]] = []
    for placed, image in _loaded(messages, ImageMessage):
        images.append((placed, image))
        if image.array.nbytes * len(messages) > MAX_PIXEL_BYTES:
            size = f"{len(messages)} images of {image.array.nbytes / 1e6:.1f} MB"
            raise SweepError(f"'{image.device}' sent {size}, too much for one volume; record each scan by itself")
    return images


def _loaded(messages: Iterable[Placed], kind: type[Kind]) -> Iterator[tuple[Placed, Kind]]:
    """Read the messages of one kind that are not damaged."""
    for place, timed in messages:
        try:
            message = timed.load()
        except CaseError as error:
            logger.warning("left out at %.2f s: %s", timed.offset_s, error)
            continue
        if isinstance(message, kind):
            yield (place, replace(timed, timestamp_s=message.timestamp_s)), message


def _stream(messages: Iterable[Placed]) -> Stream:
    return Stream.of([(place, timed.timestamp_s or 0.0, timed.arrived_s) for place, timed in messages])


def _frames(images: Sequence[Placed], messages: Sequence[Placed]) -> Stream:
    """Return the stream of the images, with the arrivals of all messages that came about as often."""
    counts = Counter(timed.device for _, timed in messages)
    beside = [timed.arrived_s for _, timed in messages if OFTEN[0] <= counts[timed.device] / len(images) <= OFTEN[1]]
    known = None if any(arrived_s is None for arrived_s in beside) else np.sort(np.array(beside, float))
    return replace(_stream(images), all_arrived_s=known)


def _tracks(
    messages: Iterable[Placed], frames: Stream, way: str | None, constants: Constants
) -> tuple[dict[str, Pairing], dict[str, TransformTrack]]:
    """Return, by transform, how its poses were assigned to the frames, and the poses of the frames."""
    found: dict[str, list[tuple[Placed, TransformMessage]]] = defaultdict(list)
    for placed, transform in _loaded((m for m in messages if m[1].kind is TransformMessage), TransformMessage):
        found[transform.device].append((placed, transform))
    poses_of = {name: without_mixed([transform for _, transform in loaded]) for name, loaded in found.items()}
    still = [n for n, poses in poses_of.items() if len(poses) * 2 <= len(frames) and not _distinct(poses).any()]
    held = constants.among(still, poses_of.keys() - set(still))
    pairings, tracks = {}, {}
    for name, loaded in found.items():
        poses = poses_of[name]
        if name in held:
            pairing = Pairing(CONSTANT, f"it came {len(poses)} times and never changed")
            indices = np.zeros(len(frames), int)
        else:
            pairing, indices = pair(frames, _stream(placed for placed, _ in loaded), _distinct(poses), way)
        if any(pose.status == STATUS_AMBIGUOUS for pose in poses):
            pairing = replace(pairing, reason="; ".join(filter(None, [pairing.reason, MIXED])))
        pairings[name] = pairing
        tracks[name] = _track([poses[index] if index >= 0 else None for index in indices])
    return pairings, tracks


def _distinct(poses: Sequence[TransformMessage]) -> np.ndarray:
    """Return whether each pose differs from the one before it: bool, shape (M - 1,)."""
    return np.array([(a.matrix != b.matrix).any() or a.status != b.status for a, b in zip(poses, poses[1:])], bool)


def _track(chosen: Sequence[TransformMessage | None]) -> TransformTrack:
    matrices = np.stack([np.eye(4) if pose is None else pose.matrix for pose in chosen])
    return TransformTrack(matrices, tuple(STATUS_MISSING if pose is None else pose.full_status for pose in chosen))
