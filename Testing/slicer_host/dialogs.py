"""Modal dialogs: answered by the test, never waiting for a user."""

from __future__ import annotations

from collections.abc import Callable

from PySide6 import QtWidgets

from .errors import HostError

_STATIC_DIALOGS = ("question", "information", "warning", "critical", "about")
_BLOCKING = frozenset({"exec_", *_STATIC_DIALOGS, "getText", "getItem", "getInt", "getDouble"}) | {
    *("getOpenFileName", "getOpenFileNames", "getSaveFileName", "getExistingDirectory"),
}
dialog_answers: list[object] = []
"""What the next modal dialogs answer, first in first out; the test fills it."""


def blocks(real: type, name: str) -> bool:
    """Whether calling it would wait for the user."""
    return issubclass(real, (QtWidgets.QDialog, QtWidgets.QMenu)) and name in _BLOCKING


def answered(told: str) -> Callable:
    """In place of such a function."""
    return lambda *_arguments: next_answer(told)


def next_answer(told: str) -> object:
    """What the test chose in place of the user.

    Raises:
        HostError: nothing was chosen, and the dialog would have waited for ever.
    """
    if not dialog_answers:
        raise HostError(f"{told} would wait for the user; put an answer into host.dialog_answers first")
    return dialog_answers.pop(0)
