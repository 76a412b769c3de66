"""Counts of messages, and of problems by reason and device. Their size is bounded, whatever a peer sends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from ..core.text import printable

MAX_NAMES = 64
"""Number of names that are counted separately; the rest is counted as `OTHERS`."""
MAX_PROBLEMS = 32
OTHERS = "others"
ADVICE = {
    "VIDEO": "; have the sender send IMAGE",
    "TRACKEDFRAME": "; have PLUS send IMAGE and TRANSFORM",
    "USMESSAGE": "; have PLUS send IMAGE and TRANSFORM",
}
"""Advice for types of message that are not understood."""


class DropReason(str, Enum):
    """Reason why a message was discarded, or is odd. The value is its text."""

    CRC = "checksum wrong"
    BODY = "body unreadable"
    VERSION = "header version not supported"
    TOO_LARGE = "body too large"
    GARBAGE = "not OpenIGTLink"
    CUT_SHORT = "link broke in the middle of a message"
    NOT_UNDERSTOOD = "type not understood"
    NOT_A_VOLUME = "no volume to segment"
    TOO_MANY_DEVICES = "too many devices"
    AMBIGUOUS = "two streams under one name"
    LATE = "older than the one before"
    REPEATED = "sent again"
    CLOCK_BACK = "the sender's clock went back"
    NAME_CUT = "name may be cut"
    NO_FRAMES = "name without two frames"
    NOT_RIGID = "no pose of a tool"
    FRAME_LABEL = "image labelled with another frame"
    SENDER_ERROR = "the sender reports an error"


USED_ALL_THE_SAME = frozenset(
    {
        DropReason.LATE,
        DropReason.REPEATED,
        DropReason.CLOCK_BACK,
        DropReason.NAME_CUT,
        DropReason.NO_FRAMES,
        DropReason.FRAME_LABEL,
        DropReason.SENDER_ERROR,
        DropReason.TOO_MANY_DEVICES,
    }
)
"""Reasons for which a message is odd, but not lost."""


@dataclass(eq=False)
class MessageProblem:
    """A problem with the messages of a device, and its count.

    Attributes:
        device: name; empty if it is unknown, or if there are too many devices.
        text: description of the first time.
        about: distinguishes problems of the same kind and device, such as by the type of the message.
        is_of_others: it counts devices that are no longer listed by name.
    """

    kind: DropReason
    device: str
    text: str
    count: int = 0
    about: str = ""
    is_of_others: bool = False

    def __str__(self) -> str:
        times = f" ({self.count} times)" if self.count > 1 else ""
        return (f"'{self.device}': " if self.device else "") + self.text + times


class Problems:
    """Problems by kind and device, with counts. Only the first of each is to be reported.

    A peer chooses the names of devices. Beyond `MAX_PROBLEMS` the least recent problem is added to the others of its
    kind, so that current problems are listed; of these, only the first of each kind is to be reported.
    """

    def __init__(self) -> None:
        self._by_key: dict[tuple[DropReason, str, str], MessageProblem] = {}
        self._others: dict[DropReason, MessageProblem] = {}
        self._reported_others: set[DropReason] = set()

    def note(self, kind: DropReason, device: str, text: str, count: int = 1, about: str = "") -> MessageProblem | None:
        """Count a problem; return it if it is to be reported, else None."""
        device, about = printable(device), printable(about)
        key = (kind, device, about)
        known = self._by_key.pop(key, None)
        new, problem = None, known
        if problem is None:
            is_full = len(self._by_key) >= MAX_PROBLEMS
            new = problem = MessageProblem(kind, device, printable(text), about=about)
            if is_full:
                self._make_room()
                new = self._first_of_others(problem)
        self._by_key[key] = problem  # the one that was met last stands last
        problem.count += count
        return new

    def note_once(self, kind: DropReason, device: str, text: str) -> None:
        """Count a problem once for each device, however many messages have it."""
        if (kind, printable(device), "") not in self._by_key and kind not in self._others:
            self.note(kind, device, text)

    def _make_room(self) -> None:
        oldest = self._by_key.pop(next(iter(self._by_key)))
        others = self._others.get(oldest.kind) or self._others.setdefault(oldest.kind, _others(oldest))
        others.count += oldest.count

    def _first_of_others(self, problem: MessageProblem) -> MessageProblem | None:
        if problem.kind in self._reported_others:
            return None
        self._reported_others.add(problem.kind)
        return _others(problem)

    @property
    def lines(self) -> list[str]:
        """A line for each kind of problem and its device, with its count."""
        return [str(problem) for problem in self]

    @property
    def count(self) -> int:
        return sum(problem.count for problem in self)

    def of(self, kind: DropReason) -> int:
        """Return the count of a kind of problem over all devices."""
        return sum(problem.count for problem in self if problem.kind is kind)

    def __iter__(self) -> Iterator[MessageProblem]:
        """Iterate over the problems that are listed by device, then over the others of each kind."""
        return iter([*self._by_key.values(), *self._others.values()])

    def __len__(self) -> int:
        return len(self._by_key) + len(self._others)


def _others(problem: MessageProblem) -> MessageProblem:
    """Return the problem of a kind for all devices that are not listed, with one of them as an example."""
    text = f"{problem.kind.value}: {OTHERS}, such as '{problem.device}': {problem.text}"
    return MessageProblem(problem.kind, "", printable(text), is_of_others=True)


class Unseen:
    """Difference between a list of problems and the same list at the last call."""

    def __init__(self) -> None:
        self._listed: dict[MessageProblem, int] = {}
        self._totals: Counter[DropReason] = Counter()

    def of(self, problems: Iterable[MessageProblem]) -> list[tuple[MessageProblem, int]]:
        """Return each problem whose count has risen, and by how much; one that is no longer listed counts as others."""
        problems = tuple(problems)
        more = [(p, p.count - self._listed.get(p, 0)) for p in problems if not p.is_of_others]
        totals: Counter[DropReason] = Counter()
        listed: Counter[DropReason] = Counter()
        for problem in problems:
            totals[problem.kind] += problem.count
        for problem, count in more:
            listed[problem.kind] += count
        for problem in problems:
            if problem.is_of_others:
                count = totals[problem.kind] - self._totals[problem.kind] - listed[problem.kind]
                more.append((problem, count))
        self._listed, self._totals = {p: p.count for p in problems if not p.is_of_others}, totals
        return [(problem, count) for problem, count in more if count > 0]


class NameCounts(Counter):
    """Counter of names that a peer chooses, bounded in size. Only for `counts[name] += n`.

    Beyond `MAX_NAMES` the count of the least recent name is added to `OTHERS`.
    """

    def __setitem__(self, name: str, count: int) -> None:
        super().pop(name, None)
        if name != OTHERS and len(self) - (OTHERS in self) >= MAX_NAMES:
            oldest = next(known for known in self if known != OTHERS)
            super().__setitem__(OTHERS, self[OTHERS] + self.pop(oldest))
        super().__setitem__(name, count)


@dataclass
class LinkStatistics:
    """Counts of a link, over all of its connections.

    Attributes:
        received: messages delivered, by type.
        dropped: messages not delivered, by reason.
        skipped: messages of unknown types, by type; `problems` has them by type and device.
        frame_label_differs: images whose header states another frame than the setting of the link.
        last_problem: text of the newest reason for which a message was lost.
        problems: problems by reason and device, with counts.
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
        """Return the counts as plain dictionaries and lists, for a report."""
        plain = {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}
        return {**plain, "problems": [str(problem) for problem in self.problems]}

    def drop(self, reason: DropReason, text: str) -> None:
        """Count a message that was discarded."""
        self.dropped[reason.value] += 1
        problem = self.problems.note(reason, "", f"{reason.value}: {text}")
        if problem is not None:
            self.last_problem = problem.text

    def skip(self, message_type: str, device: str) -> None:
        """Count a message of an unknown type."""
        self.skipped[message_type] += 1
        text = f"{message_type} is not understood{ADVICE.get(message_type, '')}"
        self.problems.note(DropReason.NOT_UNDERSTOOD, device, text, about=message_type)
