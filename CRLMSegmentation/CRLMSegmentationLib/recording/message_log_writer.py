"""Writes a message log while messages arrive, see `message_log`.

Each message is handed to the system at once, without a buffer or a queue of this program: what has been counted
outlives the death of the process. A thread asks the system once a second to put it on the disk, which is what a
power cut leaves.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
from collections import Counter
from pathlib import Path

from ..core.errors import CrlmError, os_reason
from ..core.text import printable
from ..igtl.packing import parse_header
from ..igtl.statistics import NameCounts
from .message_log import ARRIVALS_FILE, MESSAGES_FILE
from .message_log_entry import Entry, entry_of

SYNC_EVERY_S = 1.0
SMALL_BYTES = 64 << 10
"""A smaller message goes out in one call to the system."""
WRITE_BYTES = 64 << 20
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
REASONS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Why a disk takes no more."""
_fdatasync = getattr(os, "fdatasync", os.fsync)


class RecordingError(CrlmError):
    """A recording that cannot be begun or go on."""


class MessageLogWriter:
    """Appends messages and events to a new recording; `append` is the `on_message` of a client.

    Attributes:
        counts: messages by device; beyond `statistics.MAX_NAMES` as "others".
        volumes: images of more than one slice among them.

    Raises:
        RecordingError: the files cannot be made.
    """

    def __init__(self, folder: Path, sync_every_s: float = SYNC_EVERY_S) -> None:
        self.counts: Counter[str] = NameCounts()
        self.volumes = 0
        self._since_1970_s = time.time() - time.monotonic()  # a clock that is set meanwhile must not reorder anything
        self._failure: OSError | None = None
        try:
            self._messages = AppendedFile(folder / MESSAGES_FILE)
            self._arrivals = AppendedFile(folder / ARRIVALS_FILE)
        except OSError as error:
            raise RecordingError(f"nothing can be recorded into {folder}: {os_reason(error)}") from error
        self._closing = threading.Event()
        self._syncing = threading.Thread(target=self._sync, args=(sync_every_s,), daemon=True)
        self._syncing.start()

    @property
    def messages(self) -> int:
        return sum(self.counts.values())

    @property
    def recorded_bytes(self) -> int:
        """The size of the complete messages."""
        return self._messages.end_bytes

    @property
    def size_bytes(self) -> int:
        """The size of all that is written."""
        return self._messages.end_bytes + self._arrivals.end_bytes

    def describe(self, header: memoryview, body: memoryview) -> Entry:
        """Return the entry under which `append` would record a message now.

        Raises:
            MessageError: it has no header.
        """
        read = lambda start, count: bytes(body[start : start + count])  # noqa: E731
        return entry_of(parse_header(bytes(header)), read, self._messages.end_bytes, self._now_s())

    def append(self, header: memoryview, body: memoryview, entry: Entry | None = None) -> None:
        """Record a message as it came.

        Args:
            entry: what `describe` has just returned for it, so that it is not read twice.

        Raises:
            RecordingError: the disk takes no more; the recording ends with the message before.
            MessageError: it has no header.
        """
        entry = entry or self.describe(header, body)
        parts = (bytes(header) + bytes(body),) if len(body) <= SMALL_BYTES else (header, body)
        self._guarded(self._messages, *parts)
        self.counts[entry.device] += 1
        self.volumes += entry.is_volume
        self._write_line(_line_of(entry))

    def note(self, event: str, **about: object) -> None:
        """Record an event.

        Raises:
            RecordingError: the disk takes no more.
        """
        self._write_line({"received_s": round(self._now_s(), 6), "event": event, **about})

    def close(self) -> None:
        """End the recording; all of it is on the disk when this returns, unless the disk fails."""
        self._closing.set()
        self._syncing.join()
        for file in (self._messages, self._arrivals):
            with contextlib.suppress(OSError):  # a full disk has been told already
                file.sync()
            file.close()

    def _now_s(self) -> float:
        return self._since_1970_s + time.monotonic()

    def _write_line(self, entry: dict[str, object]) -> None:
        self._guarded(self._arrivals, json.dumps(entry).encode("ascii") + b"\n")

    def _guarded(self, file: AppendedFile, *parts: bytes | memoryview) -> None:
        try:
            if self._failure is not None:
                raise self._failure
            file.append(*parts)
        except OSError as error:
            raise RecordingError(os_reason(error)) from error

    def _sync(self, every_s: float) -> None:
        while not self._closing.wait(every_s):
            try:
                self._messages.sync()
                self._arrivals.sync()
            except OSError as error:
                self._failure = error
                return


class AppendedFile:
    """A new file to which each piece is appended completely or not at all, unless the process dies.

    Attributes:
        end_bytes: behind what was written last.
    """

    def __init__(self, path: Path) -> None:
        self._number = os.open(path, NEW_FILE, 0o666)
        self.end_bytes = 0

    def append(self, *parts: bytes | memoryview) -> None:
        try:
            for part in parts:
                self._write_all(memoryview(part))
        except OSError:
            with contextlib.suppress(OSError):  # what is left over is recognised when the file is read
                os.ftruncate(self._number, self.end_bytes)
            raise
        self.end_bytes += sum(map(len, parts))

    def sync(self) -> None:
        _fdatasync(self._number)

    def close(self) -> None:
        os.close(self._number)

    def _write_all(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self._number, data[:WRITE_BYTES]) :]


def _line_of(entry: Entry) -> dict[str, object]:
    line: dict[str, object] = {
        "received_s": round(entry.received_s, 6),
        "offset": entry.offset_bytes,
        "bytes": entry.size_bytes,
        "type": entry.type,
        "device": printable(entry.device),
        "timestamp_s": round(entry.timestamp_s, 6),
    }
    return line if entry.shape is None else {**line, "shape": entry.shape}
