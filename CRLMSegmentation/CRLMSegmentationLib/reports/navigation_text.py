"""Writes the distance with its interval, the instrument and the margins into a 3D view."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from ..tracking.closest_approach import Approach
from ..tracking.colours import distance_colour, margin_colour

SOFT, SHADOW = "#9fb0c2", "#0b1016"
SIMULATED = "simulated, not a patient"


def write_distance(png: bytes, approach: Approach, margins_mm: Sequence[float], simulated: bool | None = None) -> bytes:
    """Write distance, instrument and margins into a PNG; letters grow with its height."""
    image = Image.open(BytesIO(png)).convert("RGB")
    pen, unit = ImageDraw.Draw(image), image.height / 100
    left, widest_mm = 3.2 * unit, max(margins_mm, default=0.0)
    colour = distance_colour(approach.reading.margin_mm, margins_mm)
    _write(pen, (left, 2.4 * unit), str(approach.interval), 7.4 * unit, colour, bold=True)
    whose = f"{approach.state.instrument.frame} to {approach.reading.name}"
    _write(pen, (left, 11.8 * unit), whose, 3.4 * unit, "#cfd8e3")
    top = 17.2 * unit
    for width_mm in sorted(margins_mm):
        pen.rounded_rectangle(
            (left, top + 0.7 * unit, left + 3.2 * unit, top + 3.0 * unit),
            0.6 * unit,
            _rgb8(margin_colour(width_mm, widest_mm)),
        )
        _write(pen, (left + 4.4 * unit, top), f"margin {width_mm:g} mm", 2.7 * unit, SOFT)
        top += 4.0 * unit
    if simulated:
        _write(pen, (left, top), SIMULATED, 2.7 * unit, SOFT)
    stream = BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: float,
    colour: str | tuple[float, float, float],
    bold: bool = False,
) -> None:
    fill = colour if isinstance(colour, str) else _rgb8(colour)
    font, edge = _font(max(8, round(size)), bold), max(1, round(size / 14))
    pen.text(place, text, fill, font, stroke_width=edge, stroke_fill=SHADOW)


@lru_cache(maxsize=16)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """Return the font that matplotlib brings along, which is the same on every machine."""
    wanted = font_manager.FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return ImageFont.truetype(font_manager.findfont(wanted), size)


def _rgb8(colour: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in colour)
    return red, green, blue
