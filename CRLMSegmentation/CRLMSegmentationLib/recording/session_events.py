"""The event log of a session: one line of JSON for each event, in a file that is only appended to.

    {"time_s": 1700000000.25, "elapsed_s": 12.5, "event": "seed placed", "lesion": "Tumour 1", ...}

`time_s` counts from 1970 by this machine's clock, `elapsed_s` from the start of the recording by a clock that is never
set. A line is handed to the system at once, so it outlives the death of the process. One that was cut short, or has a
value of the wrong kind (see `session_event_fields`), is left out by the reader, which counts such lines.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ..core.json_files import Damage, json_lines, open_regular
from .message_log_writer import SYNC_EVERY_S, AppendedFile
from .session_event_fields import ENVELOPE, problem_of

EVENTS_FILE = "events.jsonl"
STARTED, ENDED = "started", "ended"
SEED_PLACED, SEED_MOVED, SEED_REMOVED = "seed placed", "seed moved", "seed removed"
POINT_PLACED, POINT_MOVED, POINT_REMOVED = "point placed", "point moved", "point removed"
RESULT, CORRECTED, RECALCULATED = "result", "corrected by hand", "recalculated"
UNDONE, REDONE, TAKEN_OVER = "undone", "done again", "taken over"
SEGMENTATIONS = (CORRECTED, UNDONE, REDONE, TAKEN_OVER)
"""Beside results: which segmentation of a lesion stands from then on."""
VOLUME, MODEL, READY, SOURCE = "volume", "model", "ready", "source"
CONNECTED, LINK_LOST = "connected", "link lost"
IN_DOUBT, TRUSTED_AGAIN = "in doubt", "trusted again"
TIP_DISTANCE, TIP = "smallest tip distance", "tip distance"
FAILED, NOTE = "failed", "note"
LESS_RECORDED = "less is recorded"
SEEDS = (SEED_PLACED, SEED_MOVED)
POINTS = (POINT_PLACED, POINT_MOVED, POINT_REMOVED)
logger = logging.getLogger(__name__)


class SessionEvent(NamedTuple):
    """An event of a session: its time, its kind and its fields."""

    time_s: float
    elapsed_s: float
    event: str
    about: dict[str, Any]


class EventLog:
    """The writer of an event log; what was written is synchronized to the disk about once a second.

    Attributes:
        count: of the lines.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, folder: Path, clock: Callable[[], float], sync_every_s: float = SYNC_EVERY_S) -> None:
        self._file = AppendedFile(folder / EVENTS_FILE)
        self._clock, self._started_at_s, self._started_since_1970_s = clock, clock(), time.time()
        self.count = 0
        self._failure: OSError | None = None
        self._unsynced: deque[Path] = deque()
        self._closing = threading.Event()
        self._syncing = threading.Thread(target=self._sync, args=(sync_every_s,), daemon=True)
        self._syncing.start()

    @property
    def size_bytes(self) -> int:
        return self._file.end_bytes

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._started_at_s

    def write(self, event: str, **about: object) -> None:
        """Append an event.

        Raises:
            OSError: the disk takes no more; the line is not there.
        """
        if self._failure is not None:
            raise self._failure
        elapsed_s = self.elapsed_s
        entry = {"time_s": round(time.time(), 6), "elapsed_s": round(elapsed_s, 6), "event": event, **about}
        self._file.append(json.dumps(_plain(entry), allow_nan=False).encode("ascii") + b"\n")
        self.count += 1

    def sync_soon(self, path: Path) -> None:
        """Synchronize another, complete file to the disk as well."""
        self._unsynced.append(path)

    def close(self) -> None:
        """Close the file; what was written is on the disk when this returns, unless the disk fails."""
        self._closing.set()
        self._syncing.join()
        with contextlib.suppress(OSError):  # a full disk has been told already
            self._sync_once()
        self._file.close()

    def _sync(self, every_s: float) -> None:
        while not self._closing.wait(every_s):
            try:
                self._sync_once()
            except OSError as error:  # the next write tells it
                self._failure = error
                return

    def _sync_once(self) -> None:
        while self._unsynced:
            number = os.open(self._unsynced.popleft(), os.O_RDWR | getattr(os, "O_BINARY", 0))
            try:
                os.fsync(number)
            finally:
                os.close(number)
        self._file.sync()


def read_events(path: Path, damage: Damage | None = None) -> tuple[SessionEvent, ...]:
    """Read the events of a recording in their order; a line that is not a valid event is left out.

    Args:
        damage: takes note of the lines that were left out; None logs them.

    Raises:
        OSError: the file cannot be read.
    """
    found, events = Damage() if damage is None else damage, []
    with open_regular(path) as stream:
        for line in json_lines(stream):
            problem = line.problem or problem_of(line.value)
            if problem or line.is_cut_off:
                found.add(line, problem)
            else:
                events.append(_event_of(line.value))
    if damage is None and found.is_any:
        logger.warning("%s", found.sentence(path.name))
    return tuple(events)


def _event_of(entry: dict[str, Any]) -> SessionEvent:
    about = {name: value for name, value in entry.items() if name not in ENVELOPE}
    return SessionEvent(float(entry["time_s"]), float(entry["elapsed_s"]), entry["event"], about)


def _plain(value: Any) -> Any:
    """Return a value as JSON's own types; what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
