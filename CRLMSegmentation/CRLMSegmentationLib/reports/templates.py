"""The jinja2 environment of all HTML pages, their style sheets, and 2D images that are part of a page."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import TypedDict

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..core.text import printable
from .filters import FILTERS, sentence

MAX_CHARACTERS = 4000
"""Of one text on a page; a name or a reason in a file may be a megabyte long."""
DATA = "data:image/"
FOLDER = Path(__file__).parent
"""Where templates and style sheets lie."""


class Figure(TypedDict):
    """A 2D image of a page as HTML; `drawn` is False where a text stands in its place, or nothing."""

    html: Markup | str
    drawn: bool


def render(template: str, **values: object) -> str:
    """Fill in a template of this folder; a name that the template needs and is not given is an error."""
    return _environment().get_template(template).render(**values)


def stylesheet(*names: str) -> Markup:
    """Return the text of style sheets, to be put into a page."""
    return Markup("\n".join((FOLDER / name).read_text("utf-8") for name in names))


def figure(image: bytes | str | None, about: str) -> Figure:
    """Return a PNG as part of a page, or the text that says why there is none.

    Args:
        about: what the image shows, for whoever cannot see it.
    """
    if image is None:
        return {"html": "", "drawn": False}
    if isinstance(image, str):
        html = Markup('<div class="no-picture"><strong>No picture</strong>{}</div>').format(sentence(image))
        return {"html": html, "drawn": False}
    return {"html": Markup('<img alt="{}" src="{}">').format(about, data_uri(image)), "drawn": True}


def plot(data: bytes, about: str, kind: str = "png") -> Markup:
    """Return a plot as part of a page; `kind` is "png" or "svg+xml"."""
    return Markup('<img class="plot" alt="{}" src="{}">').format(about, data_uri(data, kind))


def data_uri(data: bytes, kind: str = "png") -> Markup:
    """Return an image as the address under which a page holds it itself."""
    return Markup(f"{DATA}{kind};base64,{base64.b64encode(data).decode('ascii')}")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment


def _shown(value: object) -> object:
    """Cut a text and remove marks that turn its direction; images and what is HTML already stay as they are."""
    if type(value) is not str or value.startswith(DATA):
        return value
    return printable(" ".join(value.splitlines()), MAX_CHARACTERS)
