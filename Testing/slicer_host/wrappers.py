"""Qt as PythonQt shows it: a thin wrapper around every PySide object that the module gets to see.

Why wrappers: with `from __feature__ import true_property` PySide gives attribute-style properties, but takes away the
setters and getters that PythonQt keeps (setEnabled, isEnabled), still allows new attributes, and has no string form of
connect. Subclasses with __getattribute__ do not reach the objects that Qt itself makes. A wrapper is the one border
that every value crosses in both directions, and the real objects behind it stay untouched.

Each class of the module `qt` is a Python class of its own here, so that isinstance(), type() and subclassing work.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cache

import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtWidgets

from . import dialogs, properties, signals
from .allowed import Table, table_of
from .calls import Wrapped, call
from .enums import EnumValue, is_enum, member_of
from .errors import HostGapError
from .stand_in import StandIn
from .subclassing import forwarding

_MODULES = (QtCore, QtGui, QtWidgets, QtNetwork)
_STATIC = {("QTimer", "singleShot")}
"""Static functions that are called like a property."""
made: weakref.WeakSet[QtCore.QObject] = weakref.WeakSet()
"""Every QObject that was made from Python through a wrapper and still lives."""


class WrapperType(type):
    """Class side of a wrapper: enumeration values, static methods, and making objects."""

    def __getattr__(cls, name: str) -> object:
        real, table = _class_of(cls, name)
        if (cls.__name__, name) in _STATIC:
            return Method(getattr(real, name), getattr(real, name), f"{cls.__name__}.{name}")
        if name in table.properties or table.has_signal(name) or not table.has_method(_unescaped(name)):
            raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")
        if dialogs.blocks(real, name):
            return dialogs.answered(f"{cls.__name__}.{name}()")
        value = _constant(real, name)
        if value is None:
            function = _method(real, real, name, cls.__name__)
            return Method(function, function, f"{cls.__name__}.{name}")
        return value

    def __setattr__(cls, name: str, value: object) -> None:
        if cls.__dict__.get("_made_by_host") and not name.startswith("_"):
            raise AttributeError(f"cannot set attributes of built-in type {cls.__name__}")
        super().__setattr__(name, value)

    def __dir__(cls) -> list[str]:
        return sorted(_class_of(cls, "__dir__")[1].every_name())


class Wrapper(Wrapped, metaclass=WrapperType):
    """One PySide object."""

    _made_by_host = True
    _real_class: type | None = None
    _table: Table | None = None

    def __init__(self, *arguments: object) -> None:
        real = _constructible(type(self))
        new = call(real, real, arguments)
        object.__setattr__(self, "_real", new)
        if isinstance(new, QtCore.QObject):
            new._wrapper = weakref.ref(self)
            made.add(new)

    def __getattr__(self, name: str) -> object:
        real = _alive(self, name)
        table = self._table
        if table is not None and isinstance(real, QtCore.QObject):
            name = properties.real_name(table, name)
            if name in properties.names_of(table, real):
                return wrap(properties.read(real, name))
            if table.has_signal(name):
                return BoundSignal(self, name)
        if table is None or name == "exec" or not table.has_method(_unescaped(name)):
            raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")
        return _bound(self, real, name)

    def __setattr__(self, name: str, value: object) -> None:
        real = _alive(self, name)
        if isinstance(real, QtCore.QObject) and self._table is not None:
            name = properties.real_name(self._table, name)
        if isinstance(real, QtCore.QObject) and name in properties.names_of(self._table, real):
            properties.write(real, self._table, name, value)
        elif "_made_by_host" in vars(type(self)):
            raise AttributeError("creating new attributes on C++ objects is not allowed")
        else:
            object.__setattr__(self, name, value)

    def __dir__(self) -> list[str]:
        return sorted(self._table.every_name() if self._table else ())

    def __bool__(self) -> bool:
        return shiboken6.isValid(object.__getattribute__(self, "_real"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Wrapped) and (self._real is other._real or self._real == other._real)

    def __hash__(self) -> int:
        return hash(id(self._real))

    def __repr__(self) -> str:
        return f"{type(self).__name__} (host's wrapper at: {hex(id(self))})"

    def __add__(self, other: object) -> object:
        return wrap(self._real + (other._real if isinstance(other, Wrapped) else other))

    def __sub__(self, other: object) -> object:
        return wrap(self._real - (other._real if isinstance(other, Wrapped) else other))


class Method:
    """A function of a Qt object: takes wrapped values, returns wrapped values."""

    def __init__(self, function: Callable, signatures_of: object, told: str) -> None:
        self._function, self._signatures_of, self._told = function, signatures_of, told

    def __call__(self, *arguments: object, **keywords: object) -> object:
        if keywords:
            raise TypeError(f"{self._told}() takes no keyword arguments")
        return wrap(call(self._function, self._signatures_of, arguments))

    def __repr__(self) -> str:
        return f"<built-in slot {self._told}>"


class BoundSignal:
    """`button.clicked`: has connect and disconnect; calling it emits."""

    def __init__(self, sender: Wrapper, name: str) -> None:
        self._sender = sender
        self._signature = signals.default_signature(sender._table, name, sender._real)

    def connect(self, *target: object) -> bool:
        return signals.connect(self._sender, self._signature, *target)

    def disconnect(self, *target: object) -> bool:
        return signals.disconnect(self._sender, self._signature, *target)

    def __call__(self, *arguments: object) -> None:
        signals.emit(self._sender, self._signature, arguments)


def wrap(value: object) -> object:
    """What the module gets to see of a PySide value."""
    if is_enum(type(value)):
        return EnumValue(value)
    if value is None or isinstance(value, (Wrapped, bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):  # PythonQt makes tuples of all Qt lists
        return tuple(wrap(item) for item in value)
    if isinstance(value, QtCore.QObject) or type(value).__module__.startswith("PySide6"):
        return _wrapper_of(value)
    return value


def wrapper_class(real: type) -> type[Wrapper]:
    """The class by which the module knows a PySide class or a stand-in."""
    return _made_class(real)


@cache
def _made_class(real: type) -> type[Wrapper]:
    bases = tuple(dict.fromkeys(wrapper_class(base) for base in real.__bases__ if _is_qt(base))) or (Wrapper,)
    name = getattr(real, "slicer_class", real.__name__)
    table = table_of(name) or bases[0]._table
    return WrapperType(name, bases, {"_made_by_host": True, "_real_class": real, "_table": table, "__slots__": ()})


@cache
def find_class(name: str) -> type | None:
    """PySide's class of a name, or None."""
    return next((getattr(module, name) for module in _MODULES if isinstance(getattr(module, name, None), type)), None)


def _is_qt(cls: type) -> bool:
    return cls.__module__.startswith("PySide6") or (issubclass(cls, StandIn) and issubclass(cls, QtCore.QObject))


def _wrapper_of(real: object) -> Wrapper:
    known = getattr(real, "_wrapper", None)
    wrapper = known() if known is not None else None
    if wrapper is None:
        cls = wrapper_class(_nearest(type(real)))
        wrapper = cls.__new__(cls)
        object.__setattr__(wrapper, "_real", real)
        if isinstance(real, QtCore.QObject):
            real._wrapper = weakref.ref(wrapper)
    return wrapper


def _nearest(cls: type) -> type:
    """Leave out the subclass that the host made for a subclass of the module's."""
    return next(base for base in cls.__mro__ if not base.__dict__.get("_forwards"))


def _constructible(cls: type[Wrapper]) -> type:
    """The PySide class to make, with the virtual functions of a Python subclass sent to it.

    Raises:
        HostGapError: a class of the real Slicer that the host cannot make.
    """
    real = cls._real_class
    if real is None or cls._table is None:
        raise HostGapError(f"the host has no table for {cls.__name__}")
    return real if "_made_by_host" in vars(cls) else forwarding(cls, real, Wrapper)


def _alive(wrapper: Wrapper, name: str) -> object:
    real = object.__getattribute__(wrapper, "_real")
    if not shiboken6.isValid(real):
        raise ValueError(f"Trying to access attribute '{name}' of a destroyed {type(wrapper).__name__} object")
    return real


def _class_of(cls: type[Wrapper], name: str) -> tuple[type, Table]:
    if cls._real_class is None or (name.startswith("__") and name != "__dir__"):
        raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")
    if cls._table is None:
        raise HostGapError(f"the host has no table for {cls.__name__}")
    return cls._real_class, cls._table


def _unescaped(name: str) -> str:
    return "exec" if name == "exec_" else name


def _bound(wrapper: Wrapper, real: object, name: str) -> object:
    told = f"{type(wrapper).__name__}.{name}"
    if name in ("connect", "disconnect") and isinstance(real, QtCore.QObject):
        return lambda *arguments: getattr(signals, name)(wrapper, *arguments)
    if name in ("findChild", "findChildren"):
        return lambda *arguments: wrap(properties.find(real, name, arguments))
    if name in ("className", "inherits", "delete", "help"):
        return _decorations(real, type(wrapper).__name__)[name]
    if dialogs.blocks(type(real), name):
        return dialogs.answered(f"{told}()")
    value = _constant(type(real), name)
    return value if value is not None else Method(_method(real, type(real), name, told), _signatures(real, name), told)


def _constant(real: type, name: str) -> object | None:
    """An enumeration value; a stand-in has its own as plain integers."""
    own = getattr(real, name, None) if issubclass(real, StandIn) else None
    return own if isinstance(own, int) else member_of(real, name)


def _signatures(real: object, name: str) -> object:
    return getattr(type(real), _pyside_name(name), None) or name


def _pyside_name(name: str) -> str:
    return {"exec_": "exec", "raise": "raise_", "raise_": "raise_"}.get(name, name)


def _method(owner: object, cls: type, name: str, told: str) -> Callable:
    if isinstance(owner, QtCore.QEventLoop) and name == "exec_":
        from .event_loop import exec_holding_the_lock

        return lambda: exec_holding_the_lock(owner)
    found = getattr(owner, _pyside_name(name), None)
    if found is None:
        found = properties.qt5_only(owner, cls, name)
    if not callable(found):
        raise HostGapError(f"{told} exists in Slicer, and not in this host")
    return found


def _decorations(real: object, name: str) -> dict[str, Callable]:
    """The functions that PythonQt adds to every object."""
    return {
        "className": lambda: name,
        "inherits": lambda base: any(getattr(c, "slicer_class", c.__name__) == base for c in type(real).__mro__),
        "delete": lambda: shiboken6.delete(real),
        "help": lambda: None,
    }
