"""Properties of Qt objects and stand-ins, as attributes; and what Qt 6 has lost since Qt 5."""

from __future__ import annotations

import re
from collections.abc import Callable

from PySide6 import QtCore, QtWidgets

from .allowed import Table
from .calls import Wrapped, call, unwrap
from .enums import EnumValue
from .errors import HostGapError
from .stand_in import StandIn

_NUMBERS = {"int": int, "uint": int, "double": float, "bool": bool}
_known_names: dict[tuple[int, type], dict[str, str]] = {}
_GETTERS = {"focus": "hasFocus", "enabled": "isEnabled", "visible": "isVisible"}


def names_of(table: Table, real: QtCore.QObject) -> dict[str, str]:
    """The properties of an object with their types; where only names were read, Qt tells which are properties."""
    if table.has_own_properties:
        return table.properties
    key = id(table), type(real)
    if key not in _known_names:  # tables and classes live as long as the process
        meta = real.metaObject()
        found = [meta.property(index) for index in range(meta.propertyCount())]
        _known_names[key] = {
            p.name(): p.typeName() + ("" if p.isWritable() else " (read-only)") for p in found if p.name() in table
        }
    return _known_names[key]


def real_name(table: Table, name: str) -> str:
    """PythonQt lets objectName be called name, where there is no other property of that name."""
    return "objectName" if name == "name" and "name" not in table.properties else name


def read(real: QtCore.QObject, name: str) -> object:
    """The value of a property, not wrapped yet."""
    if isinstance(real, StandIn) and hasattr(type(real), f"p_{name}"):
        return getattr(real, f"p_{name}")
    if real.metaObject().indexOfProperty(name) >= 0:
        return real.property(name)
    for getter in (_GETTERS.get(name, name), f"is{name[0].upper()}{name[1:]}"):
        if callable(getattr(real, getter, None)):
            return getattr(real, getter)()
    raise HostGapError(f"property {name} of {type(real).__name__} exists in Slicer, and not in this host")


def write(real: QtCore.QObject, table: Table, name: str, value: object) -> None:
    """Set a property.

    Raises:
        AttributeError: it is read-only, or of another type.
    """
    kind = names_of(table, real)[name]
    if kind.endswith("(read-only)"):
        raise AttributeError(f"Property '{name}' of type '{kind.split()[0]}' is not writable")
    value = _fitting(name, kind, value)
    if isinstance(real, StandIn) and hasattr(type(real), f"p_{name}"):
        setattr(real, f"p_{name}", value)
        return
    index = real.metaObject().indexOfProperty(name)
    setter = getattr(real, f"set{name[0].upper()}{name[1:]}", None)
    if callable(setter):
        call(setter, getattr(type(real), f"set{name[0].upper()}{name[1:]}"), (value,))
    elif index >= 0:
        real.setProperty(name, unwrap(value))
    else:
        raise HostGapError(f"property {name} of {type(real).__name__} exists in Slicer, and not in this host")


def _fitting(name: str, kind: str, value: object) -> object:
    """The value as its property's type, converted only as PythonQt would."""
    refused = AttributeError(f"Property '{name}' of type '{kind}' does not accept an object of type {type(value)}")
    if kind in _NUMBERS:
        if isinstance(value, EnumValue) or not isinstance(value, (bool, int, float)):
            raise refused
        return _NUMBERS[kind](value)
    if kind == "QString" and not isinstance(value, str):
        raise refused
    if kind == "QStringList":
        if isinstance(value, str) or not all(isinstance(item, str) for item in value):
            raise refused
        return list(value)
    if _is_qt_class(kind) and not isinstance(value, Wrapped):
        raise refused
    return value


def _is_qt_class(kind: str) -> bool:
    """QIcon, QSize and the like, which only an object of qt can be; not enumerations."""
    plain = ("QString", "QVariant", "QVariantMap", "QVariantList")
    return kind[0] == "Q" and kind[1:2].isupper() and "::" not in kind and kind not in plain


def find(real: QtCore.QObject, function: str, arguments: tuple) -> object:
    """findChild and findChildren by class or class name, and name.

    Raises:
        TypeError: the arguments are not those of PythonQt.
    """
    kind, name = (*arguments, "")[:2] if arguments else (None, "")
    wanted = getattr(kind, "_real_class", None) or (_by_name(kind) if isinstance(kind, str) else None)
    if wanted is None:
        raise TypeError(f"{function}() wants a class of qt, or its name, and a name of the object; got {arguments}")
    return getattr(real, function)(wanted, name) if name else getattr(real, function)(wanted)


def _by_name(name: str) -> type | None:
    from .wrappers import find_class

    return find_class(name) or getattr(QtWidgets, name, None)


def qt5_only(owner: object, _cls: type, name: str) -> Callable | None:
    """What Qt 5 has and PySide 6 does not, for the few that modules use."""
    if isinstance(owner, QtCore.QObject) and re.fullmatch(r"set[A-Z]\w*", name):
        prop = name[3].lower() + name[4:]
        if isinstance(owner, StandIn) and hasattr(type(owner), f"p_{prop}"):
            return lambda value: setattr(owner, f"p_{prop}", value)
    if name == "setTabStopWidth":
        return lambda width: owner.setTabStopDistance(width)
    return None
