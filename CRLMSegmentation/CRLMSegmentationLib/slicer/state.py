"""How something is: the states that the panel shows; `rich_text` gives each its sign and its colour."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """How something is."""

    OK = "ok"
    OFF = "off"
    """Not in use, or not known."""
    PENDING = "pending"
    """Being found out."""
    BY_HAND = "by hand"
    """Made by a person, and therefore not rated."""
    WARNING = "warning"
    ERROR = "error"


StateText = tuple[State, str]
"""A state and what there is to be said about it, plain text."""
