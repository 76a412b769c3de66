"""Makes a case of a recording: headers, tracking and `case.json` are written beside what was recorded.

The same is done when a recording ends and when one is recovered after a crash, so that both give the same case.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..core.errors import CaseError, CrlmError, MessageError, os_reason
from ..core.geometry import RAS_TO_LPS
from ..core.json_fields import MAX_NAME
from ..core.progress import OnProgress
from ..core.text import ascii_name, printable
from ..core.volume import Volume
from ..igtl.messages import ImageMessage, Message, TrackingMessage, TransformMessage, parts_of, volume_of
from ..igtl.packing import HEADER_BYTES
from .case import (
    DETACHED_HEADER_SUFFIX,
    TRACKING_FILE,
    UNFINISHED_SUFFIX,
    Case,
    CaseVolume,
    TrackingSample,
    append_tracking,
    save_case,
)
from .folder import check_unfinished, locked, release_reserve
from .message_log import ARRIVALS_FILE, MESSAGES_FILE, MessageLog, read_message_log
from .message_log_entry import Entry, ImageLayout
from .message_log_writer import REASONS, RecordingError
from .session_case import RecordedSession, has_session_log, session_log_in
from .session_events import EVENTS_FILE
from .summary import MAX_REFUSALS, Recorded, Refusal, roles_in, source_of, summary_of

logger = logging.getLogger(__name__)

NRRD_TYPES = {
    2: "signed char", 3: "unsigned char", 4: "short", 5: "unsigned short", 6: "int", 7: "unsigned int",
    10: "float", 11: "double",
}  # fmt: skip
NRRD_HEADER = """\
NRRD0005
# A volume of the recording {data}; its voxels are not stored a second time.
type: {type}
dimension: 3
space: left-posterior-superior
sizes: {sizes}
space directions: {directions}
kinds: domain domain domain
endian: {endian}
encoding: raw
byte skip: {skip}
space origin: {origin}
data file: {data}
"""
HASHED_BYTES = 4 << 20
NO_NAME = "unnamed"


def recover(folder: Path | str, on_progress: OnProgress = lambda *_: None) -> Recorded:
    """Turn the recording of a program that was ended by force into a case.

    Raises:
        CaseError: there is no recording, or it is a case already.
        RecordingError: another program is recording there, or there is no room for the case.
    """
    folder = Path(folder)
    check_unfinished(folder)
    with locked(folder):
        return finish_recording(folder, on_progress)


def finish_recording(folder: Path, on_progress: OnProgress = lambda *_: None) -> Recorded:
    """Write headers, tracking and `case.json` beside the messages of a recording that has ended.

    What it was interrupted at it can do again.

    Raises:
        CaseError: no message was recorded.
        RecordingError: there is no room for the case; the recording is not touched.
    """
    release_reserve(folder)
    try:
        return _finish(folder, on_progress)
    except OSError as error:
        raise RecordingError(
            f"{folder} cannot be finished: {os_reason(error)}; what was recorded is kept, "
            f"free some space and finish it with: crlm-seg recover {folder}"
        ) from error
    except KeyboardInterrupt as error:
        notes = [f"what was recorded is kept; finish it with: crlm-seg recover {folder}"]
        setattr(error, "__notes__", notes)  # noqa: B010  (add_note is of Python 3.11)
        raise


def _finish(folder: Path, on_progress: OnProgress) -> Recorded:
    session_log = session_log_in(folder) if has_session_log(folder) else None
    message_log = _whole_messages(folder, may_be_empty=session_log is not None)
    contents = _Contents(message_log, on_progress)
    volumes = _write_volumes(contents)
    has_tracking, left_out = _write_tracking(contents)
    if session_log is not None:
        volumes += session_log.volumes
    recorded = summary_of(message_log, len(volumes), contents.unreadable, left_out, contents.refused)
    recorded = _recorded_with(recorded, session_log) if session_log else recorded
    has_arrivals = (folder / ARRIVALS_FILE).is_file()
    case = Case(
        folder=folder,
        case_id=printable(folder.resolve().name, MAX_NAME) or NO_NAME,
        volumes=tuple(volumes),
        tracking=TRACKING_FILE if has_tracking else None,
        recording=MESSAGES_FILE,
        arrivals=ARRIVALS_FILE if has_arrivals else None,
        devices=roles_in(message_log),
        source=source_of(message_log, recorded),
    )
    hashes = {MESSAGES_FILE: _hash_of(message_log.path, on_progress)}
    if session_log is not None:
        case = _with_session_log(case, session_log)
        hashes.update(session_log.hashes)
    save_case(case, hashes)
    return recorded


def _with_session_log(case: Case, session_log: RecordedSession) -> Case:
    """Return a case with the session's lesions, events and results; without a link there is no recording to play."""
    is_played = case.source["messages"] or not case.volumes
    return replace(
        case,
        lesions=session_log.lesions,
        recording=case.recording if is_played else None,
        arrivals=case.arrivals if is_played else None,
        source={**case.source, **session_log.source},
        events=EVENTS_FILE,
        results=session_log.masks,
    )


def _recorded_with(recorded: Recorded, session_log: RecordedSession) -> Recorded:
    """Return the summary of a recording with the figures of its session."""
    return replace(
        recorded,
        seconds=session_log.seconds,
        size_bytes=recorded.size_bytes + sum((recorded.folder / name).stat().st_size for name in session_log.hashes),
        ended_by=session_log.ended_by,
        results=session_log.results,
        events=len(session_log.events),
        missing=session_log.missing,
        unusable="; ".join(filter(None, (recorded.unusable, session_log.damage.sentence(EVENTS_FILE)))),
    )


class _Contents:
    """The messages of a recording, with a count of those whose content is damaged."""

    def __init__(self, message_log: MessageLog, on_progress: OnProgress) -> None:
        self.message_log, self.on_progress = message_log, on_progress
        self.unreadable = 0
        self._refused: dict[tuple[str, str], Refusal] = {}

    @property
    def refused(self) -> list[Refusal]:
        """The messages that could not be read or used, with the first reason of each type and device."""
        return list(self._refused.values())

    def refuse(self, entry: Entry, reason: str) -> None:
        """Record that a message cannot be used."""
        logger.warning("%s", reason)
        known = self._refused.get((entry.type, entry.device))
        if known is None and len(self._refused) >= MAX_REFUSALS:
            return
        first = known or Refusal(f"{entry.type} '{entry.device}'", reason, 0)
        self._refused[entry.type, entry.device] = replace(first, count=first.count + 1)

    def of(self, entries: list[Entry], what: str) -> Iterator[tuple[Entry, Message]]:
        for number, entry in enumerate(entries, 1):
            self.on_progress(what, number, len(entries))
            try:
                message = self.message_log.load(entry)
            except MessageError as error:
                self.refuse(entry, str(error))
                self.unreadable += 1
                continue
            for reason in message.refusals if isinstance(message, TrackingMessage) else ():
                self.refuse(entry, reason)
            yield entry, message


def _whole_messages(folder: Path, may_be_empty: bool) -> MessageLog:
    """Read the message log, and cut an incomplete message off its end."""
    path = folder / MESSAGES_FILE
    message_log = read_message_log(path, folder / ARRIVALS_FILE)
    if not message_log.entries and not may_be_empty:
        raise CaseError(f"{folder} holds no message; there is nothing to make a case of")
    if message_log.is_cut_short:
        os.truncate(path, message_log.end_bytes)
    return message_log


def _write_volumes(contents: _Contents) -> list[CaseVolume]:
    volumes: list[CaseVolume] = []
    entries = [entry for entry in contents.message_log.entries if entry.is_volume]
    for entry, message in contents.of(entries, "Volumes"):
        if not isinstance(message, ImageMessage):
            continue
        try:
            volume = volume_of(message)
        except CrlmError as error:
            contents.refuse(entry, f"recorded, but no volume to segment: {error}")
            continue
        name = f"volume-{len(volumes) + 1:04d}{DETACHED_HEADER_SUFFIX}"
        header = nrrd_header(entry, contents.message_log.layout(entry), volume)
        (contents.message_log.path.parent / name).write_bytes(header.encode("ascii"))
        volumes.append(CaseVolume(name, _ascii_name(entry.device), entry.timestamp_s))
    return volumes


def nrrd_header(entry: Entry, layout: ImageLayout, volume: Volume) -> str:
    """Return a detached NRRD header that points to the voxels within the message log."""
    ijk_to_lps = RAS_TO_LPS @ volume.ijk_to_ras
    return NRRD_HEADER.format(
        type=NRRD_TYPES[layout.scalar_type],
        sizes=" ".join(str(count) for count in volume.shape_ijk),
        directions=" ".join(_vector(column) for column in ijk_to_lps[:3, :3].T),
        endian="big" if layout.is_big_endian else "little",
        skip=entry.offset_bytes + HEADER_BYTES + layout.voxels_at_bytes,
        origin=_vector(ijk_to_lps[:3, 3]),
        data=MESSAGES_FILE,
    )


def _vector(numbers: np.ndarray) -> str:
    return "(" + ",".join(repr(float(number)) for number in numbers) + ")"


def _write_tracking(contents: _Contents) -> tuple[bool, tuple[str, ...]]:
    """Write the tracking file of the case; on a full disk it is left out, since the message log holds it.

    Returns:
        Whether there is a file, and what had no room.
    """
    folder = contents.message_log.path.parent
    entries = [entry for entry in contents.message_log.entries if entry.poses]
    if not entries:
        return False, ()
    unfinished = folder / (TRACKING_FILE + UNFINISHED_SUFFIX)
    unfinished.unlink(missing_ok=True)
    try:
        messages = (part for _, message in contents.of(entries, "Transforms") for part in parts_of(message))
        append_tracking(unfinished, (_sample(m) for m in messages if isinstance(m, TransformMessage)))
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        if error.errno not in REASONS:
            raise
        return False, (TRACKING_FILE,)
    os.replace(unfinished, folder / TRACKING_FILE)
    return True, ()


def _sample(message: TransformMessage) -> TrackingSample:
    return TrackingSample(message.timestamp_s, _ascii_name(message.device), message.full_status, message.matrix)


def _ascii_name(device: str) -> str:
    """Return a device name in ASCII, as a case holds it."""
    return ascii_name(device, NO_NAME)


def _hash_of(path: Path, on_progress: OnProgress) -> str:
    total_mb = max(1, path.stat().st_size // 1_000_000)
    digest = hashlib.sha256()
    done_bytes = 0
    with path.open("rb", buffering=0) as stream:
        while block := stream.read(HASHED_BYTES):
            digest.update(block)
            done_bytes += len(block)
            on_progress("Hash (MB)", min(total_mb, done_bytes // 1_000_000), total_mb)
    return digest.hexdigest()
