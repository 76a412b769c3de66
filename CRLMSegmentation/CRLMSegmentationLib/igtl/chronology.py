"""What the times of messages say of the sender's clock.

TCP keeps the order, so messages are delivered in the order of their arrival, whatever their times say: the last
pose that was sent is the pose now, and a tool must not freeze because somebody has set a clock back. The times
are watched for what they tell beside that; what `session` makes of an older volume is told there.
"""

from __future__ import annotations

from enum import Enum

from .messages import ImageMessage, TransformMessage

CLOCK_STEP_S = 1.0
"""A message that is older than its forerunner by more was not late: the clock was set back, or a replay began anew."""
EVIDENCE_S = 2.0
"""A pose that came longer ago says nothing of the sender's clock."""
MAX_WATCHED = 512


class Order(Enum):
    """How a message stands to the newest one before it of the same device and type. UNTIMED: it has no time."""

    UNTIMED = "untimed"
    NEXT = "next"
    REPEATED = "repeated"
    LATE = "late"
    CLOCK_BACK = "clock back"


class Chronology:
    """The newest time of each device, over one connection; of too many, those that have been silent longest go."""

    def __init__(self) -> None:
        self._newest_s: dict[tuple[type, str], float] = {}
        self._pose_time_s, self._pose_came_at_s = 0.0, float("-inf")

    def order_of(self, message: ImageMessage | TransformMessage, now_s: float) -> Order:
        """Say how a message stands in time, and take note of it.

        Args:
            now_s: when it came, by a clock of this machine that never goes back.
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
        """What the sender's clock showed with its last pose; None when none has come of late."""
        return self._pose_time_s if now_s - self._pose_came_at_s <= EVIDENCE_S else None
