"""The messages of a recording as a timeline; each is read from disk when it is due."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from functools import partial

from ..core.errors import CaseError, MessageError, os_reason
from ..core.json_files import Damage
from ..igtl.messages import (
    ImageMessage,
    Message,
    PointMessage,
    PolyDataMessage,
    StatusMessage,
    StringMessage,
    TrackingMessage,
    TransformMessage,
)
from ..igtl.tracking_data import ELEMENTS, POSE_TYPES
from .case import Case
from .message_log import MessageLog, read_message_log
from .message_log_entry import Entry
from .timed_message import TimedMessage

logger = logging.getLogger(__name__)

KINDS: dict[str, type[Message]] = {
    "IMAGE": ImageMessage,
    **dict.fromkeys(POSE_TYPES, TransformMessage),
    "STRING": StringMessage,
    "STATUS": StatusMessage,
    "POINT": PointMessage,
    "POLYDATA": PolyDataMessage,
}
"""What a replay can send, by its name on the wire."""


def messages_of_recording(case: Case, damage: Damage | None = None) -> tuple[TimedMessage, ...]:
    """Return all messages with their recorded times; types that cannot be sent are left out.

    The tools of a TDATA or QTDATA message become a message each.

    Args:
        damage: takes note of the lines of the arrivals that cannot be used.

    Raises:
        CaseError: the recording cannot be read.
    """
    message_log = message_log_of(case)
    if damage is not None:
        damage.merge(message_log.damage)
    left_out = Counter(entry.type for entry in message_log.entries if entry.type not in KINDS)
    if left_out:
        logger.warning("messages of unknown types are left out of the replay: %s", dict(left_out))
    entries = [
        entry for entry in message_log.entries if entry.type in KINDS and (entry.tools or entry.type not in ELEMENTS)
    ]
    start_s = entries[0].received_s if entries else 0.0
    return tuple(timed for entry in entries for timed in _timed(message_log, entry, entry.received_s - start_s))


def _timed(message_log: MessageLog, entry: Entry, offset_s: float) -> Iterator[TimedMessage]:
    arrival_s = entry.received_s if entry.is_arrival_known else None
    if entry.tools:
        for number, tool in enumerate(entry.tools):
            pose = partial(_load_tool, message_log, entry, number)
            yield TimedMessage(offset_s, tool, TransformMessage, False, pose, entry.timestamp_s, arrival_s)
    else:
        load, kind = partial(_load, message_log, entry), KINDS[entry.type]
        yield TimedMessage(offset_s, entry.device, kind, entry.is_volume, load, entry.timestamp_s, arrival_s)


def _load_tool(message_log: MessageLog, entry: Entry, number: int) -> TransformMessage:
    message = _load(message_log, entry)
    element = message.elements[number] if isinstance(message, TrackingMessage) else "it holds no tools"
    if isinstance(element, str):
        raise CaseError(f"{entry.type} '{entry.device}' at byte {entry.offset_bytes}: {element}")
    return element


def message_log_of(case: Case) -> MessageLog:
    """Read the message log of a case.

    Raises:
        CaseError: it cannot be read.
    """
    if case.recording is None:
        raise CaseError(f"{case.case_id} holds no recording")
    try:
        return read_message_log(case.path_of(case.recording), case.path_of(case.arrivals) if case.arrivals else None)
    except OSError as error:
        raise CaseError(
            f"{case.recording} of {case.case_id} cannot be read: {os_reason(error)}; copy it again"
        ) from error


def _load(message_log: MessageLog, entry: Entry) -> Message:
    try:
        return message_log.load(entry)
    except MessageError as error:
        raise CaseError(str(error)) from error
    except OSError as error:
        raise CaseError(f"{message_log.path} cannot be read: {os_reason(error)}") from error
