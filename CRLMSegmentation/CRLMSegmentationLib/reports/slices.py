"""Draws three orthogonal slices of a lesion as one PNG: close up, and in the whole volume."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from ..core.grey_window import grey_window
from .planes import PLANES, DrawnLesion, Plane, field_of_view_mm, plane_pixels, sample, volume_corners

PREDICTION_COLOUR = "#ff9f1c"
TRUTH_COLOUR = "#4cc3ff"
SEED_COLOUR = "#fff04d"
CROP_COLOUR = "#ffffff"
CROP_DASHES = (0, (4, 3))
BACKGROUND = "#0b1016"
NOT_INSONIFIED = "#151c25"
INK = "#cfd8e3"
"""Orange, blue and yellow stay apart for every kind of colour vision, and by line style without colour."""

CLOSE_UP_PIXELS = 512
OVERVIEW_PIXELS = 400
SEED_DEPTH_MM = 2.0
"""A seed farther from a slice than this is drawn faint."""
Extent = tuple[float, float, float, float]
SCALE_BARS_MM = (1, 2, 5, 10, 20, 50, 100)


def three_slices(lesion: DrawnLesion, dpi: int = 130) -> bytes:
    """Draw the three slices through the lesion with contours of prediction and ground truth, as PNG.

    The upper row is close up, the lower one shows the whole volume with the crop box, where there is one.
    """
    figure = new_figure(7.75)
    rows = figure.add_gridspec(
        2, 3, height_ratios=(1.55, 1), left=0.012, right=0.988, top=0.955, bottom=0.06, wspace=0.03, hspace=0.11
    )
    limits = grey_window(lesion.volume)
    span_mm = field_of_view_mm(lesion)
    for column, plane in enumerate(PLANES):
        close_up = figure.add_subplot(rows[0, column])
        _draw_slice(close_up, lesion, plane, lesion.center_ras_mm, (span_mm, span_mm), CLOSE_UP_PIXELS, limits)
        label_edges(close_up, plane)
        draw_scale_bar(close_up, span_mm)
        draw_title(close_up, plane, lesion.center_ras_mm)
        _draw_overview(figure.add_subplot(rows[1, column]), lesion, plane, limits)
    draw_legend(figure, _legend(lesion))
    return png_of(figure, dpi)


def new_figure(height_inches: float) -> Figure:
    """Return an empty dark figure as wide as three slices."""
    figure = Figure(figsize=(12.4, height_inches), facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    return figure


def draw_grey(
    axes: Axes,
    lesion: DrawnLesion,
    at: np.ndarray,
    size_mm: tuple[float, float],
    limits: tuple[float, float],
    interpolation: str | None = "nearest",
) -> Extent:
    """Draw the grey values of a slice where the volume was insonified; the axes count mm from its middle.

    Args:
        at: as `plane_pixels` gives them.
        limits: grey values that are black and white.
        interpolation: of matplotlib between the pixels; None for its default.

    Returns:
        The left, right, bottom and top edge, mm.
    """
    width, height = size_mm
    extent = (-width / 2, width / 2, -height / 2, height / 2)
    axes.set_facecolor(NOT_INSONIFIED)
    grey = np.where(sample(lesion.insonified, at) >= 0.5, sample(lesion.volume.array, at), np.nan)
    axes.imshow(
        grey, cmap="gray", vmin=limits[0], vmax=limits[1], origin="lower", extent=extent, interpolation=interpolation
    )
    return extent


def finish_panel(axes: Axes, extent: Extent) -> None:
    """Show a slice from edge to edge, without ticks."""
    axes.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[], aspect="equal")
    for spine in axes.spines.values():
        spine.set_color("#2a3644")


def draw_legend(figure: Figure, entries: Sequence[Artist]) -> None:
    """Draw the legend below the slices."""
    figure.legend(
        handles=list(entries), loc="lower center", ncol=len(entries), frameon=False, labelcolor=INK, fontsize=10.5
    )


def png_of(figure: Figure, dpi: int) -> bytes:
    """Return a figure of slices as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, facecolor=BACKGROUND)
    return stream.getvalue()


def _draw_overview(axes: Axes, lesion: DrawnLesion, plane: Plane, limits: tuple[float, float]) -> None:
    corners = volume_corners(lesion.volume)
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    middle[plane.through] = lesion.center_ras_mm[plane.through]
    extent_mm = corners.max(axis=0) - corners.min(axis=0)
    size_mm = 1.06 * extent_mm[np.argmax(np.abs(plane.right))], 1.06 * extent_mm[np.argmax(np.abs(plane.up))]
    _draw_slice(axes, lesion, plane, middle, size_mm, OVERVIEW_PIXELS, limits)
    if lesion.crop_size_mm is not None:
        _draw_crop_box(axes, plane, lesion.seed_ras_mm - middle, lesion.crop_size_mm)
    draw_scale_bar(axes, max(size_mm))


def _draw_slice(
    axes: Axes,
    lesion: DrawnLesion,
    plane: Plane,
    center_ras_mm: np.ndarray,
    size_mm: tuple[float, float],
    pixels: int,
    limits: tuple[float, float],
) -> None:
    """Draw grey values, contours and seed of one slice; the axes count mm from its centre."""
    columns, rows = (max(8, round(pixels * length / max(size_mm))) for length in size_mm)
    at = plane_pixels(plane, lesion.volume, center_ras_mm, size_mm, (columns, rows))
    extent = draw_grey(axes, lesion, at, size_mm, limits)
    if lesion.truth is not None:
        _draw_contour(axes, sample(lesion.truth, at), extent, TRUTH_COLOUR, "dashed")
    _draw_contour(axes, sample(lesion.mask, at), extent, PREDICTION_COLOUR, "solid")
    _draw_seed(axes, lesion, plane, center_ras_mm)
    finish_panel(axes, extent)


def _draw_contour(axes: Axes, inside: np.ndarray, extent: Extent, colour: str, style: str) -> None:
    if not (inside >= 0.5).any():
        return
    lines = axes.contour(
        inside, levels=[0.5], colors=colour, linewidths=1.9, linestyles=style, origin="lower", extent=extent
    )
    lines.set_path_effects([effects.Stroke(linewidth=3.4, foreground="#000000", alpha=0.55), effects.Normal()])


def on_screen(plane: Plane, offset_mm: np.ndarray) -> tuple[float, float]:
    """Return how far to the right and up an offset in RAS mm points in a slice."""
    return float(offset_mm @ np.array(plane.right)), float(offset_mm @ np.array(plane.up))


def _draw_seed(axes: Axes, lesion: DrawnLesion, plane: Plane, center_ras_mm: np.ndarray) -> None:
    offset_mm = np.asarray(lesion.seed_ras_mm) - center_ras_mm
    x, y = on_screen(plane, offset_mm)
    in_slice = abs(offset_mm[plane.through]) <= SEED_DEPTH_MM
    axes.plot(
        [x],
        [y],
        marker="+",
        markersize=11,
        markeredgewidth=1.8,
        color=SEED_COLOUR,
        alpha=1.0 if in_slice else 0.45,
        path_effects=[effects.Stroke(linewidth=3.4, foreground="#000000", alpha=0.6), effects.Normal()],
    )


def _draw_crop_box(axes: Axes, plane: Plane, offset_mm: np.ndarray, size: float) -> None:
    x, y = on_screen(plane, np.asarray(offset_mm))
    axes.add_patch(
        Rectangle((x - size / 2, y - size / 2), size, size, fill=False, color=CROP_COLOUR, linestyle=CROP_DASHES)
    )


def draw_title(axes: Axes, plane: Plane, place_ras_mm: np.ndarray) -> None:
    """Write the name of a slice and where it lies."""
    place_mm = place_ras_mm[plane.through]
    axes.set_title(f"{plane.name}   {'RAS'[plane.through]} {place_mm:.1f} mm", color=INK, fontsize=11, pad=5)


def label_edges(axes: Axes, plane: Plane) -> None:
    """Write the letters of the directions at the edges of a slice."""
    places = (
        (0.02, 0.5, "left", "center"),
        (0.98, 0.5, "right", "center"),
        (0.5, 0.98, "center", "top"),
        (0.5, 0.02, "center", "bottom"),
    )
    for letter, (x, y, horizontal, vertical) in zip(plane.edges, places):
        text = axes.text(x, y, letter, transform=axes.transAxes, ha=horizontal, va=vertical, color=INK, fontsize=11)
        text.set_path_effects([effects.withStroke(linewidth=2.5, foreground="#000000")])


def draw_scale_bar(axes: Axes, span_mm: float) -> None:
    """Draw a bar of at most a third of the width of a slice."""
    length = max((n for n in SCALE_BARS_MM if n <= span_mm / 3), default=SCALE_BARS_MM[0])
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = left + 0.04 * (right - left), bottom + 0.05 * (top - bottom)
    shadow = [effects.Stroke(linewidth=5, foreground="#000000", alpha=0.7), effects.Normal()]
    axes.plot([x, x + length], [y, y], color="white", linewidth=2.6, solid_capstyle="butt", path_effects=shadow)
    text = axes.text(
        x + length / 2, y + 0.02 * (top - bottom), f"{length} mm", color="white", fontsize=9, ha="center", va="bottom"
    )
    text.set_path_effects([effects.withStroke(linewidth=2.5, foreground="#000000")])


def _legend(lesion: DrawnLesion) -> list[Artist]:
    found = lesion.mask.any()
    entries: list[Artist] = [
        Line2D(
            [], [], color=PREDICTION_COLOUR, linewidth=2.2, label="prediction" if found else "prediction: nothing found"
        )
    ]
    if lesion.truth is not None:
        entries.append(Line2D([], [], color=TRUTH_COLOUR, linewidth=2.2, linestyle="dashed", label="truth"))
    entries.append(
        Line2D(
            [],
            [],
            color=SEED_COLOUR,
            marker="+",
            markersize=10,
            markeredgewidth=2,
            linestyle="none",
            label="seed (faint: beside this slice)",
        )
    )
    if lesion.crop_size_mm is not None:
        label = f"crop {lesion.crop_size_mm:.0f} mm"
        entries.append(Line2D([], [], color=CROP_COLOUR, linestyle=CROP_DASHES, label=label))
    entries.append(Patch(facecolor=NOT_INSONIFIED, edgecolor="#2a3644", label="not swept"))
    return entries
