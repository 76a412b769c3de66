"""Decides which distances of the tip are written into a session log, of those that come with each pose."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Optional

STEP_MM, EVERY_S = 0.5, 1.0
"""A smaller distance is due when it is so much smaller than what was written, at most so often."""
STILL_EVERY_S = 10.0
"""A distance that stays the same is written so often all the same, so that a curve shows where there was none."""
Bounds = Optional[tuple[float, float]]
"""Between which a distance lies; None where that is not known."""


class TipDistances:
    """The smallest distance of each lesion, and what was written last.

    Args:
        clock: seconds that never go back.

    Attributes:
        smallest_mm: by lesion; negative inside.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.smallest_mm: dict[str, float] = {}
        self._instruments: dict[str, tuple[str, Bounds]] = {}
        self._written: dict[str, tuple[float, float]] = {}
        self._shown: tuple[str, str, float] | None = None
        self._shown_at_s = -math.inf
        self._withheld: tuple[object, ...] | None = None
        self._withheld_at_s = -math.inf

    def update_smallest(self, lesion: str, distance_mm: float, instrument: str, bounds_mm: Bounds = None) -> bool:
        """Update the smallest distance of a lesion; return whether it is due to be written."""
        if not distance_mm < self.smallest_mm.get(lesion, math.inf):  # so NaN is none either
            return False
        self.smallest_mm[lesion], self._instruments[lesion] = float(distance_mm), (instrument, bounds_mm)
        written_mm, written_at_s = self._written.get(lesion, (math.inf, -math.inf))
        return written_mm - distance_mm >= STEP_MM and self._clock() - written_at_s >= EVERY_S

    def written(self, lesion: str) -> dict[str, Any]:
        """Return the fields of the event of a lesion's smallest distance, and mark it as written."""
        smallest_mm = self.smallest_mm[lesion]
        self._written[lesion] = (smallest_mm, self._clock())
        instrument, bounds_mm = self._instruments[lesion]
        return {"lesion": lesion, "distance_mm": smallest_mm, "bounds_mm": bounds_mm, "instrument": instrument}

    def is_due(self, lesion: str, distance_mm: float, instrument: str) -> bool:
        """Return whether the distance that is shown has changed enough to be written."""
        before, self._withheld = self._shown, None
        is_still = before is not None and before[:2] == (lesion, instrument) and abs(before[2] - distance_mm) < STEP_MM
        if self._clock() - self._shown_at_s < (STILL_EVERY_S if is_still else EVERY_S):
            return False
        self._shown, self._shown_at_s = (lesion, instrument, distance_mm), self._clock()
        return True

    def is_withheld(self, why: tuple[object, ...] = (), is_idle: bool = False) -> bool:
        """Record that no distance is shown; return whether that is due to be written.

        It is at once when a distance was shown before, and when the reasons are others, at most every `EVERY_S`.

        Args:
            why: what tells the reasons from others.
            is_idle: there is no instrument; before there was one, that is nothing to be written.
        """
        if self._shown is None:
            is_other = self._withheld != why and not (is_idle and self._withheld is None)
            if not is_other or self._clock() - self._withheld_at_s < EVERY_S:
                return False
        self._shown, self._shown_at_s = None, -math.inf
        self._withheld, self._withheld_at_s = why, self._clock()
        return True

    def unwritten(self) -> list[str]:
        """Return the lesions whose smallest distance is not yet written."""
        return [name for name, mm in self.smallest_mm.items() if self._written.get(name, (math.inf,))[0] > mm]
