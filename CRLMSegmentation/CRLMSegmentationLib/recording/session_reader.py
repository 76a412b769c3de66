"""Reads a recorded session, finished or still being written, without changing it.

Whatever the events name is whole: a file is complete before it is named, a message that was cut short does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.errors import CaseError, os_reason
from ..core.folder_lock import LOCK_FILE
from ..core.json_files import Damage
from .case import CASE_FILE
from .folder import RESERVE_FILE
from .recorded_images import RecordedImages
from .session_events import ENDED, EVENTS_FILE, SOURCE, SessionEvent, read_events


class SessionReader:
    """The recording of a session in its folder.

    Attributes:
        events: in their order.
        damage: lines that were left out, since they are no events.
        images: volumes and masks that the events name.

    Raises:
        CaseError: there is no recorded session, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damage = Damage()
        self.events: Sequence[SessionEvent] = _events_of(folder, self.damage)
        self.images = RecordedImages(folder)

    @property
    def ended_by(self) -> str | None:
        """The reason why it ended; None where it still runs or was ended by force."""
        return next((str(e.about.get("why")) for e in reversed(self.events) if e.event == ENDED), None)

    @property
    def is_case(self) -> bool:
        """Whether it has been finished as a case."""
        return (self.folder / CASE_FILE).is_file()

    @property
    def is_simulated(self) -> bool | None:
        """Whether the data are simulated; None where the source did not say."""
        told = [e.about.get("simulated") for e in self.events if e.event == SOURCE]
        return any(told) if told else None

    @property
    def size_bytes(self) -> int:
        """The size of all recorded files at this moment."""
        files = (path for path in self.folder.rglob("*") if path.name not in (LOCK_FILE, RESERVE_FILE))
        return sum(path.stat().st_size for path in files if path.is_file())


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
