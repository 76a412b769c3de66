"""The frame at the top of the panel in which errors and news are told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import qt
import slicer

from ...core.errors import CrlmError
from ..dependencies import missing


class MessageArea:
    """Shows one message at a time, with a button to install packages while any is missing.

    Args:
        ui: the widgets of the panel, by their names.
        note: adds a line to the log of the workspace.
    """

    def __init__(self, ui: Any, note: Callable[[str], None]) -> None:
        self._ui, self._note = ui, note
        ui.installButton.setVisible(False)
        ui.dismissButton.clicked.connect(lambda *_: ui.messageFrame.setVisible(False))

    def show(self, text: str) -> None:
        """Show a text until another comes or the user closes it."""
        self._ui.messageLabel.setText(text)
        self._ui.installButton.setVisible(bool(missing()))
        self._ui.messageFrame.setVisible(True)
        slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)

    def show_error(self, error: Exception) -> None:
        """Show an error; one that was not raised on purpose is logged with its traceback."""
        level = logging.WARNING if isinstance(error, CrlmError) else logging.ERROR
        logging.log(level, "%s", error, exc_info=error)
        self._note(f"{type(error).__name__}: {error}")
        self.show(str(error) or type(error).__name__)
