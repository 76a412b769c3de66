"""Qt's event loop while Python's interpreter lock is held, as PythonQt runs it: other Python threads starve."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import PySide6
import shiboken6
from PySide6 import QtCore

_EXEC = "_ZN10QEventLoop4execE6QFlagsINS_17ProcessEventsFlagEE"


def exec_holding_the_lock(loop: QtCore.QEventLoop) -> int:
    """Run an event loop; a Python thread gets a turn only when some Python code runs in it.

    Where Qt's library is not found beside PySide (not Linux), threads are not starved: more than Slicer allows.
    """
    function = _exec_function()
    return function(shiboken6.getCppPointer(loop)[0], 0) if function else loop.exec()


def run_for(seconds: float) -> None:
    """Let timers, sockets and processes work for a time."""
    loop = QtCore.QEventLoop()
    QtCore.QTimer.singleShot(round(seconds * 1000), loop.quit)
    exec_holding_the_lock(loop)


def run_until(
    condition: Callable[[], bool], timeout_s: float, on_turn: Callable[[], None], poll_s: float = 0.02
) -> bool:
    """Let them work until the condition holds, or for timeout_s; whether it holds.

    Looking is Python code, so that a thread gets a turn every poll_s.
    """
    end = time.monotonic() + timeout_s
    while not (holds := condition()) and time.monotonic() < end:
        run_for(poll_s)
        on_turn()
    on_turn()
    return holds


@cache
def _exec_function() -> Callable | None:
    for library in Path(PySide6.__file__).parent.glob("Qt/lib/libQt6Core.so.6"):
        function = getattr(ctypes.PyDLL(str(library)), _EXEC, None)  # PyDLL keeps the lock, CDLL lets it go
        if function is not None:
            function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_int], ctypes.c_int
        return function
    return None
