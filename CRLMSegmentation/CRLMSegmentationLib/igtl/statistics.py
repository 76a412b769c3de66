"""What has passed over a link, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum


class DropReason(str, Enum):
    """Why a message was not delivered, or why nothing more can be read from this peer."""

    CRC = "checksum wrong"
    BODY = "body unreadable"
    VERSION = "header version not supported"
    TOO_LARGE = "body too large"
    GARBAGE = "not OpenIGTLink"
    CUT_SHORT = "link broke in the middle of a message"


@dataclass
class LinkStatistics:
    """Counts since the link was made, reconnections included.

    Attributes:
        received: messages delivered, by type.
        dropped: messages not delivered, by reason.
        skipped: messages of types that this program does not know, by type.
        frame_label_differs: images whose header claims another frame than the setting of the link.
        last_problem: the last reason in full.
    """

    received: Counter[str] = field(default_factory=Counter)
    received_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    frame_label_differs: int = 0
    connections: int = 0
    last_problem: str = ""

    def summary(self) -> dict[str, int | str | dict[str, int]]:
        """The same as plain dictionaries, for a report."""
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}

    def drop(self, reason: DropReason, text: str) -> None:
        """Count a message that was lost."""
        self.dropped[reason.value] += 1
        self.last_problem = f"{reason.value}: {text}"
