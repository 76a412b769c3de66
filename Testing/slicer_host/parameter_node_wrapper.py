"""Stand-in for slicer.parameterNodeWrapper of 5.8: typed access to a vtkMRMLScriptedModuleNode, bound to widgets."""

from __future__ import annotations

import logging
import types
import typing
import weakref
from collections.abc import Callable

import qt
import slicer
import vtk

from . import parameter_annotations
from .gui_connectors import Connector, make_connector
from .parameter_annotations import Default, Validator, first, split
from .parameter_serializers import ListSerializer, Serializer, serializer_for
from .wrappers import Wrapper

PROPERTY = "SlicerParameterName"
_EXPORTED = "Choice Decimals Default Exclude IsInstance Label Maximum Minimum NotNone RangeBounds SingleStep Validator"


class _Parameter:
    """One parameter of one node, its value cached until the node changes."""

    def __init__(self, serializer: Serializer, default: Default, node: object, name: str) -> None:
        self.serializer, self.default, self.node, self.name = serializer, default, node, name
        self._writing = False
        if not serializer.is_in(node, name):
            serializer.write(node, name, default.value)
        self._value = serializer.read(node, name)
        me = weakref.ref(self)
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: me() and me()._changed())

    def __del__(self) -> None:
        if hasattr(self, "_tag"):
            self.node.RemoveObserver(self._tag)

    def _changed(self) -> None:
        if not self._writing:
            self._value = self._stored()

    def _stored(self) -> object:
        if not self.serializer.is_in(self.node, self.name):  # the scene was closed, which resets the node
            self.serializer.write(self.node, self.name, self.default.value)
        return self.serializer.read(self.node, self.name)

    def read(self) -> object:
        return self._value

    def write(self, value: object) -> None:
        self._writing = True
        try:
            with slicer.util.NodeModify(self.node):
                self.serializer.write(self.node, self.name, value)
                self._value = self.serializer.read(self.node, self.name)
        finally:
            self._writing = False


class _ParameterNode:
    """What the decorator adds to a class."""

    def __init__(self, parameterNode: slicer.vtkMRMLScriptedModuleNode, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._guis: dict[int, dict[str, Connector]] = {}
        self._gui_observers: dict[int, int] = {}
        self._next_tag, self._showing = 0, False
        self._parameters = {
            name: _Parameter(serializer, default, parameterNode, f"{prefix or ''}{name}")
            for name, (serializer, default, _kind) in self.allParameters.items()
        }

    def default(self, name: str) -> Default:
        return self._known(name).default

    def isCached(self, name: str) -> bool:
        return self._known(name) is not None

    def getValue(self, name: str) -> object:
        return self._known(name).read()

    def setValue(self, name: str, value: object) -> None:
        self._known(name).write(value)

    def connectGui(self, gui: object) -> int:
        """Bind every widget that has the dynamic property SlicerParameterName; the tag is for disconnectGui."""
        widgets = gui.findChildren(qt.QWidget) if isinstance(gui, Wrapper) else vars(gui).values()
        named = {widget.property(PROPERTY): widget for widget in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Wrapper]) -> int:
        for name in mapping:
            self._known(name)
        connectors = {name: make_connector(widget, self.dataType(name)) for name, widget in mapping.items()}
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.listen(_writer(self, name, connector))
        event = vtk.vtkCommand.ModifiedEvent
        self._gui_observers[tag] = self.AddObserver(event, lambda *_: self._show())
        return tag

    def disconnectGui(self, tag: int) -> None:
        for connector in self._guis.pop(tag, {}).values():
            connector.stop()
        if tag in self._gui_observers:  # else a collected wrapper leaves VTK a function that is no more
            self.RemoveObserver(self._gui_observers.pop(tag))

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, was: int) -> int:
        return self.parameterNode.EndModify(was)

    def AddObserver(self, event: object, callback: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    def _show(self) -> None:
        """Write the node's values into the widgets."""
        if self._showing:
            return
        self._showing = True
        try:
            with slicer.util.NodeModify(self):
                for connectors in self._guis.values():
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._showing = False

    def _known(self, name: str) -> _Parameter:
        if name not in self._parameters:
            raise ValueError(f"Cannot find a param with the given name: {name}; found {list(self._parameters)}")
        return self._parameters[name]


def _writer(node: _ParameterNode, name: str, connector: Connector) -> Callable[[], None]:
    def changed() -> None:
        with slicer.util.NodeModify(node):
            if not node._showing:
                node.setValue(name, connector.read())

    return changed


def parameterNodeWrapper(classtype: type | None = None) -> object:
    """Class decorator, with or without parentheses.

    Raises:
        ValueError: an attribute has a name that the wrapper needs.
        Exception: a type that cannot be stored.
    """
    return _wrap(classtype) if classtype is not None else _wrap


def _wrap(classtype: type) -> type:
    parameters = {}
    for name, annotated in typing.get_type_hints(classtype, include_extras=True).items():
        parameters[name] = _described(classtype, name, annotated)
        setattr(classtype, name, property(*_accessors(name)))
    for name, value in vars(_ParameterNode).items():
        if name in ("__init__",) or (not name.startswith("__") and callable(value)):
            if name in vars(classtype) and name != "__init__":
                raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
            setattr(classtype, name, value)
    classtype.allParameters = parameters
    classtype._is_parameter_node_wrapper = True
    classtype.dataType = staticmethod(lambda name: parameters[name][2])
    return classtype


def _described(classtype: type, name: str, annotated: object) -> tuple[Serializer, Default, object]:
    kind, annotations = split(annotated)
    if isinstance(kind, types.UnionType):  # `A | None` is stored by 5.10 and later only
        raise Exception(f"Unable to create serializer for {classtype} member {name}")
    validators = tuple(one for one in annotations if isinstance(one, Validator))
    serializer = serializer_for(kind, validators)
    default = Default(getattr(classtype, name)) if hasattr(classtype, name) else first(annotations, Default)
    unused = [one for one in annotations if not isinstance(one, (Validator, Default))]
    if unused and not isinstance(serializer, ListSerializer):
        logging.getLogger(__name__).debug("annotations for the GUI: %s", unused)
    return serializer, default or Default(serializer.default), annotated


def _accessors(name: str) -> tuple[Callable, Callable]:
    def write(self: _ParameterNode, value: object) -> None:
        self.setValue(name, value)

    return (lambda self: self.getValue(name)), write


def make_module() -> types.ModuleType:
    """The module slicer.parameterNodeWrapper."""
    module = types.ModuleType("slicer.parameterNodeWrapper", __doc__)
    module.parameterNodeWrapper = parameterNodeWrapper
    module.SlicerParameterNamePropertyName = PROPERTY
    module.isParameterNodeWrapper = lambda value: getattr(value, "_is_parameter_node_wrapper", False)
    module.WithinRange = parameter_annotations.WithinRange
    for name in _EXPORTED.split():
        setattr(module, name, getattr(parameter_annotations, name))
    return module
