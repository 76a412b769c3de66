"""Style of the figures of a study: colour, marker and name of each method, and the badge of simulated data."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image, ImageColor

from ...reports.plots import INK, LINE, PLOT_STYLE, SOFT

COLOURS = {
    "full": "#56B4E9",
    "crop": "#E69F00",
    "crop+seed": "#009E73",
    "crop+clicks": "#0072B2",
    "grow-cut": "#CC79A7",
    "region-growing": "#D55E00",
}
"""Of Okabe and Ito: told apart with every kind of colour vision, on white and on ultrasound."""
MARKERS = {"full": "s", "crop": "^", "crop+seed": "o", "crop+clicks": "P", "grow-cut": "D", "region-growing": "v"}
LABELS = {
    "full": "full volume",
    "crop": "crop",
    "crop+seed": "crop + seed",
    "crop+clicks": "crop + clicks",
    "grow-cut": "grow-cut*",
    "region-growing": "region growing",
}
"""The star stands for strokes that come from the reference, as `ORACLE_MARK` says beneath each plot."""
ORACLE_MARK = "* strokes of a simulated user who sees the reference segmentation"
SIMULATED = "SIMULATED DATA"
BADGE = {"boxstyle": "round,pad=0.4", "facecolor": "#ffe2a8", "edgecolor": "none"}
BADGE_INK = "#5c3b00"
STYLE = {
    **PLOT_STYLE,
    "axes.titlesize": 11,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
}
DPI, FIGURE_DPI = 130, 100
STRIP = 0.42
"""Inches, of title and badge."""
PALETTE = 256
"""Colours of a plot's PNG, in a smaller file."""


def styled() -> AbstractContextManager[None]:
    """Return a context with the matplotlib style of a study."""
    return mpl.rc_context(STYLE)


def new_figure(width: float, height: float, title: str) -> Figure:
    """Create a figure (inches) with its title and the badge in a strip above all panels."""
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - STRIP / height))
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    middle = 1 - 0.45 * STRIP / height
    figure.text(0.01, middle, title, ha="left", va="center", fontsize=13, fontweight="bold")
    badge = figure.text(1 - 0.1 / width, middle, SIMULATED, ha="right", va="center", bbox=BADGE)
    badge.set(fontsize=9.5, fontweight="bold", color=BADGE_INK)
    return figure


def png_of(figure: Figure, palette: bool = True) -> bytes:
    """Return a figure as PNG, with identical bytes on each run.

    Args:
        palette: for plots; ultrasound would lose the colours of its contours.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI if palette else FIGURE_DPI, metadata={"Software": None})
    if not palette:
        return stream.getvalue()
    small = io.BytesIO()
    _of_few_colours(Image.open(stream).convert("RGB")).save(small, format="png", optimize=True)
    return small.getvalue()


def _of_few_colours(image: Image.Image) -> Image.Image:
    """Return an image of `PALETTE` colours, those of the methods among them as they are."""
    kept = [part for colour in COLOURS.values() for part in ImageColor.getrgb(colour)]
    others = image.quantize(PALETTE - len(COLOURS), dither=Image.Dither.NONE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*kept, *others[: 3 * PALETTE - len(kept)]])
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def any_oracle(methods: Sequence[str]) -> bool:
    """Return whether one of the methods uses strokes from the ground truth."""
    return any(label_of(method).endswith("*") for method in methods)


def label_of(method: str) -> str:
    """Return the name of a method in figures."""
    return LABELS.get(method, method)


def colour_of(method: str) -> str:
    """Return the colour of a method in figures."""
    return COLOURS.get(method, SOFT)


def marker_of(method: str) -> str:
    """Return the marker of a method in figures."""
    return MARKERS.get(method, "o")
