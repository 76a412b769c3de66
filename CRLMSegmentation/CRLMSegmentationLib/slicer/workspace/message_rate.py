"""The rate of messages of a link."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

RATE_WINDOW_S = 2.0


class MessageRate:
    """Counts the messages of one link."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times_s: deque[float] = deque()

    def note(self) -> None:
        """Count a message that has arrived now."""
        now_s = self._clock()
        while self._times_s and now_s - self._times_s[0] > RATE_WINDOW_S:
            self._times_s.popleft()
        self._times_s.append(now_s)

    @property
    def per_s(self) -> float:
        """Messages per second, over the last two seconds."""
        limit_s = self._clock() - RATE_WINDOW_S
        return sum(time_s > limit_s for time_s in self._times_s) / RATE_WINDOW_S

    @property
    def age_s(self) -> float | None:
        """Seconds since the last message; None before the first."""
        return self._clock() - self._times_s[-1] if self._times_s else None
