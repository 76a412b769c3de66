"""The summary of a recording, in numbers and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ..core.text import printable
from ..igtl.packing import is_known
from ..igtl.statistics import DropReason
from .message_log import ARRIVALS_FILE, MessageLog

STARTED, CONNECTED, LINK_LOST, LOST, ENDED = "started", "connected", "link lost", "messages lost", "ended"
ODD = "odd messages"
"""Events of a recording."""
MAX_REFUSALS = 32
"""Lines of the table of what cannot be used; the rest is counted together."""
A_CRASH = "a crash"
ROLES = {"ProbeToReference": "probe", "StylusToReference": "pointer", "ReferenceToTracker": "liver_sensor"}
"""What devices with the names that PLUS gives are."""


@dataclass(frozen=True)
class Refusal:
    """Messages that cannot be used as they came, or were lost, with the reason.

    Attributes:
        what: their type and device, or what else is known of them.
    """

    what: str
    reason: str
    count: int


@dataclass(frozen=True)
class Recorded:
    """A recording that has become a case.

    Attributes:
        seconds: from the first message to the last.
        volumes: those that can be segmented.
        unreadable: messages that are recorded as they came, but whose content is damaged.
        damaged_bytes: of the file that can no longer be read as messages, left as they are.
        unknown: messages of types that this program does not know, by type; recorded as they came.
        lost: messages that never came to be recorded, by reason.
        reconnections: how often the link was lost and came back.
        ended_by: why it ended; "a crash" where it does not say.
        left_out: what the case lacks, since there was no room for it.
        results, events: of a session recording.
        missing: files of results or volumes that are not there as they were written.
        unusable: what to tell of lines of the recording that were left out, empty where there are none.
        refusals: what cannot be used as it came, with the reason; bounded.
    """

    folder: Path
    messages: int
    volumes: int
    seconds: float
    size_bytes: int
    unreadable: int
    unknown: dict[str, int]
    lost: dict[str, int]
    reconnections: int
    ended_by: str
    damaged_bytes: int = 0
    left_out: tuple[str, ...] = ()
    results: int = 0
    events: int = 0
    missing: tuple[str, ...] = ()
    unusable: str = ""
    refusals: tuple[Refusal, ...] = ()


def summary_of(
    message_log: MessageLog, volumes: int, unreadable: int, left_out: tuple[str, ...], refused: Iterable[Refusal] = ()
) -> Recorded:
    """Count what is in a recording.

    Args:
        volumes, unreadable, left_out, refused: what only reading it has shown.
    """
    return Recorded(
        folder=message_log.path.parent,
        messages=len(message_log.entries),
        volumes=volumes,
        seconds=message_log.duration_s,
        size_bytes=message_log.end_bytes,
        unreadable=unreadable,
        unknown=dict(Counter(entry.type for entry in message_log.entries if not is_known(entry.type))),
        lost=_lost(message_log),
        reconnections=max(0, sum(event.event == CONNECTED for event in message_log.events) - 1),
        damaged_bytes=message_log.damaged_bytes,
        ended_by=next((str(event.about.get("why")) for event in message_log.events if event.event == ENDED), A_CRASH),
        left_out=left_out,
        unusable=message_log.damage.sentence(ARRIVALS_FILE),
        refusals=_bounded([*refused, *_not_understood(message_log), *_refusals_in(message_log)]),
    )


def refusal_lines(recorded: Recorded) -> list[str]:
    """Return the table of messages that cannot be used, for a terminal; no line where all can."""
    if not recorded.refusals:
        return []
    width = max(len(str(refusal.count)) for refusal in recorded.refusals)
    lines = [
        f"  {refusal.count:>{width}} x {printable(refusal.what, 60)}: {printable(refusal.reason)}"
        for refusal in recorded.refusals
    ]
    return ["Refused or odd:", *lines]


def _not_understood(message_log: MessageLog) -> list[Refusal]:
    counts = Counter((entry.type, entry.device) for entry in message_log.entries if not is_known(entry.type))
    reason = f"{DropReason.NOT_UNDERSTOOD.value}, kept as it came"
    return [Refusal(f"{kind} '{device}'", reason, count) for (kind, device), count in counts.most_common()]


def _refusals_in(message_log: MessageLog) -> list[Refusal]:
    """Return what was lost or unusual during the recording, from its events."""
    found: Counter[tuple[str, str]] = Counter()
    for event in message_log.events:
        count = event.about.get("count")
        if event.event in (LOST, ODD) and isinstance(count, int):
            device = str(event.about.get("device") or "")
            what = f"'{device}'" if device else str(event.about.get("reason"))
            found[what, str(event.about.get("text") or event.about.get("reason"))] += count
    return [Refusal(what, reason, count) for (what, reason), count in found.items()]


def _bounded(refusals: list[Refusal]) -> tuple[Refusal, ...]:
    if len(refusals) <= MAX_REFUSALS:
        return tuple(refusals)
    listed, others = refusals[: MAX_REFUSALS - 1], refusals[MAX_REFUSALS - 1 :]
    text = f"{len(others)} more reasons, devices and types"
    return (*listed, Refusal("others", text, sum(refusal.count for refusal in others)))


def sentence_of(recorded: Recorded) -> str:
    """Return what was recorded, in one line for a terminal."""
    volumes = "1 volume" if recorded.volumes == 1 else f"{recorded.volumes} volumes"
    parts = [f"{recorded.messages} messages, {volumes}, {recorded.seconds:.1f} s, {recorded.size_bytes / 1e6:.1f} MB"]
    parts += [f"{count} lost: {reason}" for reason, count in recorded.lost.items()]
    if recorded.reconnections:
        parts.append(f"link lost and found again {recorded.reconnections} times")
    if recorded.unreadable:
        parts.append(f"{recorded.unreadable} of them unreadable, kept as they came")
    parts += [f"{count} of the unknown type {kind}, kept as they came" for kind, count in recorded.unknown.items()]
    if recorded.damaged_bytes:
        parts.append(f"{recorded.damaged_bytes} bytes are damaged and no messages any more, kept as they are")
    parts += [f"no room for {name}" for name in recorded.left_out]
    if recorded.events:
        parts.append(f"{recorded.results} result{'' if recorded.results == 1 else 's'}, {recorded.events} events")
    parts += [f"{name} is lost or damaged" for name in recorded.missing]
    parts += [recorded.unusable] if recorded.unusable else []
    return "; ".join(printable(part) for part in parts)


def roles_in(message_log: MessageLog) -> dict[str, str]:
    """Return the devices that have the names of PLUS, by their role."""
    present = {name for entry in message_log.entries for name in entry.poses}
    return {role: device for device, role in ROLES.items() if device in present}


def _lost(message_log: MessageLog) -> dict[str, int]:
    lost: Counter[str] = Counter()
    for event in message_log.events:
        if event.event == LOST and isinstance(event.about.get("count"), int):
            lost[str(event.about.get("reason"))] += event.about["count"]
    return dict(lost)


def source_of(message_log: MessageLog, recorded: Recorded) -> dict[str, object]:
    """Return `source` of the case: where it came from, without anything about a patient."""
    started = next((event.about for event in message_log.events if event.event == STARTED), {})
    times_s = [entry.received_s for entry in message_log.entries] or [event.received_s for event in message_log.events]
    return {
        "kind": "recorded",
        "host": started.get("host"),
        "port": started.get("port"),
        "started": iso_of(times_s[0]) if times_s else None,
        "ended": iso_of(times_s[-1]) if times_s else None,
        "ended_by": recorded.ended_by,
        "messages": dict(Counter(entry.type for entry in message_log.entries)),
        "lost": recorded.lost,
        "unreadable": recorded.unreadable,
        "reconnections": recorded.reconnections,
    }


def iso_of(time_s: float) -> str | None:
    try:
        return datetime.fromtimestamp(time_s, timezone.utc).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):  # a time that was guessed from a clock that is wrong
        return None
