"""The files of a session recording while it is written: messages, events, volumes and masks, within the disk budget."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..core.errors import CrlmError, os_reason
from ..core.volume import Volume
from ..igtl.dialects import Dialect
from .budget import Budget, BudgetStep
from .folder import release_reserve
from .link_log import LinkLog
from .message_log_writer import RecordingError
from .saved_images import LOADED, SavedMasks, SavedVolumes
from .session_events import ENDED, LESS_RECORDED, STARTED, EventLog

logger = logging.getLogger(__name__)

LINK_ENDED = "the link is not recorded any more"
OTHER_FRAME = "this link counts in another frame than that before; its messages are not recorded, results are"


class SessionStorage:
    """The writer of all files of a session recording; the folder must be `claimed`.

    Attributes:
        notice: what is left out by now, and why; empty while everything is recorded.
        link_problem: why the link is not recorded any more; empty while it is.

    Raises:
        OSError, RecordingError: nothing can be written there.
    """

    def __init__(self, folder: Path, budget_bytes: float, clock: Callable[[], float]) -> None:
        self.folder, self.notice, self.link_problem = folder, "", ""
        self._budget = Budget(folder, budget_bytes, clock)
        self._is_closed = False
        self._log = EventLog(folder, clock)
        try:
            self._link = LinkLog(folder)
        except RecordingError:
            self._log.close()
            raise
        self._volumes = SavedVolumes(folder, self._log.sync_soon)
        self._masks = SavedMasks(folder, self._log.sync_soon)
        self._log.write(STARTED, program=__version__)

    @property
    def used_bytes(self) -> int:
        return self._link.log.size_bytes + self._log.size_bytes + self._volumes.size_bytes + self._masks.size_bytes

    @property
    def events(self) -> int:
        return self._log.count

    @property
    def left_out(self) -> dict[str, int]:
        """Messages of the link that were not recorded, by kind."""
        return dict(self._link.left_out)

    @property
    def has_images(self) -> bool:
        """Whether a message or a volume has been recorded."""
        return bool(self._link.log.messages or self._volumes.count)

    def append(self, header: memoryview, body: memoryview) -> None:
        """Record a message of the link, unless there is no room for such; a failure ends only the link's recording.

        Raises:
            OSError: not even that can be written down.
        """
        if self.link_problem:
            return
        step = self._update_budget()
        try:
            self._link.append(header, body, step)
        except (OSError, CrlmError) as error:
            self._end_link(error)

    def begin_link(self, host: str, port: int, peer: Dialect) -> None:
        """Record that another link begins.

        Raises:
            OSError, RecordingError: the disk takes no more.
        """
        if not self.link_problem and not self._link.begin(host, port, peer):
            self.write(LESS_RECORDED, what=OTHER_FRAME)

    def note_link(self, is_connected: bool, why: str) -> None:
        """Record that the link was connected or lost; a failure ends only the link's recording."""
        if self.link_problem:
            return
        try:
            self._link.note(is_connected, why)
        except RecordingError as error:
            self._end_link(error)

    def write(self, event: str, **about: object) -> None:
        """Append an event.

        Raises:
            OSError: the disk takes no more; it is not there.
        """
        self._log.write(event, **about)
        self._update_budget()

    def reference(self, volume: Volume) -> dict[str, Any]:
        """Return the entry by which a volume is read again; save the volume unless it is in a message or saved already.

        Raises:
            OSError: there is no room.
        """
        is_in_link = not self._volumes.is_saved(volume) and self._link.holds(volume)
        return self._volumes.reference(volume, is_in_link, self.name_of(volume))

    def name_of(self, volume: Volume) -> str:
        """Return the name of a volume in the recording, without the name of a file or node."""
        return volume.device if self._link.has_sent(volume) else LOADED

    def save_mask(
        self, name: str, part: np.ndarray, offset_kji: tuple[int, int, int], volume: Volume
    ) -> dict[str, Any] | None:
        """Save a mask, see `SavedMasks.save`."""
        return self._masks.save(name, part, offset_kji, volume)

    def fail(self, why: str) -> None:
        """End the recording after a failure, which is written down where there is still room."""
        with contextlib.suppress(OSError):
            release_reserve(self.folder)
            self._log.write(ENDED, why=why)
        self.close(why)

    def close(self, why: str) -> None:
        """Close all files; what was recorded is on the disk when this returns, unless the disk fails."""
        if self._is_closed:
            return
        self._is_closed = True
        with contextlib.suppress(RecordingError):  # told already, where it matters
            self._link.end(why)
        self._log.close()

    def _update_budget(self) -> BudgetStep:
        before = self._budget.step
        step = self._budget.update(self.used_bytes)
        if step > before:
            self.notice = f"{step.text}: {self._budget.reason}"
            self._log.write(LESS_RECORDED, what=step.text, why=self._budget.reason)
        return step

    def _end_link(self, error: Exception) -> None:
        reason = text_of(error)
        self.link_problem = f"{LINK_ENDED}: {reason}"
        logger.warning("%s: %s", self.folder, self.link_problem)
        release_reserve(self.folder)
        self._log.write(LESS_RECORDED, what=LINK_ENDED, why=reason)


def text_of(error: Exception) -> str:
    """Return the text of an error for a user."""
    if isinstance(error, OSError):
        return os_reason(error)
    return str(error) if isinstance(error, CrlmError) else f"{type(error).__name__}: {error}"
