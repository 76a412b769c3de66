"""connect and disconnect as PythonQt has them: by signature string or by the signal's attribute."""

from __future__ import annotations

import inspect
import re
import weakref
from collections.abc import Callable

from PySide6 import QtCore, QtWidgets

from .allowed import Table, base_name
from .calls import Wrapped, unwrap
from .errors import record, warn
from .stand_in import StandIn

_PREFERRED = {"finished": "finished(int)", "buttonClicked": "buttonClicked(QAbstractButton*)"}
_QT5_SIGNALS: dict[str, tuple[str, Callable]] = {
    "currentIndexChanged(QString)": ("currentIndexChanged(int)", lambda box, _index: (box.currentText(),)),
    "activated(QString)": ("textActivated(QString)", lambda _box, text: (text,)),
    "highlighted(QString)": ("textHighlighted(QString)", lambda _box, text: (text,)),
    "valueChanged(QString)": ("textChanged(QString)", lambda _box, text: (text,)),
    "buttonClicked(int)": ("idClicked(int)", lambda _group, number: (number,)),
    "buttonPressed(int)": ("idPressed(int)", lambda _group, number: (number,)),
    "buttonToggled(int,bool)": ("idToggled(int,bool)", lambda _group, number, on: (number, on)),
    "error(QProcess::ProcessError)": ("errorOccurred(QProcess::ProcessError)", lambda _process, error: (error,)),
    "error(QAbstractSocket::SocketError)": ("errorOccurred(QAbstractSocket::SocketError)", lambda _s, error: (error,)),
    "finished(int)": ("finished(int)", lambda _process, code, *_more: (code,)),
}
"""Signals that Qt 6 dropped: what to listen to instead, and how to make the old arguments."""


def default_signature(table: Table, name: str, real: QtCore.QObject | None = None) -> str:
    """Which overload `object.name` means: the one declared first, with its default arguments."""
    if name in _PREFERRED and _PREFERRED[name] in table.signals:
        return _PREFERRED[name]
    overloads = [signature for signature in table.signals if base_name(signature) == name]
    if not overloads:
        return _from_meta(real, name)
    return min(overloads, key=_declared_later)


def _declared_later(signature: str) -> tuple[bool, int, bool]:
    kinds = signature.partition("(")[2][:-1]
    return (kinds in ("bool", "QString") and "clicked" not in signature and "trigger" not in signature, *_shape(kinds))


def _shape(kinds: str) -> tuple[int, bool]:
    return (-len(kinds.split(",")) if kinds else 0, "QString" in kinds)


def _from_meta(real: QtCore.QObject, name: str) -> str:
    meta = real.metaObject()
    known = [bytes(meta.method(i).methodSignature().data()).decode() for i in range(meta.methodCount())]
    return next(signature for signature in known if base_name(signature) == name)


def connect(sender: Wrapped, signature: str, *target: object) -> bool:
    """Call a function, or a slot of another object, on every signal; False where there is no such signal."""
    real, signature = sender._real, _normalized(signature)
    function = _target(target)
    if function is None or not _has(sender, signature):
        warn(f"QObject::connect: No such signal {type(sender).__name__}::{signature}" if function else "no such slot")
        return False
    _records(real).append((signature, target, _listen(real, signature, function)))
    return True


def disconnect(sender: Wrapped, signature: str, *target: object) -> bool:
    """Undo connect; without a target every connection of the signal. False where nothing was connected."""
    real, signature = sender._real, _normalized(signature)
    found = [r for r in _records(real) if r[0] == signature and (not target or r[1] == target)]
    if target and found:
        found = found[-1:]
    for entry in found:
        _records(real).remove(entry)
        entry[2]()
    return bool(found)


def emit(sender: Wrapped, signature: str, arguments: tuple) -> None:
    """Emit a signal from outside, as calling it does."""
    real = sender._real
    if isinstance(real, StandIn) and signature in real.own_signals:
        real.emit_own(signature, *arguments)
    else:
        getattr(real, base_name(signature)).emit(*[unwrap(argument) for argument in arguments])


def connection_count(real: QtCore.QObject) -> int:
    """How many of the module's functions listen to an object."""
    return len(_records(real))


def _records(real: QtCore.QObject) -> list[tuple[str, tuple, Callable]]:
    return real.__dict__.setdefault("_connections", [])


def _normalized(signature: str) -> str:
    return re.sub(r"\s*([(),*&])\s*", r"\1", signature.strip())


def _has(sender: Wrapped, signature: str) -> bool:
    table = sender._table
    if signature in table.signals:
        return True
    meta = sender._real.metaObject()
    flat = not table.signals or set(table.signals) <= {
        "destroyed()",
        "destroyed(QObject*)",
        "objectNameChanged(QString)",
    }
    return flat and base_name(signature) in table and meta.indexOfSignal(signature) >= 0


def _target(target: tuple) -> Callable | None:
    """A callable, or the slot of another object by its signature."""
    if len(target) == 1:
        if not callable(target[0]):
            raise TypeError(f"connect() wants something callable, got {type(target[0]).__name__}")
        return target[0]
    receiver, slot = target
    known = {*receiver._table.slots}
    if _normalized(slot) not in known:
        return None
    count = len([kind for kind in slot.partition("(")[2].rstrip(")").split(",") if kind])
    return lambda *arguments: getattr(receiver, base_name(slot))(*arguments[:count])


def _listen(real: QtCore.QObject, signature: str, function: Callable) -> Callable[[], None]:
    """Start listening; the answer stops it."""
    from .wrappers import wrap

    count = _accepted(function)

    def slot(*arguments: object) -> None:
        try:
            function(*[wrap(argument) for argument in arguments][:count])
        except Exception as error:  # PythonQt prints it and goes on; the host keeps it for the test
            record(error)

    if isinstance(real, StandIn) and signature in real.own_signals:
        listeners = real.listeners(signature)
        listeners.append(slot)
        return lambda: listeners.remove(slot)
    return _listen_to_qt(real, signature, slot)


def _listen_to_qt(real: QtCore.QObject, signature: str, slot: Callable) -> Callable[[], None]:
    """Hold the object weakly: a timer that nobody else keeps has to go."""
    heard, outer, me = signature, slot, weakref.ref(real)
    if signature in _QT5_SIGNALS and not isinstance(real, QtWidgets.QDialog):
        heard, arguments_of = _QT5_SIGNALS[signature]

        def outer(*arguments: object) -> None:
            slot(*arguments_of(me(), *arguments))

    if real.metaObject().indexOfSignal(heard) < 0:
        heard = _from_meta(real, base_name(heard))
    QtCore.QObject.connect(real, QtCore.SIGNAL(heard), outer)
    return lambda: QtCore.QObject.disconnect(me(), QtCore.SIGNAL(heard), outer)


def _accepted(function: Callable) -> int | None:
    """How many arguments PythonQt passes on: a Python function gets no more than it names, anything else gets all."""
    plain = inspect.unwrap(function.__func__) if inspect.ismethod(function) else function
    code = getattr(plain, "__code__", None)
    if code is None or code.co_flags & inspect.CO_VARARGS:
        return None
    return code.co_argcount - (1 if inspect.ismethod(function) else 0)
