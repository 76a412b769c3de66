"""Plays a recording as if it were a connection: messages come at their recorded times, without a socket.

A session cannot tell it from a network. It can be paused and moved to any time.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from pathlib import Path

from ..core.errors import CaseError
from ..core.json_files import Damage
from ..igtl.link import LinkState
from ..igtl.messages import Message
from ..igtl.statistics import MessageProblem
from .timed_message import TimedMessage
from .timeline import Source, lines_file_of, load_source, timeline

logger = logging.getLogger(__name__)


class RecordedLink:
    """The playback of a recording with pause and seek, used in place of an `IgtlClient`.

    Attributes:
        left_out: messages that are damaged, and lines of a tracking file that hold none.
        jumps: how often somebody has gone to another time; what comes then does not follow what came before.

    Args:
        source: a case or a volume, see `timeline.load_source`.
        speed: 2 plays twice as fast; may be changed while it plays.
        clock: seconds that never go back.

    Raises:
        CaseError: the speed is not above 0, or the recording cannot be read.
    """

    problems: tuple[MessageProblem, ...] = ()
    epoch: int | None = None
    silent_s: float | None = None
    """A recording loses no message, and has no connection; see `igtl.link.Link`."""

    def __init__(self, source: Source, speed: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        if not speed > 0:
            raise CaseError(f"the speed of a replay must be above 0, got {speed}")
        self.speed = speed
        self.state, self.state_reason = LinkState.CONNECTED, ""
        self.is_playing = True
        damage = Damage()
        self._messages = timeline(source, damage)
        self._offsets_s = [timed.offset_s for timed in self._messages]
        self._clock = clock
        self._last_s = clock()
        self._position_s = 0.0
        self.jumps = 0
        self._sent = 0
        self._jumped: list[TimedMessage] = []
        self.left_out = damage.count
        if damage.is_any:
            logger.warning("%s", damage.sentence(lines_file_of(source)))

    @classmethod
    def open(cls, path: Path | str, speed: float = 1.0) -> RecordedLink:
        """Play a case folder or a volume file.

        Raises:
            CaseError, VolumeError, GeometryError: neither of them, or damaged.
        """
        return cls(load_source(path), speed)

    @property
    def receiving(self) -> None:
        """None: no message of a recording is ever partly received."""

    @property
    def has_volumes(self) -> bool:
        """Whether the recording holds volumes."""
        return any(timed.is_volume for timed in self._messages)

    @property
    def memory_bytes(self) -> int:
        """The size of the voxels in memory; others are read when their time has come."""
        return sum(timed.memory_bytes for timed in self._messages)

    @property
    def duration_s(self) -> float:
        return self._offsets_s[-1] if self._offsets_s else 0.0

    @property
    def position_s(self) -> float:
        return self._position_s

    def play(self) -> None:
        """Continue, from the beginning if the end has been reached."""
        if self._position_s >= self.duration_s:
            self.seek(0.0)
        self.is_playing, self._last_s = True, self._clock()

    def pause(self) -> None:
        self.is_playing = False

    def seek(self, position_s: float) -> None:
        """Go to a time; the next `poll` gives the newest message of each device until then."""
        self._position_s = min(max(0.0, position_s), self.duration_s)
        self.jumps += 1
        self._last_s = self._clock()
        self._sent = bisect_right(self._offsets_s, self._position_s)
        newest = {(t.kind, t.device): t for t in self._messages[: self._sent]}
        self._jumped = sorted(newest.values(), key=lambda t: t.offset_s)

    def poll(self, budget_s: float = 0.004) -> list[Message]:
        """Return the messages whose time has come since the last call, in their order.

        Args:
            budget_s: stop reading after this time; what is left comes with the next call.
        """
        if self.state is LinkState.CLOSED:
            return []
        now_s = self._clock()
        if self.is_playing:
            self._position_s += (now_s - self._last_s) * self.speed
        self._last_s = now_s
        due = self._read(now_s + budget_s)
        if self._position_s >= self.duration_s:
            self._position_s, self.is_playing = self.duration_s, False
        return due

    def _read(self, end_s: float) -> list[Message]:
        """Read the messages that are due, within a time limit, so that a jump of the clock does not fill the memory."""
        last = bisect_right(self._offsets_s, self._position_s)
        messages: list[Message] = []
        while (self._jumped or self._sent < last) and (not messages or self._clock() < end_s):
            if self._jumped:
                timed = self._jumped.pop(0)
            else:
                timed = self._messages[self._sent]
                self._sent += 1
            messages += self._loaded(timed)
        return messages

    def _loaded(self, timed: TimedMessage) -> Iterable[Message]:
        """Return a message, or none where it is damaged, so that the replay goes on."""
        try:
            return [timed.load()]
        except CaseError as error:
            logger.warning("left out at %.2f s: %s", timed.offset_s, error)
            self.left_out += 1
            return []

    def close(self) -> None:
        """End the playback and free its memory."""
        self.state, self.state_reason, self.is_playing = LinkState.CLOSED, "closed", False
        self._messages, self._jumped = (), []
