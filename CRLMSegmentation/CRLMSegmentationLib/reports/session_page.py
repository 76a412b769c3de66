"""Writes session.html: one page with its images and style inside, which loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .lesion_page import SLICES, VIEW_3D
from .schema import TIMINGS
from .templates import figure, render, stylesheet

PLOT = "over time"
STYLES = ("page.css", "session.css")


def write_session_page(path: Path, document: Mapping[str, Any], figures: Mapping[str, bytes | str]) -> None:
    """Write session.html from what its JSON holds.

    Args:
        document: see `session_document`.
        figures: PNG by "<lesion>/slices" and "<lesion>/view3d", and by `PLOT`; a text says why there is none.
    """
    page = render(
        "session.html",
        d=document,
        lesions=[_lesion(lesion, figures) for lesion in document["lesions"]],
        plot=figure(figures.get(PLOT), "The session over time"),
        timings=TIMINGS,
        style=stylesheet(*STYLES),
    )
    path.write_text(page, encoding="utf-8")


def _lesion(lesion: Mapping[str, Any], figures: Mapping[str, bytes | str]) -> dict[str, Any]:
    name = lesion["lesion"]
    slices = figure(figures.get(f"{name}/{SLICES}"), f"Three slices through {name}")
    return {**lesion, "slices": slices, "view3d": figure(figures.get(f"{name}/{VIEW_3D}"), f"{name} in space")}
