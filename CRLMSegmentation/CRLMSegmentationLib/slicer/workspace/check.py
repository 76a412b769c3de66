"""One check before the incision, with its result."""

from __future__ import annotations

from dataclasses import dataclass

from ..state import State


@dataclass(frozen=True)
class Check:
    """One check with its result and the next action.

    Attributes:
        name: what was tried.
        text: what was found.
        action: what to do next, empty when nothing.
    """

    name: str
    state: State
    text: str
    action: str = ""
