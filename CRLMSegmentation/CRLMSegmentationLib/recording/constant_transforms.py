"""Finds the constant transforms of a recording, which were sent only a few times and hold for all its frames."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..core.errors import SweepError
from ..tracking.sweeps.placement import REFERENCE, TRACKER
from ..tracking.sweeps.sequence import IMAGE_FRAME
from ..tracking.transforms import frames_of, neighbours_of, touches


@dataclass(frozen=True)
class Constants:
    """The constant transforms between pixels and tracked sensors, such as ImageToUltrasound and UltrasoundToProbe.

    A pose that came once is no calibration: the tracker has stopped. So a step farther than the first counts only on
    the way to a sensor, of which poses came all the time, and never one to or from the tracker or the goal.

    Attributes:
        pixels: the coordinate frame of the pixels.
        calibrated: names of the transforms of a calibration that is given.
        goal: the frame in which the images are to be placed.
    """

    pixels: str
    calibrated: frozenset[str] = frozenset()
    goal: str = REFERENCE

    def among(self, still: Collection[str], moving: Collection[str]) -> frozenset[str]:
        """Return the transforms that hold for all frames.

        Args:
            still: names of the transforms that came seldom and never changed.
            moving: names of all others.
        """
        first = {name for name in still if touches(name, IMAGE_FRAME) or touches(name, self.pixels)}
        farther = {name for name in still if not any(touches(name, end) for end in (REFERENCE, TRACKER, self.goal))}
        sensors = {other for name in moving for other in _starts(name)}
        return frozenset(first | self._on_the_way(first | farther, sensors))

    def _on_the_way(self, still: Collection[str], sensors: Collection[str]) -> set[str]:
        """Return the unchanging transforms on the shortest paths from the pixels to sensors."""
        used: set[str] = set()
        ways: dict[str, tuple[str, ...]] = {self.pixels: (), IMAGE_FRAME: ()}
        waiting = list(ways)
        for frame in waiting:
            if frame in sensors:
                used.update(ways[frame])
                continue
            for name, _, other in neighbours_of({*still, *self.calibrated}, frame):
                if other not in ways:
                    ways[other] = (*ways[frame], name)
                    waiting.append(other)
        return used & set(still)


def _starts(name: str) -> tuple[str, ...]:
    """Return the frame that a tracked transform starts from, such as Probe of ProbeToTracker."""
    try:
        return frames_of(name)[:1]
    except SweepError:
        return ()
