"""How much a peer may ask of us: so much in a row, then so much a second; and as many lines in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ..core.text import printable


class Allowance:
    """A bucket that fills by itself, and out of which is taken (a token bucket).

    Args:
        burst: what it holds at most, and at the start.
        per_s: what flows in.
    """

    def __init__(self, burst: float, per_s: float, now_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._level, self._at_s = burst, now_s

    def wait_s(self, now_s: float) -> float:
        """How long until something may be taken again; 0 when it may be at once."""
        self._level = min(self._burst, self._level + max(0.0, now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        return 0.0 if self._level >= 1 else (1 - self._level) / self._per_s

    def spend(self, amount: float) -> None:
        """Take what was used up already; beyond what is there it becomes a debt, and the wait is longer."""
        self._level -= amount

    def take(self, now_s: float) -> bool:
        """Take one, if there is one."""
        if self.wait_s(now_s) > 0:
            return False
        self.spend(1)
        return True


class LimitedLog:
    """Lines that a peer can provoke; beyond the allowance they are counted, and the next line tells how many."""

    def __init__(
        self,
        write: Callable[[int, str], None],
        burst: float = 20,
        per_s: float = 0.2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._clock = write, clock
        self._allowance = Allowance(burst, per_s, clock())
        self.left_out = 0

    def __call__(self, level: int, text: str) -> None:
        if not self._allowance.take(self._clock()):
            self.left_out += 1
            return
        more = f" ({self.left_out} such lines before were left out)" if self.left_out else ""
        self.left_out = 0
        self._write(level, printable(text) + more)


def limited(logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> LimitedLog:
    """Lines for a logger of the library."""
    return LimitedLog(lambda level, text: logger.log(level, "%s", text), clock=clock)
