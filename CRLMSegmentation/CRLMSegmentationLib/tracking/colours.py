"""Colours of lesions, margins, consensus surfaces and tools, for the scene and the reports.

All are RGB, each component from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable

from .instruments import InstrumentKind

Rgb = tuple[float, float, float]

LESION_COLOURS: tuple[Rgb, ...] = (
    (0.90, 0.62, 0.00),
    (0.34, 0.71, 0.91),
    (0.00, 0.62, 0.45),
    (0.80, 0.47, 0.65),
    (0.84, 0.37, 0.00),
    (0.00, 0.45, 0.70),
)
"""Okabe-Ito palette: told apart by people with any colour vision."""
CLEAR_COLOUR: Rgb = (1.0, 1.0, 1.0)
OUTER_COLOUR: Rgb = (1.0, 0.78, 0.20)
INNER_COLOUR: Rgb = (1.0, 0.25, 0.20)
"""Of the widest margin and of the narrowest; also of whatever stands in one."""
UNSAFE_COLOUR: Rgb = (0.6, 0.6, 0.6)
"""Of margins around a segmentation that is not to be relied on."""
INNER, OUTER = "always tumour", "ever tumour"
CONSENSUS_COLOURS: dict[str, Rgb] = {INNER: (0.25, 0.95, 0.85), OUTER: (0.80, 0.55, 1.0)}
TOOL_COLOURS: dict[InstrumentKind, Rgb] = {
    InstrumentKind.POINTER: (0.35, 0.80, 1.0),
    InstrumentKind.DISSECTOR: (1.0, 0.85, 0.35),
    InstrumentKind.PROBE: (0.80, 0.84, 0.88),
}


def colour_of(number: int) -> Rgb:
    """Return the colour of the lesion with a number, counted from 0."""
    return LESION_COLOURS[number % len(LESION_COLOURS)]


def margin_colour(width_mm: float, widest_mm: float) -> Rgb:
    """Return the colour of a margin: amber for the widest, red for those inside."""
    return OUTER_COLOUR if width_mm >= widest_mm else INNER_COLOUR


def distance_colour(margin_mm: float | None, margins_mm: Iterable[float]) -> Rgb:
    """Return the colour of a distance and its line: that of the margin that the tip is in, else white."""
    return CLEAR_COLOUR if margin_mm is None else margin_colour(margin_mm, max(margins_mm, default=0.0))
