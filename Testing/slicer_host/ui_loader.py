"""Stand-in for qt.QUiLoader with Slicer's Designer plugins: the real .ui, with stand-ins where Qt has no such class."""

from __future__ import annotations

from functools import cache
from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import signals
from .allowed import table_of
from .errors import HostError, HostGapError
from .wrappers import Wrapper, find_class, wrap


class _Loader(QtUiTools.QUiLoader):
    """Makes stand-ins by class name."""

    def __init__(self, stand_ins: dict[str, type]) -> None:
        super().__init__()
        self._stand_ins = stand_ins

    def createWidget(
        self, class_name: str, parent: QtWidgets.QWidget | None = None, name: str = ""
    ) -> QtWidgets.QWidget:
        if class_name not in self._stand_ins:
            return super().createWidget(class_name, parent, name)
        widget = self._stand_ins[class_name](parent)
        widget.setObjectName(name)
        return widget


def load_ui(text: bytes, stand_ins: dict[str, type]) -> Wrapper:
    """The widgets of a .ui file.

    Raises:
        HostError: a connection in it names a signal or slot that does not exist, or Qt cannot read it.
        HostGapError: it names a widget class that the host has no stand-in for.
    """
    plain, later, connections = _taken_apart(text, tuple(stand_ins.items()))
    buffer = QtCore.QBuffer()
    buffer.setData(plain)
    buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
    top = _loaded(_Loader(stand_ins), buffer)
    for widget_name, name, value in later:
        _set(_named(top, widget_name), name, value)
    for connection in connections:
        _connect(top, connection)
    return wrap(top)


@cache
def _taken_apart(
    text: bytes, stand_ins: tuple[tuple[str, type], ...]
) -> tuple[bytes, list[tuple[str, str, object]], list[ElementTree.Element]]:
    """The file as Qt can read it, what it sets of stand-ins, and its connections."""
    root = ElementTree.fromstring(text)
    _check_classes(root, dict(stand_ins))
    connections = _taken_out(root, "connections")
    later = list(_properties_of_stand_ins(root, dict(stand_ins)))
    return ElementTree.tostring(root), later, connections


def _loaded(loader: _Loader, buffer: QtCore.QBuffer) -> QtWidgets.QWidget:
    try:
        return loader.load(buffer)
    except RuntimeError as error:
        raise HostError(f"Qt cannot read the .ui file: {loader.errorString() or error}") from error


def _check_classes(root: ElementTree.Element, stand_ins: dict[str, type]) -> None:
    for widget in root.iter("widget"):
        name = widget.get("class")
        if name not in stand_ins and find_class(name) is None:
            raise HostGapError(f"the .ui file names {name}, for which the host has no stand-in")


def _taken_out(root: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    found = root.find(tag)
    if found is None:
        return []
    root.remove(found)
    return list(found)


def _properties_of_stand_ins(root: ElementTree.Element, stand_ins: dict[str, type]):
    """(object name, property, value) of what Qt cannot set by itself; taken out of the file."""
    for widget in root.iter("widget"):
        cls = stand_ins.get(widget.get("class"))
        for element in list(widget.findall("property")) if cls else ():
            name = element.get("name")
            if not hasattr(cls, f"p_{name}"):
                continue
            if name not in table_of(cls.slicer_class).properties:
                raise HostError(f"the .ui file sets {name}, which {cls.slicer_class} does not have")
            widget.remove(element)
            yield widget.get("name"), name, _value(element[0])


def _value(element: ElementTree.Element) -> object:
    text = element.text or ""
    if element.tag == "bool":
        return text == "true"
    if element.tag == "number":
        return int(text)
    if element.tag in ("double", "float"):
        return float(text)
    if element.tag == "stringlist":
        return [item.text or "" for item in element]
    return text


def _set(widget: QtWidgets.QWidget, name: str, value: object) -> None:
    setattr(widget, f"p_{name}", value)


def _named(top: QtWidgets.QWidget, name: str) -> QtCore.QObject:
    found = top if top.objectName() == name else top.findChild(QtCore.QObject, name)
    if found is None:
        raise HostError(f"the .ui file names {name}, which it does not contain")
    return found


def _connect(top: QtWidgets.QWidget, element: ElementTree.Element) -> None:
    sender, signal, receiver, slot = (element.findtext(tag) for tag in ("sender", "signal", "receiver", "slot"))
    source, target = wrap(_named(top, sender)), wrap(_named(top, receiver))
    if not signals.connect(source, signal, target, slot):
        raise HostError(f"the .ui file connects {sender}.{signal} to {receiver}.{slot}, one of which does not exist")
