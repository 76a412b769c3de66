"""Which widgets slicer.parameterNodeWrapper can bind to which types in 5.8, and how."""

from __future__ import annotations

import enum
import pathlib
from collections.abc import Callable
from dataclasses import dataclass

import ctk
import qt
import slicer

from .parameter_annotations import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange, first, split
from .parameter_serializers import node_types
from .wrappers import Wrapper


@dataclass
class Connector:
    """One widget bound to one parameter."""

    widget: Wrapper
    signal: str | None
    read: Callable[[], object]
    write: Callable[[object], None]
    heard: Callable[[], None] | None = None

    def listen(self, changed: Callable[[], None]) -> None:
        self.heard = changed
        if self.signal:
            getattr(self.widget, self.signal).connect(changed)

    def stop(self) -> None:
        if self.signal and self.heard:
            getattr(self.widget, self.signal).disconnect(self.heard)
        self.heard = None


def make_connector(widget: Wrapper, annotated: object) -> Connector:
    """Bind a widget to an (annotated) type.

    Raises:
        RuntimeError: 5.8 has no connector for the two, or the connector wants another annotation.
    """
    kind, annotations = split(annotated)
    for maker in (_bool, _int, _float, _choice, _enum, _text, _path, _node):
        connector = maker(widget, kind, annotations)
        if connector is not None:
            return connector
    raise RuntimeError(f"Unable to create GUI connector from datatype '{annotated}' to widget type '{type(widget)}'.")


def _of_property(widget: Wrapper, signal: str | None, name: str) -> Connector:
    return Connector(widget, signal, lambda: getattr(widget, name), lambda value: setattr(widget, name, value))


def _bool(widget: Wrapper, kind: object, _annotations: tuple) -> Connector | None:
    if kind is not bool or type(widget) not in (qt.QCheckBox, qt.QPushButton):
        return None
    if type(widget) is qt.QPushButton:
        widget.checkable = True
        return _of_property(widget, "toggled", "checked")
    return _of_property(widget, "stateChanged", "checked")


def _int(widget: Wrapper, kind: object, annotations: tuple) -> Connector | None:
    if kind is not int or type(widget) not in (qt.QSlider, qt.QSpinBox):
        return None
    low, high = _range(annotations)
    if type(widget) is qt.QSlider and (low is None or high is None):
        raise RuntimeError("Cannot have a connection to QSlider where the int type is unbounded.")
    _set_step(widget, annotations)
    widget.setRange(-(2**31) if low is None else low, 2**31 - 1 if high is None else high)
    return _of_property(widget, "valueChanged", "value")


def _float(widget: Wrapper, kind: object, annotations: tuple) -> Connector | None:
    sliders = (ctk.ctkSliderWidget, slicer.qMRMLSliderWidget)
    if kind is not float or type(widget) not in (qt.QDoubleSpinBox, ctk.ctkDoubleSpinBox, *sliders):
        return None
    low, high = _range(annotations)
    if type(widget) in sliders and (low is None or high is None):
        raise RuntimeError("Cannot have a connection to ctkSliderWidget where the float types is unbounded.")
    decimals = first(annotations, Decimals)
    if decimals is not None:
        widget.decimals = decimals.value
    _set_step(widget, annotations)
    widget.minimum = float("-inf") if low is None else low
    widget.maximum = float("inf") if high is None else high
    return _of_property(widget, "valueChanged", "value")


def _choice(widget: Wrapper, kind: object, annotations: tuple) -> Connector | None:
    if type(widget) is not qt.QComboBox or kind not in (int, float, str, bool):
        return None
    choice = first(annotations, Choice)
    if choice is None:
        raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation to be used.")
    return _of_items(widget, [str(c) for c in choice.choices], list(choice.choices))


def _enum(widget: Wrapper, kind: object, _annotations: tuple) -> Connector | None:
    if type(widget) is not qt.QComboBox or not (isinstance(kind, type) and issubclass(kind, enum.Enum)):
        return None
    label = getattr(kind, "label", lambda member: member.name)
    return _of_items(widget, [label(member) for member in kind], list(kind))


def _of_items(widget: Wrapper, labels: list[str], values: list) -> Connector:
    index = widget.currentIndex
    widget.clear()
    for label in labels:
        widget.addItem(label)
    widget.currentIndex = max(0, min(index, len(values) - 1))

    def write(value: object) -> None:
        if value not in values:
            raise ValueError(f"Unable to find value {value} in choices {values}")
        widget.currentIndex = values.index(value)

    return Connector(widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)


def _text(widget: Wrapper, kind: object, _annotations: tuple) -> Connector | None:
    if kind is not str:
        return None
    if type(widget) is qt.QLineEdit:
        return _of_property(widget, "textChanged", "text")
    if type(widget) is qt.QLabel:
        return _of_property(widget, None, "text")
    if type(widget) is qt.QTextEdit:
        return Connector(widget, "textChanged", widget.toPlainText, widget.setPlainText)
    return None


def _path(widget: Wrapper, kind: object, _annotations: tuple) -> Connector | None:
    if not (isinstance(kind, type) and issubclass(kind, pathlib.PurePath)):
        return None
    if type(widget) is ctk.ctkPathLineEdit:
        name, signal = "currentPath", "currentPathChanged"
    elif type(widget) is ctk.ctkDirectoryButton:
        name, signal = "directory", "directoryChanged"
    else:
        return None
    return Connector(widget, signal, lambda: kind(getattr(widget, name)), lambda path: setattr(widget, name, str(path)))


def _node(widget: Wrapper, kind: object, _annotations: tuple) -> Connector | None:
    if type(widget) is not slicer.qMRMLNodeComboBox or not node_types(kind):
        return None
    widget.nodeTypes = [node_class().GetClassName() for node_class in node_types(kind)]
    return Connector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)


def _range(annotations: tuple) -> tuple[float | None, float | None]:
    within = first(annotations, WithinRange)
    if within is not None:
        return within.minimum, within.maximum
    low, high = first(annotations, Minimum), first(annotations, Maximum)
    return (low.minimum if low else None), (high.maximum if high else None)


def _set_step(widget: Wrapper, annotations: tuple) -> None:
    step = first(annotations, SingleStep)
    if step is not None:
        widget.singleStep = step.value
