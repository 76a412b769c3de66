"""The tracked sweep in a case that was recorded over OpenIGTLink: its 2D images and the transforms beside them."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..core.case import Case
from ..core.errors import CaseError, SweepError
from ..igtl.messages import STATUS_OK, ImageMessage, Message, TransformMessage
from ..sweeps.sequence import TrackedSequence, TransformTrack
from ..sweeps.sequence_header import MAX_PIXEL_BYTES
from ..sweeps.transforms import STATUS_MISSING
from .sweep_messages import IMAGE, IMAGE_STATUS_KEY
from .timed_message import TimedMessage

logger = logging.getLogger(__name__)

SAME_MOMENT_S = 0.02
"""A transform belongs to an image when their times differ by no more; PLUS gives both the same."""
UNPLACED = IMAGE
"""An image "Image_Image" lies in its own pixels."""


def sweep_of_messages(case: Case, messages: Iterable[TimedMessage]) -> TrackedSequence:
    """The frames of the device that has sent most 2D images.

    An image that came placed, such as "Image_Reference", brings its ImageToReference along.

    Raises:
        SweepError: the case holds no 2D images, images of several sizes or types, or more than fit into memory.
    """
    messages = tuple(messages)
    devices = Counter(m.device for m in messages if m.kind is ImageMessage and not m.is_volume)
    device = devices.most_common(1)[0][0] if devices else ""
    images = _images([m for m in messages if m.device == device and m.kind is ImageMessage and not m.is_volume])
    if not images:
        raise SweepError(f"{case.case_id} holds no tracked 2D images; give a case that was recorded while sweeping")
    kinds = {f"{image.array.shape} {image.array.dtype}" for image in images}
    if len(kinds) != 1:
        raise SweepError(
            f"'{device}' sent images of several sizes or types: {sorted(kinds)}; record each scan by itself"
        )
    times_s = np.array([image.timestamp_s for image in images])
    transforms = _loaded(m for m in messages if m.kind is TransformMessage)
    tracks = {name: _track(poses, times_s) for name, poses in _by_device(transforms).items()}
    frame = device.rpartition("_")[2]
    if frame not in (UNPLACED, device):
        matrices = np.stack([image.ijk_to_ras for image in images])
        tracks[f"{IMAGE}To{frame}"] = TransformTrack(matrices, (STATUS_OK,) * len(images))
    statuses = tuple(image.metadata.get(IMAGE_STATUS_KEY, STATUS_OK) for image in images)
    return TrackedSequence(case.case_id, np.concatenate([image.array for image in images]), times_s, statuses, tracks)


def _images(messages: Sequence[TimedMessage]) -> list[ImageMessage]:
    """All in memory, as reading a file has them too; refused by their number and the size of the first."""
    images: list[ImageMessage] = []
    for image in _loaded(messages):
        images.append(image)
        if image.array.nbytes * len(messages) > MAX_PIXEL_BYTES:
            size = f"{len(messages)} images of {image.array.nbytes / 1e6:.1f} MB"
            raise SweepError(f"'{image.device}' sent {size}, too much for one volume; record each scan by itself")
    return images


def _loaded(messages: Iterable[TimedMessage]) -> Iterator[Message]:
    """Those that are whole."""
    for timed in messages:
        try:
            yield timed.load()
        except CaseError as error:
            logger.warning("left out at %.2f s: %s", timed.offset_s, error)


def _by_device(transforms: Iterable[TransformMessage]) -> dict[str, list[TransformMessage]]:
    found: dict[str, list[TransformMessage]] = defaultdict(list)
    for transform in transforms:
        found[transform.device].append(transform)
    return found


def _track(poses: Sequence[TransformMessage], times_s: np.ndarray) -> TransformTrack:
    """For each time the pose that is nearest; MISSING where none is near enough."""
    poses = sorted(poses, key=lambda pose: pose.timestamp_s)
    known_s = np.array([pose.timestamp_s for pose in poses])
    after = np.clip(np.searchsorted(known_s, times_s), 1, max(1, len(poses) - 1))
    before = after - 1
    after = np.minimum(after, len(poses) - 1)
    nearest = np.where(np.abs(known_s[after] - times_s) < np.abs(times_s - known_s[before]), after, before)
    is_near = np.abs(known_s[nearest] - times_s) <= SAME_MOMENT_S
    chosen = [poses[index] if near else None for index, near in zip(nearest, is_near)]
    matrices = np.stack([np.eye(4) if pose is None else pose.matrix for pose in chosen])
    return TransformTrack(matrices, tuple(STATUS_MISSING if pose is None else pose.status for pose in chosen))
