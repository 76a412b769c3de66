"""What goes wrong inside slots and observers, where Qt and VTK would only print it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

recorded: list[BaseException] = []
"""Exceptions that left a slot, a timer or an observer since the last look, oldest first."""
_collecting: list[BaseException] | None = None


class HostGapError(NotImplementedError):
    """The real Slicer has it, this host does not yet: the host has to be extended, not the module."""


class HostError(AssertionError):
    """The module did what a real Slicer would not take, or what a test has to answer first."""


def record(error: BaseException) -> None:
    """Keep an exception for the test, and show it as Slicer's console would."""
    recorded.append(error)
    traceback.print_exception(error)


def excepthook(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    """VTK's observers and PySide's own slots report here."""
    record(error)


def raise_recorded() -> None:
    """Raise what was recorded, if anything was.

    Raises:
        HostError: an exception left a slot, a timer or an observer; the first of them is the cause.
    """
    found, recorded[:] = list(recorded), []
    if _collecting is not None:
        _collecting.extend(found)
    if not found or _collecting is not None:
        return
    told = "; ".join(f"{type(error).__name__}: {error}" for error in found)
    raise HostError(f"{len(found)} exception(s) in slots or observers: {told}") from found[0]


@contextmanager
def expecting() -> Iterator[list[BaseException]]:
    """Inside, exceptions in slots are collected instead of raised."""
    global _collecting
    raise_recorded()
    found: list[BaseException] = []
    _collecting = found
    try:
        yield found
    finally:
        raise_recorded()
        _collecting = None


def warn(text: str) -> None:
    """PythonQt and Qt complain on stderr."""
    print(text, file=sys.stderr)
