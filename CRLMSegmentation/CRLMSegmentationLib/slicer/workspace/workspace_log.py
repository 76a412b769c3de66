"""The log of a workspace: what has happened, for people."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from ...igtl.limits import LimitedLog

logger = logging.getLogger(__name__)

LOG_LINES, LOG_CHARACTERS = 500, 2000
"""What is kept; an engine or a file may say more than a person reads."""
LINK_LINES, LINK_LINES_PER_S = 20, 1 / 60
"""A link that comes and goes, or live volumes, must not drive everything else out of the log."""
Note = Callable[[str], None]


class WorkspaceLog:
    """Keeps the newest lines.

    Attributes:
        lines: what has happened, oldest first.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.lines: deque[str] = deque(maxlen=LOG_LINES)

    def note(self, text: str) -> None:
        """Add a line."""
        text = text if len(text) <= LOG_CHARACTERS else f"{text[:LOG_CHARACTERS]} ..."
        logger.info("%s", text)
        self.lines.append(f"{time.strftime('%H:%M:%S')} {text}")

    def limited(self, lines: int = LINK_LINES) -> Note:
        """Return what adds lines as `note` does, but no more than so many at once, and one a minute from then on."""
        limit = LimitedLog(lambda level, text: self.note(text), lines, LINK_LINES_PER_S, self._clock)
        return lambda text: limit(logging.INFO, text)
