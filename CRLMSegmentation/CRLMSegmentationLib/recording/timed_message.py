"""A message of a recording and the time at which it goes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..igtl.messages import ImageMessage, Message


@dataclass(frozen=True, eq=False)
class TimedMessage:
    """A message of a recording, which need not be in memory yet.

    Attributes:
        offset_s: seconds after the start of the recording at which it goes out.
        device: of the message.
        kind: type of the message.
        is_volume: it is an image of more than one slice.
        load: reads the message; raises CaseError where it is damaged.
        timestamp_s: the sender's time, 0 where it is unknown; None where only loading the message tells.
        arrived_s: when it arrived as it was recorded, seconds since 1970; None where nobody has recorded that.
        memory_bytes: of the voxels that are in memory already.
    """

    offset_s: float
    device: str
    kind: type[Message]
    is_volume: bool
    load: Callable[[], Message]
    timestamp_s: float | None = None
    arrived_s: float | None = None
    memory_bytes: int = 0

    @classmethod
    def at_hand(cls, offset_s: float, message: Message) -> TimedMessage:
        """Make the timed message of a message that is in memory."""
        is_volume = isinstance(message, ImageMessage) and message.is_volume
        size = message.array.nbytes if isinstance(message, ImageMessage) else 0
        sent_s = message.timestamp_s
        return cls(offset_s, message.device, type(message), is_volume, lambda: message, sent_s, memory_bytes=size)
