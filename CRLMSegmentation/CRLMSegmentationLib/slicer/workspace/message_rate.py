"""When messages have come over a link."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

RATE_WINDOW_S = 2.0


class MessageRate:
    """Of one link, by a clock that never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times_s: deque[float] = deque()

    def note(self) -> None:
        """A message has come."""
        now_s = self._clock()
        while self._times_s and now_s - self._times_s[0] > RATE_WINDOW_S:
            self._times_s.popleft()
        self._times_s.append(now_s)

    @property
    def per_s(self) -> float:
        """In the last seconds."""
        limit_s = self._clock() - RATE_WINDOW_S
        return sum(time_s > limit_s for time_s in self._times_s) / RATE_WINDOW_S

    @property
    def age_s(self) -> float | None:
        """Since the last one; None before the first."""
        return self._clock() - self._times_s[-1] if self._times_s else None
