"""What has passed over a link, and what was left out and why. A peer can make none of it grow without bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from ..core.text import printable

MAX_NAMES = 64
"""Types that are counted by name; the rest is counted as `OTHERS`."""
MAX_PROBLEMS = 32
OTHERS = "others"
ADVICE = {
    "VIDEO": "; have the sender send IMAGE",
    "TRACKEDFRAME": "; have PLUS send IMAGE and TRANSFORM",
    "USMESSAGE": "; have PLUS send IMAGE and TRANSFORM",
}
"""What to do about a type of message that is not understood."""


class DropReason(str, Enum):
    """Why something that came was not used as it came. The value says it in words."""

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
class Problem:
    """How often something has happened, and how it was told the first time.

    Attributes:
        device: whose message it was; empty where that is not known, or where there are too many.
        about: what else tells one problem of a kind and device from another, such as the type of the message.
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
    """Counts by kind and device. The first of each is worth telling, the others are counted.

    A peer chooses the names: beyond `MAX_PROBLEMS` the one that was met longest ago is counted among the others of
    its kind, so that what goes wrong now is listed. Of those beyond, only the first of each kind is worth telling.
    """

    def __init__(self) -> None:
        self._by_key: dict[tuple[DropReason, str, str], Problem] = {}
        self._others: dict[DropReason, Problem] = {}
        self._told_others: set[DropReason] = set()

    def note(self, kind: DropReason, device: str, text: str, count: int = 1, about: str = "") -> Problem | None:
        """Count; returns the problem when it is worth telling, else None."""
        device, about = printable(device), printable(about)
        key = (kind, device, about)
        known = self._by_key.pop(key, None)
        told, problem = None, known
        if problem is None:
            is_full = len(self._by_key) >= MAX_PROBLEMS
            told = problem = Problem(kind, device, printable(text), about=about)
            if is_full:
                self._make_room()
                told = self._first_of_others(problem)
        self._by_key[key] = problem  # the one that was met last stands last
        problem.count += count
        return told

    def note_once(self, kind: DropReason, device: str, text: str) -> None:
        """Count what would be noted with each message of a device only with the first of them."""
        if (kind, printable(device), "") not in self._by_key and kind not in self._others:
            self.note(kind, device, text)

    def _make_room(self) -> None:
        oldest = self._by_key.pop(next(iter(self._by_key)))
        others = self._others.get(oldest.kind) or self._others.setdefault(oldest.kind, _others(oldest))
        others.count += oldest.count

    def _first_of_others(self, problem: Problem) -> Problem | None:
        if problem.kind in self._told_others:
            return None
        self._told_others.add(problem.kind)
        return _others(problem)

    @property
    def count(self) -> int:
        return sum(problem.count for problem in self)

    def of(self, kind: DropReason) -> int:
        """How often this has happened, over all devices."""
        return sum(problem.count for problem in self if problem.kind is kind)

    def __iter__(self) -> Iterator[Problem]:
        """Those that are listed by name, then the others of each kind."""
        return iter([*self._by_key.values(), *self._others.values()])

    def __len__(self) -> int:
        return len(self._by_key) + len(self._others)


def _others(problem: Problem) -> Problem:
    """Stands for the devices that are not listed by name, such as that of a problem."""
    text = f"{problem.kind.value}: {OTHERS}, such as '{problem.device}': {problem.text}"
    return Problem(problem.kind, "", printable(text), is_of_others=True)


class Unseen:
    """What has been added to a list of problems since the last look at it."""

    def __init__(self) -> None:
        self._listed: dict[Problem, int] = {}
        self._totals: Counter[DropReason] = Counter()

    def of(self, problems: Iterable[Problem]) -> list[tuple[Problem, int]]:
        """Each problem that was met again, and how often; one that is no longer listed counts among the others."""
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
    """Counts by a name that a peer chooses. Only for `counts[name] += n`.

    Beyond `MAX_NAMES` the name that was counted longest ago goes to the others: what comes now has its own count.
    """

    def __setitem__(self, name: str, count: int) -> None:
        super().pop(name, None)
        if name != OTHERS and len(self) - (OTHERS in self) >= MAX_NAMES:
            oldest = next(known for known in self if known != OTHERS)
            super().__setitem__(OTHERS, self[OTHERS] + self.pop(oldest))
        super().__setitem__(name, count)


@dataclass
class LinkStatistics:
    """Counts since the link was made, reconnections included.

    Attributes:
        received: messages delivered, by type.
        dropped: messages not delivered, by reason.
        skipped: messages of types that this program does not know, by type; beyond `MAX_NAMES` as "others".
            `problems` has them by type and device.
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

    def skip(self, message_type: str, device: str) -> None:
        """Count a message whose type this program does not know."""
        self.skipped[message_type] += 1
        text = f"{message_type} is not understood{ADVICE.get(message_type, '')}"
        self.problems.note(DropReason.NOT_UNDERSTOOD, device, text, about=message_type)
