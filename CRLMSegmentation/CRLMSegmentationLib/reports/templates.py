"""The pages of this folder, filled in with jinja2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..core.text import printable

MAX_CHARACTERS = 4000
"""Of one text on a page; a name or a reason in a file may be a megabyte long."""
PICTURE = "data:image/"
FOLDER = Path(__file__).parent
"""Where templates and style sheets lie."""


def templates(**filters: Callable[..., Any]) -> Environment:
    """Templates that escape and cut what they are given, fail on what they are not, and know these filters."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment


def stylesheet(*names: str) -> Markup:
    """The text of style sheets, to be put into a page."""
    return Markup("\n".join((FOLDER / name).read_text("utf-8") for name in names))


def _shown(value: Any) -> Any:
    """A text without marks that turn its direction, and cut; pictures and what is HTML already stay as they are."""
    if type(value) is not str or value.startswith(PICTURE):
        return value
    return printable(" ".join(value.splitlines()), MAX_CHARACTERS)
