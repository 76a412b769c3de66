"""A recorded session as it lies in its folder, finished or still being written. Nothing is changed there.

Whatever the events name is whole: a file is complete before it is named, a message that was cut short does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import CaseError, MessageError, os_reason
from ..core.folder_lock import LOCK_FILE
from ..core.hashing import sha256_of
from ..core.json_files import Damage
from ..core.text import quoted
from ..core.volume import Volume, read_volume
from ..igtl.messages import volume_of
from .case import CASE_FILE, path_inside
from .folder import RESERVE_FILE
from .image_files import read_mask
from .message_log import ARRIVALS_FILE, MESSAGES_FILE, MessageLog, read_message_log
from .session_events import ENDED, EVENTS_FILE, SOURCE, SessionEvent, read_events
from .session_results import SAME_MOMENT_S

GONE = "its volume is not in the recording"


class SessionReader:
    """Attributes: events: in their order; damage: lines that were left out, since they are none.

    Raises:
        CaseError: there is no recorded session, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damage = Damage()
        self.events: Sequence[SessionEvent] = _events_of(folder, self.damage)
        self._last: tuple[tuple[str, str], Volume] | None = None

    @property
    def ended_by(self) -> str | None:
        """Why it ended; None where it does not say: it goes on, or was ended by force."""
        return next((str(e.about.get("why")) for e in reversed(self.events) if e.event == ENDED), None)

    @property
    def is_case(self) -> bool:
        """Whether it has been finished."""
        return (self.folder / CASE_FILE).is_file()

    @property
    def is_simulated(self) -> bool | None:
        """Whether the source said so; None where it said nothing."""
        told = [e.about.get("simulated") for e in self.events if e.event == SOURCE]
        return any(told) if told else None

    @property
    def size_bytes(self) -> int:
        """Of all that is recorded, at this moment."""
        files = (path for path in self.folder.rglob("*") if path.name not in (LOCK_FILE, RESERVE_FILE))
        return sum(path.stat().st_size for path in files if path.is_file())

    def volume(self, reference: Mapping[str, Any]) -> Volume:
        """The volume that an event speaks of, as it was to the last bit. The one before is kept at hand.

        Raises:
            CrlmError: it is not in the recording.
        """
        try:
            key = reference["content_sha256"], reference["geometry_sha256"]
            if self._last is None or self._last[0] != key:
                self._last = key, self._read(reference)
        except (KeyError, TypeError, ValueError) as error:
            raise CaseError(f"{GONE}: it is not described") from error
        except OSError as error:
            raise CaseError(f"{GONE}: {os_reason(error)}") from error
        return self._last[1]

    def mask(self, mask: Mapping[str, Any] | None, shape: Sequence[int]) -> np.ndarray:
        """The mask that an event speaks of: bool, shape (K, J, I) of its volume.

        Raises:
            CrlmError: it cannot be read.
        """
        if mask is None:
            return np.zeros(tuple(shape), bool)
        try:
            path = self._inside(mask["file"])
            if sha256_of(path) != mask["sha256"]:
                raise CaseError("its outline was changed or damaged after it was recorded")
            return read_mask(path, tuple(mask["offset_kji"]), tuple(shape))
        except (KeyError, TypeError, ValueError) as error:
            raise CaseError("its outline is not described") from error
        except OSError as error:
            raise CaseError(f"its outline cannot be read: {os_reason(error)}") from error

    def _read(self, reference: Mapping[str, Any]) -> Volume:
        matrix = np.array(reference["ijk_to_ras"], float).reshape(4, 4)
        swept = read_volume(self._inside(reference["swept"]), self.folder).array > 0 if reference.get("swept") else None
        for array in self._candidates(reference):
            volume = Volume(array, matrix, reference["device"], reference["timestamp_s"], swept)
            if volume.identity.content_sha256 == reference["content_sha256"]:
                return volume
        raise CaseError(f"{GONE}; it was left out or is damaged")

    def _candidates(self, reference: Mapping[str, Any]) -> Iterator[np.ndarray]:
        """Voxels that may be those of a volume."""
        if reference["file"]:
            yield read_volume(self._inside(reference["file"]), self.folder).recorded_array
            return
        shape, time_s = tuple(reference["shape"]), reference["timestamp_s"]
        for entry in self._message_log.entries if self._message_log else ():
            if entry.is_volume and tuple(entry.shape) == shape and abs(entry.timestamp_s - time_s) < SAME_MOMENT_S:
                try:
                    yield volume_of(self._message_log.load(entry)).recorded_array
                except MessageError:  # it is damaged; another may be the one
                    continue

    @cached_property
    def _message_log(self) -> MessageLog | None:
        path = self.folder / MESSAGES_FILE
        return read_message_log(path, self.folder / ARRIVALS_FILE) if path.is_file() else None

    def _inside(self, name: str) -> Path:
        """A file of the recording; a recording that comes from elsewhere may name any."""
        try:
            return path_inside(self.folder, name)
        except CaseError as error:
            raise CaseError(f"the recording names {quoted(name, marks='')}, which is not in it") from error


def _events_of(folder: Path, damage: Damage) -> Sequence[SessionEvent]:
    if not folder.is_dir():
        raise CaseError(f"no such folder: {folder}; give the folder of a recorded session")
    try:
        events = read_events(folder / EVENTS_FILE, damage)
    except FileNotFoundError as error:
        raise CaseError(
            f"{folder} holds no recorded session: there is no {EVENTS_FILE}; give a folder that the panel has "
            f"recorded into"
        ) from error
    except OSError as error:
        raise CaseError(f"{folder / EVENTS_FILE} cannot be read: {os_reason(error)}; copy it again") from error
    if not events:
        why = f": {damage.sentence(EVENTS_FILE)}" if damage.is_any else " yet"
        raise CaseError(f"{folder / EVENTS_FILE} holds no event{why}; there is nothing to report")
    return events
