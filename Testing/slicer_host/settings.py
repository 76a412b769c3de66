"""QSettings of the host, in a file of its own."""

from __future__ import annotations

from PySide6 import QtCore


class Settings(QtCore.QSettings):
    """QSettings() without arguments opens the host's file; SlicerHost sets the path."""

    slicer_class = "QSettings"
    path = ""

    def __init__(self, *arguments: object) -> None:
        if arguments:
            super().__init__(*arguments)
        else:
            super().__init__(Settings.path, QtCore.QSettings.Format.IniFormat)
