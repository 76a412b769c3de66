"""Reads a message log: the OpenIGTLink messages exactly as they came, and their arrival times.

    messages.igtl     whole OpenIGTLink messages, header and body, one after another; also those of unknown types
    arrivals.jsonl    a line for each of them, and for each event such as a lost link

`messages.igtl` is what counts: after a crash all of its messages but the last are whole, and for those that
`arrivals.jsonl` does not know their own times stand in. Nothing is read that is not asked for, so that a recording
may be larger than the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BufferedIOBase, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..core.errors import JsonError, MessageError
from ..core.json_fields import ANY_TEXT, COUNT, NAME, TIME, check_object
from ..core.json_files import Damage, json_lines, open_regular
from ..igtl.checksum import crc64
from ..igtl.messages import Message, PatientFrame
from ..igtl.packing import HEADER_BYTES, SUPPORTED_VERSIONS, Header, parse_header
from ..igtl.protocol import read_message
from .message_log_entry import Entry, ImageLayout, ReadBody, entry_of, image_layout

MESSAGES_FILE = "messages.igtl"
ARRIVALS_FILE = "arrivals.jsonl"
FRAME = "frame"
"""What an event calls the frame in which the recorded peer counts."""
MAX_GUESSED_PAUSE_S = 10.0
"""Between two messages whose arrival is unknown; the clocks of two devices may differ by years."""
READ_BUFFER_BYTES = 64 << 10
ARRIVAL = {"received_s": TIME, "offset": COUNT, "bytes": COUNT}
EVENT = {
    "received_s": TIME,
    "event": NAME,
    "why": ANY_TEXT.or_null(),
    "reason": ANY_TEXT.or_null(),
    "count": COUNT.or_absent(),
    "host": ANY_TEXT.or_null(),
    "port": COUNT.or_null(),
}
"""What the lines of `arrivals.jsonl` must hold."""


class Event(NamedTuple):
    """An event of a recording: started, connected, link lost, messages lost, ended."""

    received_s: float
    event: str
    about: dict[str, Any]


@dataclass(frozen=True, eq=False)
class MessageLog:
    """The list of the messages and events of a recording.

    Attributes:
        path: of `messages.igtl`.
        end_bytes: behind the last whole message.
        surplus_bytes: what follows it: a message cut short, or what is no message.
        is_cut_short: the surplus is the beginning of a message.
        damage: lines of `arrivals.jsonl` that were left out; for their messages the messages' own times stand in.
    """

    path: Path
    entries: tuple[Entry, ...]
    events: tuple[Event, ...]
    end_bytes: int
    surplus_bytes: int
    is_cut_short: bool
    frame: PatientFrame = PatientFrame.RAS
    damage: Damage = field(default_factory=Damage)

    @property
    def damaged_bytes(self) -> int:
        """The number of bytes that belong to no message, not even to one that was cut short."""
        readable_bytes = sum(entry.size_bytes for entry in self.entries)
        return self.end_bytes - readable_bytes + (0 if self.is_cut_short else self.surplus_bytes)

    @property
    def duration_s(self) -> float:
        """The seconds from the first message to the last."""
        return self.entries[-1].received_s - self.entries[0].received_s if self.entries else 0.0

    def load(self, entry: Entry) -> Message:
        """Read one message.

        Raises:
            MessageError: its body is damaged, or of a type that this program does not know.
            OSError: the file cannot be read.
        """
        with self.path.open("rb", buffering=0) as stream:
            stream.seek(entry.offset_bytes)
            header = parse_header(stream.read(HEADER_BYTES))
            body = memoryview(np.empty(header.body_bytes, np.uint8).data)
            count = _read_into(stream, body)
        where = f"{entry.type} '{entry.device}' at byte {entry.offset_bytes} of {self.path.name}"
        if count < header.body_bytes:
            raise MessageError(f"{where} ends after {count} of {header.body_bytes} bytes")
        if crc64(body) != header.crc:
            raise MessageError(f"{where} is damaged: its checksum is wrong")
        return read_message(header, body, self.frame)

    def layout(self, entry: Entry) -> ImageLayout:
        """Return how the voxels of an IMAGE lie in its body.

        Raises:
            MessageError: it is no image.
        """
        with self.path.open("rb", buffering=0) as stream:
            stream.seek(entry.offset_bytes)
            header = parse_header(stream.read(HEADER_BYTES))
            layout = image_layout(header, _body_of(stream, entry.offset_bytes))
        if layout is None:
            raise MessageError(f"{entry.type} '{entry.device}' at byte {entry.offset_bytes} is no image")
        return layout


def read_message_log(messages: Path, arrivals: Path | None = None) -> MessageLog:
    """List the messages of a recording by reading their headers.

    Args:
        messages: `messages.igtl`, which may end in the middle of a message.
        arrivals: `arrivals.jsonl`, which may be missing, short or damaged.

    Raises:
        OSError: the messages cannot be read.
    """
    damage = Damage()
    times_s, sizes, events = _read_arrivals(arrivals, damage)
    size_bytes = messages.stat().st_size
    with messages.open("rb", buffering=READ_BUFFER_BYTES) as stream:
        entries = tuple(_walk(stream, size_bytes, times_s, sizes))
        end_bytes = entries[-1].offset_bytes + entries[-1].size_bytes if entries else 0
        arrived_whole = 0 < sizes.get(end_bytes, 0) <= size_bytes - end_bytes
        is_cut_short = end_bytes < size_bytes and not arrived_whole and _is_beginning(stream, end_bytes)
    surplus_bytes = size_bytes - end_bytes
    return MessageLog(messages, entries, events, end_bytes, surplus_bytes, is_cut_short, _frame_in(events), damage)


def _frame_in(events: Iterable[Event]) -> PatientFrame:
    """Return the frame of the recorded peer's coordinates, as noted when the recording began."""
    told = [event.about[FRAME] for event in events if event.about.get(FRAME) in [frame.value for frame in PatientFrame]]
    return PatientFrame(told[0]) if told else PatientFrame.RAS


def _walk(stream: BinaryIO, size_bytes: int, times_s: dict[int, float], sizes: dict[int, int]) -> Iterator[Entry]:
    """Yield the messages, header by header; a damaged one is skipped where its arrival line holds its length."""
    offset, last, newest_s = 0, None, 0.0
    names: dict[Any, Any] = {}  # each is kept once, not a million times
    while offset < size_bytes:
        header, known_bytes = _header_at(stream, offset), sizes.get(offset, 0)
        is_damaged = header is None or HEADER_BYTES + header.body_bytes != known_bytes
        if is_damaged and 0 < known_bytes <= size_bytes - offset:
            offset += known_bytes
            continue
        if header is None or offset + HEADER_BYTES + header.body_bytes > size_bytes:
            return
        received_s = times_s.get(offset)
        is_known = received_s is not None
        if received_s is None:
            received_s = _guessed_arrival_s(last, header.timestamp_s, newest_s)
        entry = entry_of(header, _body_of(stream, offset), offset, max(received_s, last.received_s if last else 0.0))
        kind, device, tools = (names.setdefault(name, name) for name in (entry.type, entry.device, entry.tools))
        last = entry._replace(type=kind, device=device, tools=tools, is_arrival_known=is_known)
        newest_s = max(newest_s, last.timestamp_s)
        offset += last.size_bytes
        yield last


def _guessed_arrival_s(last: Entry | None, timestamp_s: float, newest_s: float) -> float:
    if last is None:
        return timestamp_s
    return last.received_s + min(max(0.0, timestamp_s - newest_s), MAX_GUESSED_PAUSE_S)


def _header_at(stream: BinaryIO, offset_bytes: int) -> Header | None:
    stream.seek(offset_bytes)
    data = stream.read(HEADER_BYTES)
    if len(data) < HEADER_BYTES:
        return None
    try:
        header = parse_header(data)
    except MessageError:
        return None
    return header if header.version in SUPPORTED_VERSIONS else None


def _is_beginning(stream: BinaryIO, offset_bytes: int) -> bool:
    """Return whether a message that was cut short begins here."""
    stream.seek(offset_bytes)
    return len(stream.read(HEADER_BYTES)) < HEADER_BYTES or _header_at(stream, offset_bytes) is not None


def _body_of(stream: BinaryIO, offset_bytes: int) -> ReadBody:
    def read(start: int, count: int) -> bytes:
        stream.seek(offset_bytes + HEADER_BYTES + start)
        return stream.read(count)

    return read


def _read_into(stream: RawIOBase | BufferedIOBase, body: memoryview) -> int:
    """Fill a buffer from a file; a single read may return less than asked for."""
    done = 0
    while done < len(body):
        count = stream.readinto(body[done:])
        if not count:
            break
        done += count
    return done


def _read_arrivals(path: Path | None, damage: Damage) -> tuple[dict[int, float], dict[int, int], tuple[Event, ...]]:
    """Return the arrival times and sizes of the messages by offset, and the events; damaged lines are left out."""
    times_s: dict[int, float] = {}
    sizes: dict[int, int] = {}
    events: list[Event] = []
    if path is None or not path.is_file():
        return times_s, sizes, ()
    with open_regular(path) as stream:
        for line in json_lines(stream):
            problem = line.problem or problem_of_arrival(line.value)
            if problem:
                damage.add(line, problem)
                continue
            entry = line.value
            if "event" in entry:
                about = {name: value for name, value in entry.items() if name not in ("received_s", "event")}
                events.append(Event(float(entry["received_s"]), entry["event"], about))
            else:
                times_s[entry["offset"]], sizes[entry["offset"]] = entry["received_s"], entry["bytes"]
    return times_s, sizes, tuple(events)


def problem_of_arrival(entry: Any) -> str:
    """Return why a line of `arrivals.jsonl` is not valid, in a sentence; empty where it is."""
    try:
        check_object(entry, EVENT if isinstance(entry, dict) and "event" in entry else ARRIVAL)
    except JsonError as error:
        return str(error)
    return ""
