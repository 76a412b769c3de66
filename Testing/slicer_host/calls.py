"""Arguments and results on their way between the module (PythonQt's habits) and PySide's real objects."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable
from functools import cache
from inspect import Parameter, Signature

from PySide6.support.signature import get_signature

from .enums import EnumValue, is_enum

_IMPLICIT = (str, bytes, bytearray, memoryview, int)
"""From these PySide makes a QKeySequence, QColor or QByteArray by itself, and PythonQt does not."""


class Wrapped:
    """Base of every wrapper class; the real object lies in _real."""

    __slots__ = ("__weakref__", "_real")


def unwrap(value: object) -> object:
    """What PySide takes for a value of the module's."""
    if isinstance(value, Wrapped):
        return value._real
    if isinstance(value, EnumValue):
        return value.member
    if type(value) in (list, tuple):
        return [unwrap(item) for item in value]
    return value


def call(function: Callable, signatures_of: object, arguments: tuple) -> object:
    """Call a PySide function with a module's arguments; the result is not wrapped yet.

    Raises:
        TypeError: no overload takes the arguments, or one only by a conversion that PythonQt does not know.
    """
    signatures = _parameters(signatures_of)
    if any(_is_implicit(argument) for argument in arguments):
        _refuse_implicit_conversions(signatures, arguments)
    real = [unwrap(argument) for argument in arguments]
    try:
        return function(*real)
    except TypeError:
        for attempt in _with_enums(signatures, arguments):
            try:
                return function(*attempt)
            except TypeError:
                continue
        raise


@cache
def _parameters(function: object) -> tuple[tuple[object, ...], ...]:
    """The annotations of each overload, without self."""
    if isinstance(function, (str, types.FunctionType)):  # a stand-in's method
        return ()
    found = get_signature(function) or []
    return tuple(_annotations(one) for one in (found if isinstance(found, list) else [found]))


def _annotations(signature: Signature) -> tuple[object, ...]:
    names = [p for p in signature.parameters.values() if p.name != "self" and p.kind is not Parameter.KEYWORD_ONLY]
    return tuple(p.annotation for p in names)


def _is_implicit(value: object) -> bool:
    return isinstance(value, _IMPLICIT) and not isinstance(value, (EnumValue, bool))


def _refuse_implicit_conversions(overloads: tuple[tuple[object, ...], ...], arguments: tuple) -> None:
    fitting = [one for one in overloads if len(one) >= len(arguments)]
    for index, argument in enumerate(arguments):
        kinds = [one[index] for one in fitting]
        if _is_implicit(argument) and kinds and all(_would_convert(kind, argument) for kind in kinds):
            raise TypeError(f"argument {index + 1} is {type(argument).__name__}, PythonQt wants {kinds[0]}")


def _would_convert(annotation: object, argument: object) -> bool:
    """Whether the parameter is really of another class, and PySide only lends a hand."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return False
    members = typing.get_args(annotation)
    first = members[0]
    return isinstance(first, type) and not isinstance(argument, first) and type(argument) in members


def _with_enums(overloads: tuple[tuple[object, ...], ...], arguments: tuple) -> typing.Iterator[list[object]]:
    """The arguments with plain integers where PySide wants an enumeration, and the other way round."""
    yield [int(a) if isinstance(a, EnumValue) else unwrap(a) for a in arguments]
    for overload in overloads:
        if len(overload) >= len(arguments):
            yield [_as_annotated(kind, argument) for kind, argument in zip(overload, arguments)]


def _as_annotated(annotation: object, argument: object) -> object:
    members = typing.get_args(annotation) or (annotation,)
    wanted = next((kind for kind in members if is_enum(kind)), None)
    if wanted is None or not isinstance(argument, int) or isinstance(argument, bool):
        return unwrap(argument)
    try:
        return typing.cast(type[enum.Enum], wanted)(int(argument))
    except ValueError:
        return unwrap(argument)
