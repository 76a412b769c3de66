"""The base of all stand-ins: classes of ctk, qMRML and qSlicer that exist only inside 3D Slicer."""

from __future__ import annotations

from collections.abc import Callable

from PySide6 import QtCore


class StandIn:
    """Mixed into a QObject. Properties are p_NAME; signals of its own are listed and emitted by signature."""

    slicer_class: str
    own_signals: tuple[str, ...] = ()

    def listeners(self, signature: str) -> list[Callable]:
        """Who listens to one of its own signals."""
        return self.__dict__.setdefault("_listeners", {}).setdefault(signature, [])

    def emit_own(self: QtCore.QObject, signature: str, *arguments: object) -> None:
        """Call every listener, unless signals are blocked.

        Raises:
            KeyError: the stand-in does not list the signal.
        """
        if signature not in self.own_signals:
            raise KeyError(f"{self.slicer_class} lists no signal {signature}")
        if not self.signalsBlocked():
            for listener in list(self.listeners(signature)):
                listener(*arguments)


def plain(default: object, changed: str | None = None) -> property:
    """A property that only keeps its value, and calls a method of the stand-in when it changes."""
    key = object()

    def read(self: StandIn) -> object:
        return self.__dict__.setdefault("_values", {}).get(key, default)

    def write(self: StandIn, value: object) -> None:
        before = read(self)
        self.__dict__["_values"][key] = value
        if changed and value != before:
            getattr(self, changed)()

    return property(read, write)


def through(getter: Callable, setter: Callable | None = None) -> property:
    """A property of a part inside, such as the spin box of a slider widget."""
    return property(getter, setter)
