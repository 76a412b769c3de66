"""Detection of two streams under one device name, such as two tools whose names were cut to the same 20 bytes.

**Poses.** Two streams under one name look like a tool that jumps between the same two places again and again. A hand
can do so only near its limits, so a device counts as mixed when

1. its poses return to where they were at most `MAX_LAG` poses ago, by jumps faster than any hand (`NOISE` + `SPEED`
   times the time between two poses, the larger of sender's and receiver's), in both directions: `RETURNS` returns,
   each right after another, within `WINDOW` poses; or
2. at least `ALTERNATIONS` of `WINDOW` poses in a row lie `NOISE` or more from the pose before and four times nearer to
   the one before that: places 5 mm apart or farther that take turns; or poses that are valid and lost in turns.

A stroke of 1 m/s, a tremor, noise of several mm, single glitches (they return, but do not leave to the same place
again), a tool that is seen and lost at random, and a sender's clock that stands still meet neither rule. A device that
was mixed is trusted again after `HOLD` poses without a sign of it.

**Images.** The size, type and voxel size of a stream, and the place of a volume, may change, but do not return: a
device is mixed when they have gone back to what they were `IMAGE_RETURNS` times within `IMAGE_WINDOW` images. They
return also where a recording begins anew; `MixedImages.repeats` tells that apart by the times of the images.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .messages import STATUS_AMBIGUOUS, STATUS_OK, TRANSFORM_STATUS_KEY, ImageMessage, TransformMessage

NOISE = 5.0
"""Apparent motion of a tool at rest, mm or degrees; several times the error of an electromagnetic sensor."""
SPEED = 1000.0
"""Highest speed of a tool that is held by hand, mm/s or degrees/s; as in `tracking.validity.PoseLimits`."""
NEARER = 4.0
MAX_LAG = 6
WINDOW, RETURNS, ALTERNATIONS, HOLD = 24, 3, 20, 48
IMAGE_WINDOW, IMAGE_RETURNS = 8, 2
MAX_INTERVAL_S = 10.0
DEGREES_BY_NORM = math.degrees(1.0) / math.sqrt(2.0)
"""A rotation by a small angle changes its matrix by sqrt(2) times the angle, in the Frobenius norm."""
DECIMALS = 3


class _Place(NamedTuple):
    """Position and orientation of a pose.

    Attributes:
        position_mm: x, y, z.
        axes: the columns of the rotation, scaled so that the distance between two of them is an angle in degrees.
    """

    position_mm: tuple[float, ...]
    axes: tuple[float, ...]


class MixedPoses:
    """Detects whether the poses of one device come from two streams.

    Attributes:
        apart: distance between the two places, mm or degrees; 0 if no second stream was detected.
    """

    def __init__(self) -> None:
        self.apart = 0.0
        self._places: deque[_Place | None] = deque(maxlen=MAX_LAG + 1)
        self._times_s: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._alternated: deque[bool] = deque(maxlen=WINDOW)
        self._returned: deque[bool] = deque(maxlen=WINDOW)
        self._last_jump_returned = False
        self._held = 0

    @property
    def is_mixed(self) -> bool:
        """Whether two streams were detected under this name."""
        return self._held > 0

    def take(self, message: TransformMessage, now_s: float) -> bool:
        """Add the next pose, and return `is_mixed`.

        Args:
            now_s: time of arrival, by a monotonic clock.
        """
        place = _place_of(message) if message.status == STATUS_OK else None
        if self._places and self._places[-1] == place and self._times_s[-1][0] == message.timestamp_s:
            return self.is_mixed  # the same pose once more
        self._held = max(0, self._held - 1)
        self._times_s.append((message.timestamp_s, now_s))
        self._alternated.append(self._alternates(place))
        self._returned.append(self._returns(place))
        self._places.append(place)
        if sum(self._returned) >= RETURNS or sum(self._alternated) >= ALTERNATIONS:
            self._held = HOLD
        return self.is_mixed

    def _alternates(self, place: _Place | None) -> bool:
        if len(self._places) < 2:
            return False
        apart = _distance(place, self._places[-1])
        nearest = _distance(place, self._places[-2])
        alternates = apart >= NOISE and math.isfinite(nearest) and NEARER * nearest <= apart
        self.apart = apart if alternates and math.isfinite(apart) else self.apart
        return alternates

    def _returns(self, place: _Place | None) -> bool:
        """Return whether this and the last jump both lead back to an earlier place."""
        if place is None or not self._places or self._places[-1] is None:
            return False
        apart, interval_s = _distance(place, self._places[-1]), self._interval_s
        if interval_s == 0 or apart <= NOISE + SPEED * interval_s:
            return False
        earlier = list(self._places)[:-1]
        is_back = any(NEARER * _distance(place, other) <= apart for other in earlier)
        follows, self._last_jump_returned = self._last_jump_returned, is_back
        self.apart = apart if is_back else self.apart
        return is_back and follows

    @property
    def _interval_s(self) -> float:
        """Mean time between two poses, the larger of the sender's and the receiver's; 0 if it is unknown."""
        if len(self._times_s) < 2:
            return 0.0
        (first_sent_s, first_s), (last_sent_s, last_s) = self._times_s[0], self._times_s[-1]
        count = len(self._times_s) - 1
        sent_s = (last_sent_s - first_sent_s) / count
        return max((last_s - first_s) / count, sent_s if 0 < sent_s < MAX_INTERVAL_S else 0.0)


class MixedImages:
    """Detects whether the images of one device come from two streams. Volumes and slices need one object each."""

    def __init__(self) -> None:
        self._kinds: deque[tuple] = deque(maxlen=IMAGE_WINDOW)
        self._places: deque[tuple] = deque(maxlen=IMAGE_WINDOW)
        self._times_s: deque[float] = deque(maxlen=IMAGE_WINDOW)

    def take(self, message: ImageMessage) -> bool:
        """Add the next image, and return `is_mixed`."""
        self._kinds.append(_kind_of(message))
        self._places.append(_image_place_of(message))
        self._times_s.append(message.timestamp_s)
        return self.is_mixed

    def repeats(self, message: ImageMessage) -> bool:
        """Return whether the next image has the time, size and position of a recent one: a recording began again.

        The images of a second stream have times of their own.
        """
        if not self._times_s or not 0 < message.timestamp_s < self._times_s[-1]:
            return False
        one = message.timestamp_s, _kind_of(message), _image_place_of(message)
        return one in zip(self._times_s, self._kinds, self._places)

    @property
    def is_mixed(self) -> bool:
        """Whether two streams were detected under this name."""
        return max(_returns_in(self._kinds), _returns_in(self._places)) >= IMAGE_RETURNS

    @property
    def shapes(self) -> list[str]:
        """Sizes of the recent images, as i x j x k."""
        found = dict.fromkeys(kind[0] for kind in self._kinds)
        return [" x ".join(str(count) for count in shape[2::-1]) for shape in found]


def without_mixed(poses: Sequence[TransformMessage]) -> Sequence[TransformMessage]:
    """Return the recorded poses of one device, all marked as ambiguous if they come from two streams.

    Args:
        poses: in the order of arrival.
    """
    mixed = MixedPoses()
    is_mixed = sum(mixed.take(pose, pose.timestamp_s) for pose in poses) > 0
    return [ambiguous(pose) for pose in poses] if is_mixed else poses


def ambiguous(pose: TransformMessage) -> TransformMessage:
    """Return a pose with the status AMBIGUOUS: it is unknown which of two tools it belongs to."""
    return replace(pose, metadata={**pose.metadata, TRANSFORM_STATUS_KEY: STATUS_AMBIGUOUS})


def _kind_of(message: ImageMessage) -> tuple:
    spacing = np.linalg.norm(message.ijk_to_ras[:3, :3], axis=0).round(DECIMALS)
    return message.array.shape, message.array.dtype.str, tuple(spacing.tolist())


def _image_place_of(message: ImageMessage) -> tuple:
    return tuple(message.ijk_to_ras[:3].round(DECIMALS).ravel().tolist()) if message.is_volume else ()


def _place_of(message: TransformMessage) -> _Place:
    columns = message.matrix[:3, :3] * DEGREES_BY_NORM
    return _Place(tuple(message.matrix[:3, 3].tolist()), tuple(columns.ravel().tolist()))


def _distance(one: _Place | None, other: _Place | None) -> float:
    """Return the larger of the distances in mm and in degrees; infinite if only one is a pose, 0 if none is."""
    if one is None or other is None:
        return 0.0 if one is other else math.inf
    return max(math.dist(one.position_mm, other.position_mm), math.dist(one.axes, other.axes))


def _returns_in(kinds: Iterable[tuple]) -> int:
    """Return how often a value returned after another one in between."""
    seen: list[tuple] = []
    count = 0
    for kind in kinds:
        count += bool(seen) and kind != seen[-1] and kind in seen
        seen.append(kind)
    return count
