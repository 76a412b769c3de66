"""What a module says to its user through slicer.util: recorded, answered by the test, never waiting."""

from __future__ import annotations

import logging
import types
from collections.abc import Callable
from dataclasses import dataclass, field

from PySide6.QtWidgets import QMessageBox

from .errors import HostError

_KINDS = {1: "info", 2: "warning", 3: "error", 4: "question"}
_BOX = {"windowTitle", "icon", "standardButtons", "detailedText", "informativeText", "defaultButton"} | {
    *("dontShowAgainSettingsKey", "textFormat", "objectName", "toolTip"),
}
_YES = ("Yes", "Ok", "Retry", "Open", "Save")
_NO = ("No", "Cancel", "Close", "Abort")


@dataclass(frozen=True)
class Message:
    """One message box; kind is info, warning, error or question."""

    kind: str
    text: str
    title: str = ""
    detail: str = ""


@dataclass
class UserMessages:
    """The user's side of slicer.util."""

    shown: list[Message] = field(default_factory=list)
    answers: list[bool | int] = field(default_factory=list)
    pip: list[str] = field(default_factory=list)
    pip_result: Callable[[str], None] | None = None

    def message_box(self, text: str, parent: object = None, **keywords: object) -> int:
        """In place of slicer.util.messageBox, which all the displays go through.

        Raises:
            AttributeError: a keyword that no message box has.
            HostError: a question that the test did not answer beforehand.
        """
        unknown = set(keywords) - _BOX
        if unknown:
            raise AttributeError(f"QMessageBox has no attribute named {sorted(unknown)}")
        buttons = int(keywords.get("standardButtons") or _button("Ok"))
        asked = buttons not in (_button("Ok"), _button("Close"))
        kind = "question" if asked else _KINDS.get(int(keywords.get("icon", 1) or 1), "info")
        self.shown.append(
            Message(kind, text, str(keywords.get("windowTitle", "")), str(keywords.get("detailedText", "")))
        )
        return self._answer(text, buttons) if asked else buttons

    def _answer(self, text: str, buttons: int) -> int:
        if not self.answers:
            raise HostError(f"the user is asked {text!r}; put an answer into host.answers first")
        answer = self.answers.pop(0)
        if not isinstance(answer, bool):
            return int(answer)
        names = _YES if answer else _NO
        offered = [_button(name) for name in names if buttons & _button(name)]
        if not offered:
            raise HostError(f"none of {names} is offered by {text!r}")
        return offered[0]

    def delay_display(
        self, message: str, autoCloseMsec: int = 1000, parent: object = None, **_keywords: object
    ) -> None:
        """In place of slicer.util.delayDisplay: does not wait."""
        logging.info(message)
        self.shown.append(Message("delay", message))

    def pip_install(self, requirements: str | list[str]) -> None:
        """In place of slicer.util.pip_install: only noted; pip_result may raise what a failing pip would."""
        text = requirements if isinstance(requirements, str) else " ".join(requirements)
        self.pip.append(text)
        if self.pip_result is not None:
            self.pip_result(text)

    def overrides(self) -> dict[str, object]:
        """What to put into slicer.util."""
        return {
            "messageBox": self.message_box,
            "delayDisplay": self.delay_display,
            "pip_install": self.pip_install,
            "pip_uninstall": lambda requirements: self.pip.append(f"uninstall {requirements}"),
        }


def _button(name: str) -> int:
    return QMessageBox.StandardButton[name].value


def sample_data(register_in: object) -> types.ModuleType:
    """Stand-in for the module SampleData: only the registering of sources."""
    module = types.ModuleType("SampleData", "Stand-in for Slicer's SampleData module.")

    class SampleDataLogic:
        """Stand-in for SampleData.SampleDataLogic."""

        @staticmethod
        def registerCustomSampleDataSource(
            category: str = "Custom",
            sampleName: str | None = None,
            uris: object = None,
            fileNames: object = None,
            nodeNames: object = None,
            customDownloader: object = None,
            thumbnailFileName: str | None = None,
            loadFileType: str = "VolumeFile",
            loadFiles: object = None,
            loadFileProperties: dict | None = None,
            checksums: object = None,
        ) -> None:
            source = types.SimpleNamespace(**locals())
            register_in.sampleDataSources.setdefault(category, []).append(source)

    module.SampleDataLogic = SampleDataLogic
    return module
