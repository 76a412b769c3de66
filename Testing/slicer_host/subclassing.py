"""Python subclasses of Qt classes: PySide's virtual functions are sent to the module's methods."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from PySide6 import QtCore

from .calls import Wrapped


@cache
def forwarding(cls: type, real: type, wrapper_base: type) -> type:
    """A subclass of a PySide class for a class of the module's that derives from its wrapper."""
    users = [base for base in cls.__mro__ if issubclass(base, wrapper_base) and "_made_by_host" not in vars(base)]
    names = {name for base in users for name in vars(base) if callable(getattr(real, name, None)) and name[0] != "_"}
    return type(real)(cls.__name__, (real,), {name: _forward(name) for name in names} | {"_forwards": True})


def _forward(name: str) -> Callable:
    from .wrappers import wrap

    def virtual(self: QtCore.QObject, *arguments: object) -> object:
        known = getattr(self, "_wrapper", None)
        wrapper = known() if known else None
        if wrapper is None:  # still being made, or already going
            return getattr(super(type(self), self), name)(*arguments)
        result = getattr(wrapper, name)(*[wrap(argument) for argument in arguments])
        return result._real if isinstance(result, Wrapped) else result

    return virtual
