"""Stand-ins for ctk's widgets: real Qt inside, the properties, methods and signals of ctk outside."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

from .stand_in import StandIn, plain, through


class CtkCollapsibleButton(StandIn, QtWidgets.QAbstractButton):
    """Stand-in for ctkCollapsibleButton: a titled, checkable button over contents that it shows and hides."""

    slicer_class = "ctkCollapsibleButton"
    own_signals = ("contentsCollapsed(bool)",)

    def __init__(self, *arguments: object) -> None:
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        super().__init__(next((a for a in arguments if isinstance(a, QtWidgets.QWidget)), None))
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, 24, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Minimum)
        self.toggled.connect(self._toggled)

    p_collapsed = through(lambda self: not self.isChecked(), lambda self, on: self.setChecked(not on))
    p_collapsedHeight = plain(0)
    p_flat = plain(False)
    p_contentsFrameShape = plain(0)
    p_contentsFrameShadow = plain(0)
    p_contentsLineWidth = plain(1)
    p_contentsMidLineWidth = plain(0)
    p_buttonTextAlignment = plain(0x81)
    p_indicatorAlignment = plain(0x81)

    def collapse(self, on: bool) -> None:
        self.setChecked(not on)

    def _toggled(self, opened: bool) -> None:
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(opened)
        self.emit_own("contentsCollapsed(bool)", not opened)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        """Widgets put into a closed button stay hidden."""
        super().childEvent(event)
        if event.added() and event.child().isWidgetType() and not self.isChecked():
            event.child().setVisible(False)

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < 24

    def sizeHint(self) -> QtCore.QSize:
        """As high as the title and, when it is open, the contents."""
        inside = self.layout().totalSizeHint() if self.layout() and self.isChecked() else QtCore.QSize(80, 24)
        return inside.expandedTo(QtCore.QSize(120, 24))

    def minimumSizeHint(self) -> QtCore.QSize:
        inside = self.layout().totalMinimumSize() if self.layout() and self.isChecked() else QtCore.QSize(80, 24)
        return inside.expandedTo(QtCore.QSize(80, 24))

    def paintEvent(self, _event: object) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width(), 22)
        option.text = f"{'▾' if self.isChecked() else '▸'}  {self.text()}"
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButton, option)


class CtkCollapsibleGroupBox(StandIn, QtWidgets.QGroupBox):
    """Stand-in for ctkCollapsibleGroupBox: a checkable group box that hides its contents when unchecked."""

    slicer_class = "ctkCollapsibleGroupBox"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(self._toggled)

    p_collapsed = through(lambda self: not self.isChecked(), lambda self, on: self.setChecked(not on))
    p_collapsedHeight = plain(14)

    def expand(self, on: bool) -> None:
        self.setChecked(on)

    def _toggled(self, opened: bool) -> None:
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly):
            child.setVisible(opened)


class CtkSliderWidget(StandIn, QtWidgets.QWidget):
    """Stand-in for ctkSliderWidget: a slider and a spin box that show the same number."""

    slicer_class = "ctkSliderWidget"
    own_signals = ("decimalsChanged(int)", "valueChanged(double)", "valueIsChanging(double)")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        self._box = QtWidgets.QDoubleSpinBox(self)
        self._box.setMaximum(100.0)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider)
        row.addWidget(self._box)
        self._box.valueChanged.connect(self._changed)
        self._slider.valueChanged.connect(self._dragged)

    p_decimals = through(lambda self: self._box.decimals(), lambda self, value: self.setDecimals(value))
    p_value = through(lambda self: self._box.value(), lambda self, value: self.setValue(value))
    p_minimum = through(lambda self: self._box.minimum(), lambda self, value: self._box.setMinimum(value))
    p_maximum = through(lambda self: self._box.maximum(), lambda self, value: self._box.setMaximum(value))
    p_singleStep = through(lambda self: self._box.singleStep(), lambda self, value: self._box.setSingleStep(value))
    p_prefix = through(lambda self: self._box.prefix(), lambda self, value: self._box.setPrefix(value))
    p_suffix = through(lambda self: self._box.suffix(), lambda self, value: self._box.setSuffix(value))
    p_spinBoxVisible = through(lambda self: not self._box.isHidden(), lambda self, on: self._box.setVisible(on))
    p_pageStep = plain(10.0)
    p_tickInterval = plain(0.0)
    p_tickPosition = plain(0)
    p_tracking = plain(True)
    p_popupSlider = plain(False)
    p_spinBoxAlignment = plain(0x81)
    p_synchronizeSiblings = plain(0)
    p_invertedAppearance = plain(False)
    p_invertedControls = plain(False)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    setSpinBoxValue = setSliderValue = setValue

    def setDecimals(self, decimals: int) -> None:
        self._box.setDecimals(decimals)
        self.emit_own("decimalsChanged(int)", decimals)

    def setSpinBoxVisible(self, on: bool) -> None:
        self._box.setVisible(on)

    def reset(self) -> None:
        self.setValue(0.0)

    def _changed(self, value: float) -> None:
        low, high = self._box.minimum(), self._box.maximum()
        with QtCore.QSignalBlocker(self._slider):
            self._slider.setValue(round(100 * (value - low) / (high - low)) if high > low else 0)
        self.emit_own("valueIsChanging(double)", value)
        self.emit_own("valueChanged(double)", value)

    def _dragged(self, percent: int) -> None:
        low, high = self._box.minimum(), self._box.maximum()
        self.setValue(low + percent * (high - low) / 100)


class CtkDoubleSpinBox(StandIn, QtWidgets.QWidget):
    """Stand-in for ctkDoubleSpinBox."""

    slicer_class = "ctkDoubleSpinBox"
    own_signals = ("decimalsChanged(int)", "editingFinished()", "valueChanged(QString)", "valueChanged(double)")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QDoubleSpinBox(self)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self._box.valueChanged.connect(self._changed)
        self._box.editingFinished.connect(lambda: self.emit_own("editingFinished()"))

    p_alignment = through(lambda self: self._box.alignment(), lambda self, value: self._box.setAlignment(value))
    p_frame = through(lambda self: self._box.hasFrame(), lambda self, on: self._box.setFrame(on))
    p_readOnly = through(lambda self: self._box.isReadOnly(), lambda self, on: self._box.setReadOnly(on))
    p_prefix = through(lambda self: self._box.prefix(), lambda self, value: self._box.setPrefix(value))
    p_suffix = through(lambda self: self._box.suffix(), lambda self, value: self._box.setSuffix(value))
    p_cleanText = through(lambda self: self._box.cleanText())
    p_decimals = through(lambda self: self._box.decimals(), lambda self, value: self.setDecimals(value))
    p_minimum = through(lambda self: self._box.minimum(), lambda self, value: self._box.setMinimum(value))
    p_maximum = through(lambda self: self._box.maximum(), lambda self, value: self._box.setMaximum(value))
    p_singleStep = through(lambda self: self._box.singleStep(), lambda self, value: self._box.setSingleStep(value))
    p_value = through(lambda self: self._box.value(), lambda self, value: self._box.setValue(value))
    p_decimalsOption = plain(0)
    p_setMode = plain(1)
    p_isSettingValue = through(lambda self: False)
    p_invertedControls = plain(False)
    p_sizeHintPolicy = plain(0)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    setValueIfDifferent = setValueAlways = setValue

    def setDecimals(self, decimals: int) -> None:
        self._box.setDecimals(decimals)
        self.emit_own("decimalsChanged(int)", decimals)

    def stepUp(self) -> None:
        self._box.stepUp()

    def stepDown(self) -> None:
        self._box.stepDown()

    def setReadOnly(self, on: bool) -> None:
        self._box.setReadOnly(on)

    def _changed(self, value: float) -> None:
        self.emit_own("valueChanged(double)", value)
        self.emit_own("valueChanged(QString)", self._box.text())


class CtkPushButton(StandIn, QtWidgets.QPushButton):
    """Stand-in for ctkPushButton."""

    slicer_class = "ctkPushButton"
    p_buttonTextAlignment = plain(0x84)
    p_iconAlignment = plain(0x81)
    p_elideMode = plain(3)


class CtkMenuButton(StandIn, QtWidgets.QPushButton):
    """Stand-in for ctkMenuButton; its separate arrow for the menu is left out."""

    slicer_class = "ctkMenuButton"
