"""Pictures of the panel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6 import QtGui, QtWidgets

from .errors import HostError
from .installing import Patches


def take(
    window: QtWidgets.QMainWindow,
    panel: QtWidgets.QWidget,
    run_events: Callable[[], None],
    path: Path,
    scale: float,
    width: int,
) -> None:
    """Resize the window so that the panel needs no scroll bar, and draw it."""
    for height in (900, 0):
        hint = max(panel.sizeHint().height(), panel.minimumSizeHint().height())
        window.resize(width, height or hint + 60)
        run_events()
    image = QtGui.QImage(panel.size() * scale, QtGui.QImage.Format.Format_ARGB32)
    image.setDevicePixelRatio(scale)
    image.fill(panel.palette().window().color())
    panel.render(image)
    if not image.save(str(path)):
        raise HostError(f"cannot write {path}")


def make_dark(application: QtWidgets.QApplication, patches: Patches) -> None:
    """A dark palette, taken back by the patches."""
    palette, style = application.palette(), application.style().objectName()
    patches.later(lambda: application.setStyle(style))
    patches.later(lambda: application.setPalette(palette))
    application.setStyle("Fusion")
    application.setPalette(_dark())


def _dark() -> QtGui.QPalette:
    roles = QtGui.QPalette.ColorRole
    palette = QtGui.QPalette(QtGui.QColor(49, 54, 59))
    palette.setColor(roles.Base, QtGui.QColor(35, 38, 41))
    palette.setColor(roles.Highlight, QtGui.QColor(61, 174, 233))
    for role in (roles.Text, roles.WindowText, roles.ButtonText):
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, role, QtGui.QColor(127, 132, 137))
    return palette
