"""The page of a recorded session: pictures and style inside, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from .lesion_page import SLICES, VIEW_3D
from .metric_names import MISSING
from .schema import TIMINGS
from .templates import stylesheet, templates

PLOT = "over time"
STYLES = ("style.css", "session.css")
MAX_ROWS = 14
"""Of a long history, or of many volumes: the first, and the last ones. The JSON file has all."""


def write_session_page(path: Path, document: Mapping[str, Any], pictures: Mapping[str, bytes | str]) -> None:
    """Write session.html from what its JSON holds.

    Args:
        document: see `session_document`.
        pictures: PNG by "<lesion>/slices" and "<lesion>/view3d", and by `PLOT`; a text says why there is none.
    """
    environment = templates(
        number=_number,
        signed=_signed,
        sizes=_sizes,
        clock=_clock,
        date=_date,
        elapsed=elapsed_text,
        sentence=_sentence,
        bounds=_bounds,
        lasting=_lasting,
        shortened=_shortened,
        point=_point,
    )
    page = environment.get_template("session.html").render(
        d=document,
        lesions=[_lesion(lesion, pictures) for lesion in document["lesions"]],
        plot=_image(pictures.get(PLOT), "The session over time"),
        timings=TIMINGS,
        style=stylesheet(*STYLES),
    )
    path.write_text(page, encoding="utf-8")


def _lesion(lesion: Mapping[str, Any], pictures: Mapping[str, bytes | str]) -> dict[str, Any]:
    name = lesion["lesion"]
    slices = _image(pictures.get(f"{name}/{SLICES}"), f"Three slices through {name}")
    return {**lesion, "slices": slices, "view3d": _image(pictures.get(f"{name}/{VIEW_3D}"), f"{name} in space")}


def _image(picture: bytes | str | None, about: str) -> dict[str, Any]:
    """Attributes of a picture in the page; `drawn` is False where a text stands in its place, or nothing."""
    if picture is None:
        return {"html": "", "drawn": False}
    if isinstance(picture, str):
        text = Markup('<div class="no-picture"><strong>No picture</strong>{}</div>').format(_sentence(picture))
        return {"html": text, "drawn": False}
    data = base64.b64encode(picture).decode("ascii")
    return {"html": Markup('<img alt="{}" src="data:image/png;base64,{}">').format(about, data), "drawn": True}


def _is_missing(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def _number(value: float | None, digits: int = 1) -> str:
    return MISSING if _is_missing(value) else f"{value:.{digits}f}"


def _signed(share: float | None) -> str:
    return MISSING if _is_missing(share) else f"{100 * share:+.0f} %"


def _sizes(diameters_mm: Sequence[float] | None) -> str:
    return " × ".join(f"{d:.0f}" for d in diameters_mm) if diameters_mm and any(diameters_mm) else MISSING


def _point(point: Sequence[float] | None) -> str:
    return MISSING if point is None else "  ".join(f"{x:.1f}" for x in point)


def _bounds(bounds_mm: Sequence[float | None] | None) -> str:
    """As in the room: "(9–16)"; nothing where it is not known."""
    if bounds_mm is None or any(map(_is_missing, bounds_mm)):
        return ""
    low_mm, high_mm = map(round, bounds_mm)
    return f"({low_mm}{' to ' if low_mm < 0 else '–'}{high_mm})"


def _clock(moment: Mapping[str, Any]) -> str:
    return datetime.fromisoformat(moment["time"]).strftime("%H:%M:%S")


def _date(time: str) -> str:
    return datetime.fromisoformat(time).strftime("%d %B %Y, %H:%M").lstrip("0")


def elapsed_text(seconds: float) -> str:
    """Since the start, "2:05" or "1:02:05"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _lasting(row: Mapping[str, Any]) -> str:
    """How long what a row tells of has lasted in all."""
    if not row["lasts"]:
        return ""
    seconds = sum(stop - start for start, stop in row["spans_s"])
    text = f"{seconds:.1f} s" if seconds < 60 else f"{elapsed_text(seconds)} min"
    return f"{text}, until the end" if row["is_open"] else text


def _shortened(rows: Sequence[Any]) -> list[Any]:
    """The first and the last ones, None where some are left out."""
    if len(rows) <= MAX_ROWS:
        return list(rows)
    return [rows[0], None, *rows[-(MAX_ROWS - 2) :]]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
