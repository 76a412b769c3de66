"""Rate limits for what a peer can cause: bytes read, connections accepted, lines in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ..core.text import printable


class TokenBucket:
    """Rate limit that allows bursts.

    Args:
        burst: number of tokens at the start, and at most.
        per_s: tokens that are added each second.
    """

    def __init__(self, burst: float, per_s: float, now_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._level, self._at_s = burst, now_s

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until a token is available; 0 when there is one now."""
        self._level = min(self._burst, self._level + max(0.0, now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        return 0.0 if self._level >= 1 else (1 - self._level) / self._per_s

    def spend(self, amount: float) -> None:
        """Remove tokens for what has been used already; a negative level makes the next wait longer."""
        self._level -= amount

    def take(self, now_s: float) -> bool:
        """Remove one token and return True; return False when there is none."""
        if self.wait_s(now_s) > 0:
            return False
        self.spend(1)
        return True


class LimitedLog:
    """Log with a rate limit, for lines that a peer can cause; the next line says how many were left out."""

    def __init__(
        self,
        write: Callable[[int, str], None],
        burst: float = 20,
        per_s: float = 0.2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._clock = write, clock
        self._bucket = TokenBucket(burst, per_s, clock())
        self.left_out = 0

    def __call__(self, level: int, text: str) -> None:
        if not self._bucket.take(self._clock()):
            self.left_out += 1
            return
        more = f" ({self.left_out} such lines before were left out)" if self.left_out else ""
        self.left_out = 0
        self._write(level, printable(text) + more)


def limited(logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> LimitedLog:
    """Return a log with a rate limit that writes to a logger."""
    return LimitedLog(lambda level, text: logger.log(level, "%s", text), clock=clock)
