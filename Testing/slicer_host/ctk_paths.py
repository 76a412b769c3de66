"""Stand-ins for ctk's widgets that ask for a file or folder."""

from __future__ import annotations

import os

from PySide6 import QtCore, QtWidgets

from .dialogs import next_answer
from .settings import Settings
from .stand_in import StandIn, plain, through


class CtkPathLineEdit(StandIn, QtWidgets.QWidget):
    """Stand-in for ctkPathLineEdit: an editable box with its history in the settings, and a browse button."""

    slicer_class = "ctkPathLineEdit"
    own_signals = ("currentPathChanged(QString)", "validInputChanged(bool)")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._combo = QtWidgets.QComboBox(self)
        self._combo.setEditable(True)
        self._button = QtWidgets.QToolButton(self)
        self._button.setText("...")
        self._valid = False
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._combo, 1)
        row.addWidget(self._button)
        self._combo.editTextChanged.connect(self._changed)
        self._button.clicked.connect(self.browse)

    p_currentPath = through(lambda self: self._combo.currentText(), lambda self, path: self.setCurrentPath(path))
    p_showBrowseButton = through(lambda self: not self._button.isHidden(), lambda self, on: self._button.setVisible(on))
    p_label = plain("")
    p_filters = plain(0)
    p_options = plain(0)
    p_settingKey = plain("", changed="retrieveHistory")
    p_showHistoryButton = plain(True)
    p_sizeAdjustPolicy = plain(0)
    p_minimumContentsLength = plain(0)
    p_nameFilters = plain(())

    def setCurrentPath(self, path: str) -> None:
        self._combo.setEditText(path)

    def setCurrentDirectory(self, path: str) -> None:
        self.setCurrentPath(path)

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._combo

    def addCurrentPathToHistory(self) -> None:
        path = self.p_currentPath
        if path and self._combo.findText(path) < 0:
            with QtCore.QSignalBlocker(self._combo):
                self._combo.insertItem(0, path)
                self._combo.setEditText(path)
        if self.p_settingKey:
            texts = [self._combo.itemText(index) for index in range(min(10, self._combo.count()))]
            Settings().setValue(self.p_settingKey, texts)

    def retrieveHistory(self) -> None:
        kept = Settings().value(self.p_settingKey) or []
        with QtCore.QSignalBlocker(self._combo):
            self._combo.clear()
            self._combo.addItems([kept] if isinstance(kept, str) else list(kept))
        self._changed(self._combo.currentText())

    def browse(self) -> None:
        self.setCurrentPath(str(next_answer("ctkPathLineEdit.browse()")))

    def updateHasValidInput(self) -> None:
        valid = os.path.exists(self.p_currentPath)
        if valid != self._valid:
            self._valid = valid
            self.emit_own("validInputChanged(bool)", valid)

    def _changed(self, path: str) -> None:
        self.updateHasValidInput()
        self.emit_own("currentPathChanged(QString)", path)


class CtkDirectoryButton(StandIn, QtWidgets.QWidget):
    """Stand-in for ctkDirectoryButton: a button that shows a folder and asks for another."""

    slicer_class = "ctkDirectoryButton"
    own_signals = ("directoryChanged(QString)", "directorySelected(QString)")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._button = QtWidgets.QPushButton(self)
        self._directory = ""
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._button)
        self._button.clicked.connect(self.browse)
        self.set_directory(".")

    p_directory = through(lambda self: self._directory, lambda self, path: self.set_directory(path))
    p_text = through(lambda self: self._button.text(), lambda self, text: self._button.setText(text))
    p_icon = through(lambda self: self._button.icon(), lambda self, icon: self._button.setIcon(icon._real))
    p_caption = plain("")
    p_acceptMode = plain(0)
    p_elideMode = plain(3)
    p_options = plain(0)

    def set_directory(self, path: str) -> None:
        path = QtCore.QDir(path).path()
        if path == self._directory:
            return
        self._directory = path
        self._button.setText(QtCore.QDir(path).absolutePath())
        self.emit_own("directoryChanged(QString)", path)

    def browse(self) -> None:
        path = str(next_answer("ctkDirectoryButton.browse()"))
        if path:
            self.set_directory(path)
            self.emit_own("directorySelected(QString)", path)
