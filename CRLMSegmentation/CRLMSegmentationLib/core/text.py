"""Text from other programs, made safe to show: in one line, of bounded length, without control characters.

A name in a file or message may hold line ends, which forge log lines; escape sequences, which control a terminal;
direction marks, which reorder the text on the screen; or a megabyte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

MAX_TEXT = 300
"""Characters that are shown of a text from another program."""
MAX_ENTRIES = 100
"""Entries that are shown of a list or an object."""
MAX_DEPTH = 8
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS = "…"
LEFT_OUT = "…"
"""The key whose value says how many entries of an object are not shown."""


def printable(text: str, max_characters: int = MAX_TEXT) -> str:
    """Return the text in one line of bounded length.

    Characters that control a terminal, or the direction or the lines of a text, are replaced, as is half of a
    surrogate pair, which no output can encode.
    """
    shown = text[: max_characters + 1]
    shown = "".join(c if c.isprintable() else REPLACEMENT for c in shown)
    return shown if len(shown) <= max_characters else shown[: max_characters - 1] + ELLIPSIS


def quoted(text: object, max_characters: int = 60, marks: str = "'") -> str:
    """Return a value for an error message: printable, cut, and between quotation marks where it is a text."""
    return f"{marks}{printable(text, max_characters)}{marks}" if isinstance(text, str) else repr(text)[:max_characters]


def place_text(point_ras_mm: Iterable[float]) -> str:
    """Return a place, RAS mm, as messages show it."""
    return f"({', '.join(f'{float(x):.1f}' for x in point_ras_mm)})"


def bounded(value: Any, max_characters: int = MAX_TEXT, max_entries: int = MAX_ENTRIES, depth: int = MAX_DEPTH) -> Any:
    """Return plain data (as of JSON) of bounded size: texts printable and cut, lists and objects shortened.

    Omitted entries are counted: a list ends with "… 12 more", an object has the key "…" for it.
    """
    if isinstance(value, str):
        return printable(value, max_characters)
    if isinstance(value, (dict, list, tuple)) and depth == 0:
        return ELLIPSIS
    if isinstance(value, dict):
        kept = list(value.items())[:max_entries]
        entries = {
            printable(str(k), max_characters): bounded(v, max_characters, max_entries, depth - 1) for k, v in kept
        }
        return {**entries, LEFT_OUT: f"{len(value) - len(kept)} more"} if len(value) > len(kept) else entries
    if isinstance(value, (list, tuple)):
        found = [bounded(inner, max_characters, max_entries, depth - 1) for inner in value[:max_entries]]
        return [*found, f"{ELLIPSIS} {len(value) - max_entries} more"] if len(value) > max_entries else found
    return value


def ascii_name(text: str, default: str, max_characters: int = 200) -> str:
    """Return a name as OpenIGTLink and a case allow it: printable ASCII, cut, and never empty."""
    return printable(text, max_characters).encode("ascii", "replace").decode() or default
