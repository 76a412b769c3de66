"""The modules `qt` and `ctk`: names that a real Slicer has, each a wrapper class around Qt's or a stand-in."""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache

from PySide6 import QtCore

from .allowed import namespace
from .ctk_paths import CtkDirectoryButton, CtkPathLineEdit
from .ctk_widgets import (
    CtkCollapsibleButton,
    CtkCollapsibleGroupBox,
    CtkDoubleSpinBox,
    CtkMenuButton,
    CtkPushButton,
    CtkSliderWidget,
)
from .enums import member_of
from .errors import HostGapError
from .mrml_widgets import (
    QMRMLSegmentsTableView,
    QMRMLSliderWidget,
    QMRMLWidget,
    QSlicerMarkupsPlaceWidget,
    QSlicerWidget,
)
from .node_combo_box import QMRMLNodeComboBox
from .settings import Settings
from .sound import SoundEffect
from .ui_loader import load_ui
from .wrappers import Wrapper, find_class, wrapper_class

CTK = (
    *(CtkCollapsibleButton, CtkCollapsibleGroupBox, CtkDoubleSpinBox, CtkMenuButton, CtkPushButton, CtkSliderWidget),
    *(CtkPathLineEdit, CtkDirectoryButton),
)
SLICER = (
    *(QMRMLWidget, QSlicerWidget, QMRMLSliderWidget, QMRMLNodeComboBox, QMRMLSegmentsTableView),
    QSlicerMarkupsPlaceWidget,
)
_OF_THE_HOST = {"QSettings": Settings, "QSoundEffect": SoundEffect}
STAND_INS: dict[str, type] = {cls.slicer_class: cls for cls in (*CTK, *SLICER)}


class StrictModule(types.ModuleType):
    """A module that has only the names it is told, and says when one of them is the host's gap."""

    def __init__(self, name: str, find: Callable[[str], object]) -> None:
        super().__init__(name, f"Stand-in for the module {name} of 3D Slicer.")
        self.__dict__["_find"] = find

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or name not in namespace(self.__name__):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        found = self.__dict__["_find"](name)
        if found is None:
            raise HostGapError(f"{self.__name__}.{name} exists in Slicer, and not in this host")
        self.__dict__[name] = found
        return found


class UiLoader:
    """Stand-in for QUiLoader as slicer.util.loadUI uses it."""

    def load(self, file: Wrapper) -> Wrapper:
        return load_ui(bytes(file._real.readAll().data()), STAND_INS)


class Namespace:
    """The class Qt: nothing but enumeration values."""

    def __getattr__(self, name: str) -> object:
        value = None if name.startswith("__") else member_of(QtCore.Qt, name)
        if value is None:
            raise AttributeError(f"type object 'Qt' has no attribute '{name}'")
        return value


@cache
def make_qt() -> StrictModule:
    return StrictModule("qt", _find_qt)


@cache
def make_ctk() -> StrictModule:
    return StrictModule("ctk", lambda name: wrapper_class(STAND_INS[name]) if name in STAND_INS else None)


def _find_qt(name: str) -> object | None:
    if name == "Qt":
        return Namespace()
    if name == "QUiLoader":
        return UiLoader
    if name == "qVersion":
        return lambda: "5.15.2"
    if name in _OF_THE_HOST:
        return wrapper_class(_OF_THE_HOST[name])
    found = find_class(name)
    return wrapper_class(found) if found is not None else None
