"""What has passed over a link, and what was left out and why. A peer can make none of it grow without bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from ..core.text import printable

MAX_NAMES = 64
"""Types that are counted by name; the rest is counted as `OTHERS`."""
MAX_PROBLEMS = 32
OTHERS = "others"


class DropReason(str, Enum):
    """Why something that came was not used as it came. The value says it in words."""

    CRC = "checksum wrong"
    BODY = "body unreadable"
    VERSION = "header version not supported"
    TOO_LARGE = "body too large"
    GARBAGE = "not OpenIGTLink"
    CUT_SHORT = "link broke in the middle of a message"
    NOT_A_VOLUME = "no volume to segment"
    TOO_MANY_DEVICES = "too many devices"
    LATE = "older than the one before"
    REPEATED = "sent again"
    CLOCK_BACK = "the sender's clock went back"


@dataclass
class Problem:
    """How often something has happened, and how it was told the first time.

    Attributes:
        device: whose message it was; empty where that is not known, or where there are too many.
    """

    kind: DropReason
    device: str
    text: str
    count: int = 0

    def __str__(self) -> str:
        times = f" ({self.count} times)" if self.count > 1 else ""
        return (f"'{self.device}': " if self.device else "") + self.text + times


class Problems:
    """Counts by kind and device. The first of each is worth telling, the others are counted.

    A peer chooses the names: beyond `MAX_PROBLEMS` a kind is counted for all further devices together.
    """

    def __init__(self) -> None:
        self._by_key: dict[tuple[DropReason, str], Problem] = {}

    def note(self, kind: DropReason, device: str, text: str, count: int = 1) -> Problem | None:
        """Count; returns the problem when it is the first of its kind and device, else None."""
        device = printable(device)
        if len(self._by_key) >= MAX_PROBLEMS and (kind, device) not in self._by_key:
            device, text = "", f"{kind.value}: {OTHERS}, such as '{device}': {text}"
        known = self._by_key.get((kind, device))
        problem = known or self._by_key.setdefault((kind, device), Problem(kind, device, printable(text)))
        problem.count += count
        return None if known else problem

    @property
    def count(self) -> int:
        return sum(problem.count for problem in self)

    def of(self, kind: DropReason) -> int:
        """How often this has happened, over all devices."""
        return sum(problem.count for problem in self if problem.kind is kind)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)


class NameCounts(Counter):
    """Counts by a name that a peer chooses. Only for `counts[name] += n`."""

    def __setitem__(self, name: str, count: int) -> None:
        if name not in self and len(self) >= MAX_NAMES:
            name, count = OTHERS, self[OTHERS] + count
        super().__setitem__(name, count)


@dataclass
class LinkStatistics:
    """Counts since the link was made, reconnections included.

    Attributes:
        received: messages delivered, by type.
        dropped: messages not delivered, by reason.
        skipped: messages of types that this program does not know, by type; beyond `MAX_NAMES` as "others".
        frame_label_differs: images whose header claims another frame than the setting of the link.
        last_problem: the reason that was met last for the first time, in full.
        problems: the same for each reason, with counts.
    """

    received: Counter[str] = field(default_factory=NameCounts)
    received_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=NameCounts)
    frame_label_differs: int = 0
    connections: int = 0
    last_problem: str = ""
    problems: Problems = field(default_factory=Problems)

    def summary(self) -> dict[str, int | str | dict[str, int] | list[str]]:
        """The same as plain dictionaries and lists, for a report."""
        plain = {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}
        return {**plain, "problems": [str(problem) for problem in self.problems]}

    def drop(self, reason: DropReason, text: str) -> None:
        """Count a message that was lost."""
        self.dropped[reason.value] += 1
        problem = self.problems.note(reason, "", f"{reason.value}: {text}")
        if problem is not None:
            self.last_problem = problem.text
