"""How near the tip has come to each lesion: asked at each pose, written down seldom."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

STEP_MM, EVERY_S = 0.5, 1.0
"""A smaller distance is due when it is so much smaller than what was written, at most so often."""


class TipDistances:
    """Keeps the smallest distance of each lesion.

    Args:
        clock: seconds that never go back.

    Attributes:
        smallest_mm: by lesion; negative inside.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.smallest_mm: dict[str, float] = {}
        self._instruments: dict[str, str] = {}
        self._written: dict[str, tuple[float, float]] = {}

    def look(self, lesion: str, distance_mm: float, instrument: str) -> bool:
        """Take note of a distance; whether it is due to be written."""
        if not distance_mm < self.smallest_mm.get(lesion, math.inf):  # so NaN is none either
            return False
        self.smallest_mm[lesion], self._instruments[lesion] = float(distance_mm), instrument
        written_mm, written_at_s = self._written.get(lesion, (math.inf, -math.inf))
        return written_mm - distance_mm >= STEP_MM and self._clock() - written_at_s >= EVERY_S

    def written(self, lesion: str) -> dict[str, Any]:
        """What is written of a lesion now."""
        smallest_mm = self.smallest_mm[lesion]
        self._written[lesion] = (smallest_mm, self._clock())
        return {"lesion": lesion, "distance_mm": smallest_mm, "instrument": self._instruments[lesion]}

    def unwritten(self) -> list[str]:
        """Lesions whose smallest distance is not yet written."""
        return [name for name, mm in self.smallest_mm.items() if self._written.get(name, (math.inf,))[0] > mm]
