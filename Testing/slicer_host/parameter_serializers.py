"""How slicer.parameterNodeWrapper stores values of each type in a vtkMRMLScriptedModuleNode."""

from __future__ import annotations

import enum
import pathlib
import typing
from collections.abc import Callable
from dataclasses import dataclass

import slicer

from .errors import HostGapError
from .parameter_annotations import IsInstance, NotNone

_PATHS = (pathlib.Path, pathlib.PosixPath, pathlib.PurePath, pathlib.PurePosixPath)


@dataclass(frozen=True)
class Serializer:
    """One parameter's way into the node and back; validators look at a value before it is written."""

    to_text: Callable[[object], str]
    from_text: Callable[[str], object]
    default: object
    validators: tuple[object, ...]

    def is_in(self, node: slicer.vtkMRMLScriptedModuleNode, name: str) -> bool:
        return bool(node.HasParameter(name))

    def write(self, node: slicer.vtkMRMLScriptedModuleNode, name: str, value: object) -> None:
        for validator in self.validators:
            validator.validate(value)
        self.store(node, name, value)

    def store(self, node: slicer.vtkMRMLScriptedModuleNode, name: str, value: object) -> None:
        node.SetParameter(name, self.to_text(value))

    def read(self, node: slicer.vtkMRMLScriptedModuleNode, name: str) -> object:
        return self.from_text(node.GetParameter(name))


@dataclass(frozen=True)
class NodeSerializer(Serializer):
    """A node: a reference, beside an empty parameter that tells it from one never set."""

    def store(self, node: slicer.vtkMRMLScriptedModuleNode, name: str, value: slicer.vtkMRMLNode | None) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: slicer.vtkMRMLScriptedModuleNode, name: str) -> slicer.vtkMRMLNode | None:
        return node.GetNodeReference(name)


@dataclass(frozen=True)
class ListSerializer(Serializer):
    """A list: its length under NAME.len, its elements under NAME.0, NAME.1 and so on."""

    element: Serializer

    def is_in(self, node: slicer.vtkMRMLScriptedModuleNode, name: str) -> bool:
        return bool(node.HasParameter(f"{name}.len"))

    def store(self, node: slicer.vtkMRMLScriptedModuleNode, name: str, values: list) -> None:
        with slicer.util.NodeModify(node):
            before = int(node.GetParameter(f"{name}.len") or 0)
            for index, value in enumerate(values):
                self.element.write(node, f"{name}.{index}", value)
            node.SetParameter(f"{name}.len", str(len(values)))
            for index in range(len(values), before):
                node.UnsetParameter(f"{name}.{index}")

    def read(self, node: slicer.vtkMRMLScriptedModuleNode, name: str) -> ObservedList:
        count = int(node.GetParameter(f"{name}.len") or 0)
        return ObservedList(self, node, name, [self.element.read(node, f"{name}.{i}") for i in range(count)])


class ObservedList(list):
    """A list that writes itself back whenever it changes."""

    def __init__(self, serializer: ListSerializer, node: object, name: str, values: list) -> None:
        super().__init__(values)
        self._save = lambda: serializer.store(node, name, list(self))


def _saving(name: str) -> Callable:
    def change(self: ObservedList, *arguments: object, **keywords: object) -> object:
        result = getattr(list, name)(self, *arguments, **keywords)
        self._save()
        return self if name in ("__iadd__", "__imul__") else result

    return change


_NAMED = ("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse")
for _name in (*_NAMED, "__setitem__", "__delitem__", "__iadd__", "__imul__"):
    setattr(ObservedList, _name, _saving(_name))


def serializer_for(kind: object, validators: tuple[object, ...] = ()) -> Serializer:
    """The serializer of a type without annotations.

    Raises:
        HostGapError: 5.8 can store it, this host not yet (tuple, dict, parameter packs, FloatRange ...).
        Exception: 5.8 cannot store it either.
    """
    if kind is bool:
        return Serializer(str, lambda text: text == "True", False, _checks(bool, validators))
    if kind in (int, float):
        return Serializer(str, kind, 0, _checks((int, float) if kind is float else int, validators))
    if kind is str:
        return Serializer(str, str, "", _checks(str, validators))
    if kind in _PATHS:
        return Serializer(str, kind, kind(), _checks(kind, validators))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        first = next(iter(kind))
        return Serializer(lambda value: value.name, lambda text: kind[text], first, _checks(kind, validators))
    if node_types(kind):
        return NodeSerializer(str, str, None, (IsInstance(node_types(kind)), *validators))
    if typing.get_origin(kind) is list:
        return ListSerializer(str, str, [], validators, serializer_for(typing.get_args(kind)[0]))
    if kind is list or typing.get_origin(kind) in (tuple, dict, typing.Union):
        raise HostGapError(f"the host's parameterNodeWrapper does not store {kind} yet")
    raise Exception(f"Unable to create serializer for type: {kind}")


def node_types(kind: object) -> tuple[type, ...]:
    """The node classes of `vtkMRMLXNode` or of a Union of several and None; empty for anything else."""
    members = typing.get_args(kind) if typing.get_origin(kind) is typing.Union else (kind,)
    classes = tuple(m for m in members if isinstance(m, type) and issubclass(m, slicer.vtkMRMLNode))
    others = [m for m in members if m not in classes and m is not type(None)]
    return () if others else classes


def _checks(kind: object, validators: tuple[object, ...]) -> tuple[object, ...]:
    return (NotNone(), IsInstance(kind), *validators)
