"""Keyboard shortcuts of the application, which a foot pedal can send, while the module is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
import slicer


class Shortcuts:
    """Installs and removes shortcuts.

    Args:
        handlers: what each key does, by its name.

    Attributes:
        installed: the QShortcut objects that exist now.
    """

    def __init__(self, handlers: Mapping[str, Callable[[], None]]) -> None:
        self._handlers = handlers
        self.installed: list[Any] = []

    def install(self) -> None:
        """Make the shortcuts of the main window."""
        self.remove()
        for key, handler in self._handlers.items():
            shortcut = qt.QShortcut(slicer.util.mainWindow())
            shortcut.setKey(qt.QKeySequence(key))
            shortcut.connect("activated()", handler)
            self.installed.append(shortcut)

    def remove(self) -> None:
        """Take the shortcuts away."""
        for shortcut in self.installed:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
            shortcut.deleteLater()
        self.installed = []
