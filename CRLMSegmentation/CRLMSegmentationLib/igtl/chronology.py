"""Order of the messages of a device by their timestamps, and the clock of the sender.

TCP keeps the order, so messages are delivered in the order of their arrival, whatever their timestamps say: the pose
that arrived last is the current one, and a tool must not freeze because somebody has set a clock back. The timestamps
only show which messages are late, repeated or untimed; what follows from that is decided by the caller.
"""

from __future__ import annotations

from enum import Enum

from .messages import ImageMessage, TransformMessage

CLOCK_STEP_S = 1.0
"""A message that is older than the one before by more is not late: the clock was set back, or a replay restarted."""
EVIDENCE_S = 2.0
"""A pose that arrived longer ago is not used to estimate the clock of the sender."""
MAX_WATCHED = 512


class Order(Enum):
    """Time of a message relative to the newest one of the same device and type. UNTIMED: it has no timestamp."""

    UNTIMED = "untimed"
    NEXT = "next"
    REPEATED = "repeated"
    LATE = "late"
    CLOCK_BACK = "clock back"


class Chronology:
    """Newest timestamp of each device of one connection. Of too many devices the least recent are forgotten."""

    def __init__(self) -> None:
        self._newest_s: dict[tuple[type, str], float] = {}
        self._pose_time_s, self._pose_came_at_s = 0.0, float("-inf")

    def order_of(self, message: ImageMessage | TransformMessage, now_s: float) -> Order:
        """Return how a message is ordered in time, and record its timestamp.

        Args:
            now_s: time of arrival, by a monotonic clock of this machine.
        """
        if message.timestamp_s <= 0:
            return Order.UNTIMED
        if isinstance(message, TransformMessage):
            self._pose_time_s, self._pose_came_at_s = message.timestamp_s, now_s
        key = (type(message), message.device)
        newest_s = self._newest_s.pop(key, 0.0)
        behind_s = newest_s - message.timestamp_s
        is_newest = behind_s < 0 or behind_s > CLOCK_STEP_S
        if len(self._newest_s) >= MAX_WATCHED:
            del self._newest_s[next(iter(self._newest_s))]
        self._newest_s[key] = message.timestamp_s if is_newest else newest_s
        if is_newest:
            return Order.NEXT if behind_s < 0 else Order.CLOCK_BACK
        return Order.LATE if behind_s else Order.REPEATED

    def clock_s(self, now_s: float) -> float | None:
        """Return the timestamp of the last pose, as the clock of the sender; None when no pose arrived recently."""
        return self._pose_time_s if now_s - self._pose_came_at_s <= EVIDENCE_S else None
