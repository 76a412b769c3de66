"""The session recording of a workspace, written as a case folder by `recording.session_recorder`.

Nothing here raises: when something fails, the recording ends and says why, and the operation goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.i18n import tr as _
from ..dependencies import missing
from .event_writer import EventWriter
from .events import WorkspaceEvent
from .workspace import Workspace

if TYPE_CHECKING:  # needs pyigtl, which Slicer may lack
    from ...recording.session_recorder import SessionRecorder

logger = logging.getLogger(__name__)

DEFAULT_BUDGET_BYTES = 20e9
MAX_FINISHED_BYTES = 300e6
"""A case is made at once of what is read again in a second."""


class WorkspaceRecorder:
    """Subscribes to the events of a workspace and records them, from `begin` to `end`.

    Args:
        workspace: its clock is to be the same.
    """

    def __init__(self, workspace: Workspace, clock: Callable[[], float] = time.monotonic) -> None:
        self._workspace, self._clock = workspace, clock
        self._recorder: SessionRecorder | None = None
        self._failure = ""
        self._address: tuple[str, int] | None = None
        self._is_simulated: bool | None = None
        self._writer: EventWriter | None = None

    @property
    def is_recording(self) -> bool:
        return self._recorder is not None and self._recorder.is_recording

    @property
    def folder(self) -> Path | None:
        """The folder of the recording, also after its end; None before the first."""
        return self._recorder.folder if self._recorder else None

    @property
    def problem(self) -> str:
        """Why the recording, or that of the link, has ended by itself; empty otherwise."""
        return self._failure or (self._recorder.problem if self._recorder else "")

    @property
    def notice(self) -> str:
        """What is left out by now, and why; empty while everything is recorded."""
        return self._recorder.notice if self._recorder else ""

    @property
    def used_bytes(self) -> int:
        return self._recorder.used_bytes if self._recorder else 0

    def begin(self, folder: Path, budget_bytes: float = DEFAULT_BUDGET_BYTES) -> None:
        """Record into a folder, which is made and must be empty; `problem` says why it cannot be."""
        if self.is_recording:
            self.end()
        self._failure, self._recorder = "", None
        absent = ", ".join(package.requirement for package in missing("connect"))
        if absent:
            self._failure = _("{names} is missing; press Install").format(names=absent)
            return
        from ...recording.session_recorder import SessionRecorder

        self._recorder = SessionRecorder(folder, budget_bytes, self._clock)
        self._writer = EventWriter(self._workspace, self._recorder, self._clock)
        if self._is_simulated is not None:
            self._recorder.source(self._is_simulated)
        self._guarded(self._writer.begin, self._address)
        self._workspace.events.subscribe(self)

    def end(self) -> str:
        """End the recording, and make a case of it where that takes no longer than a moment.

        Returns:
            What has become of it, for people; empty where nothing was being recorded.
        """
        self._workspace.events.unsubscribe(self)
        recorder, writer = self._recorder, self._writer
        if recorder is None or writer is None or not recorder.is_recording:
            return ""
        from ...recording.summary import sentence_of

        self._guarded(writer.update, True)
        if recorder.used_bytes > MAX_FINISHED_BYTES:
            recorder.close()
            text = _("recorded into {folder}; make a case of it with: crlm-seg recover {folder}")
            return text.format(folder=self.folder)
        recorded = recorder.finish()
        if recorded is None:
            return self.problem or _("nothing happened, so nothing was recorded")
        return _("recorded into {folder}: {summary}").format(folder=self.folder, summary=sentence_of(recorded))

    def on_message(self, header: memoryview, body: memoryview) -> None:
        """Record a message of the link; give this to `IgtlClient`."""
        if self._recorder is not None:
            self._recorder.on_message(header, body)

    def use_link(self, host: str, port: int) -> None:
        """Note the address to which a client is about to connect, whether or not it is being recorded."""
        self._address = (host, port)
        if self._recorder is not None:
            self._recorder.use_link(host, port)

    def use_source(self, is_simulated: bool | None) -> None:
        """Note whether the source is simulated, None where that is not known, whether or not it is recorded."""
        self._is_simulated = is_simulated
        if self._recorder is not None and is_simulated is not None:
            self._recorder.source(is_simulated)

    def handle(self, event: WorkspaceEvent) -> None:
        """Record an event of the workspace, as an `EventListener`."""
        if self._writer is not None and self.is_recording:
            self._guarded(self._writer.write, event)

    def update(self) -> None:
        """Record what has rested by now, such as a seed that was dragged; call it after each turn."""
        if self._writer is not None and self.is_recording:
            self._guarded(self._writer.update)

    def _guarded(self, step: Callable[..., None], *arguments: Any) -> None:
        try:
            step(*arguments)
        except Exception as error:  # whatever it is: the operation goes on without a recording
            logger.exception("the recording failed")
            text = _("the recording has ended: {reason}; the session goes on without it")
            self._failure = text.format(reason=f"{type(error).__name__}: {error}")
            if self._recorder is not None:
                self._recorder.close(self._failure)


def report_command(python: str, folder: Path, page: Path) -> list[str]:
    """Return the command that reports on a recorded folder; it runs in `resources.PACKAGE_ROOT`.

    Args:
        page: HTML file to write; a JSON file of the same name is written beside it.
    """
    return [python, "-m", "CRLMSegmentationLib.reports.session_report", str(folder), str(page)]
