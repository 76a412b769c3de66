"""Control of the session recording as set in the panel: when and where, and the report on it.

A recording begins with the first volume or link and ends with the workspace, or when it is no longer wanted.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.child_process import ChildProcess
from ...core.errors import CrlmError
from ...core.i18n import tr as _
from ...core.resources import PACKAGE_ROOT
from ..dependencies import missing
from .workspace import Workspace

if TYPE_CHECKING:  # needs pyigtl, which Slicer may lack
    from .workspace_recorder import WorkspaceRecorder

NAME = "crlm-session-%Y%m%d-%H%M%S"


class RecordingControl:
    """Begins and ends the `WorkspaceRecorder` of a workspace.

    Attributes:
        recorder: what writes; None without the packages for it.
        is_wanted: whether to record.
        parent: where the folder of a recording is made.
        budget_bytes: of the disk.
        report_page: of the last report, whether or not it has been written yet; None before the first.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.recorder = _recorder_of(workspace)
        self.is_wanted, self.parent, self.budget_bytes = False, Path(), 20e9
        self._was_wanted = self._has_begun = False
        self._reporting: ChildProcess | None = None
        self.report_page: Path | None = None

    @property
    def is_reporting(self) -> bool:
        """Whether a report is being written."""
        return self._reporting is not None and self._reporting in self._workspace.children

    def prepare(self) -> None:
        """Begin or end the recording as set in the panel; call it before each turn of the workspace."""
        if self.is_wanted != self._was_wanted:
            self._was_wanted, self._has_begun = self.is_wanted, False
            if not self.is_wanted:
                self.end()
        if self.recorder is not None and self.is_wanted and not self._has_begun and self._has_source():
            self._has_begun = True  # one that cannot be written is not tried again at each turn
            self.recorder.begin(free_folder(self.parent), self.budget_bytes)
            self._workspace.note(self.recorder.problem or f"recording into {self.recorder.folder}")

    def update(self) -> None:
        """Record what has rested by now; call it after each turn of the workspace."""
        if self.recorder is not None:
            self.recorder.update()

    def end(self) -> None:
        """End the recording, and write into the log where it is."""
        told = self.recorder.end() if self.recorder is not None else ""
        if told:
            self._workspace.note(told)

    def begin_report(self) -> None:
        """Start writing a page about what has been recorded so far, `report_page`.

        Raises:
            CrlmError: nothing has been recorded, a page is being written already, or packages are missing.
        """
        folder = self.recorder.folder if self.recorder is not None else None
        if folder is None or not folder.is_dir():
            raise CrlmError(_("nothing has been recorded yet; tick Record the session, then open a volume or connect"))
        if self.is_reporting:
            raise CrlmError(_("a report is being written already; wait for it"))
        absent = ", ".join(package.requirement for package in missing("report"))
        if absent:
            raise CrlmError(_("{names} is missing; press Install").format(names=absent))
        from .workspace_recorder import report_command

        self.report_page = folder.parent / f"{folder.name}-{time.strftime('%H%M%S')}.html"
        command = report_command(self._workspace.python, folder, self.report_page)
        self._reporting = ChildProcess(command, PACKAGE_ROOT)
        self._workspace.children.append(self._reporting)

    def _has_source(self) -> bool:
        return self._workspace.session.link is not None or self._workspace.volume.node is not None


def _recorder_of(workspace: Workspace) -> WorkspaceRecorder | None:
    if missing("connect"):
        return None
    from ...recording import session_recorder  # noqa: F401 - imported now: a second that no turn is to take
    from .workspace_recorder import WorkspaceRecorder

    return WorkspaceRecorder(workspace)


def free_folder(parent: Path) -> Path:
    """Return the path of a new folder, named by date and time."""
    name = time.strftime(NAME)
    names = (name if count == 1 else f"{name}-{count}" for count in range(1, 1000))
    return next(parent / name for name in names if not (parent / name).exists())
