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
    """

    offset_s: float
    device: str
    kind: type[Message]
    is_volume: bool
    load: Callable[[], Message]

    @classmethod
    def at_hand(cls, offset_s: float, message: Message) -> TimedMessage:
        """A message that is in memory."""
        is_volume = isinstance(message, ImageMessage) and message.is_volume
        return cls(offset_s, message.device, type(message), is_volume, lambda: message)
