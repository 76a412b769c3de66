"""A limit to the requests of each client: a token bucket. No I/O; the clock is given."""

from __future__ import annotations

import math
from collections.abc import Callable

MAX_CLIENTS = 4096


class RateLimit:
    """Each client may make `burst` requests at once, and `rate_per_s` in the long run."""

    def __init__(self, rate_per_s: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate_per_s, self._burst, self._clock = rate_per_s, burst, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_s(self, client: str) -> float:
        """Count a request of a client; returns 0, or after how many seconds it may come."""
        now_s = self._clock()
        left, since_s = self._buckets.pop(client, (self._burst, now_s))
        left = min(self._burst, left + (now_s - since_s) * self._rate_per_s)
        is_allowed = left >= 1
        self._buckets[client] = (left - 1 if is_allowed else left, now_s)
        while len(self._buckets) > MAX_CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if is_allowed else (1 - left) / self._rate_per_s


def retry_after(seconds: float) -> str:
    """Return the value of the header Retry-After: whole seconds, 1 at least."""
    return str(max(1, math.ceil(seconds)))
