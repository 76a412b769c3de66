"""Plots a recorded session over time as one PNG: distances, volumes of lesions, and events."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
from matplotlib.figure import Figure

from ..recording import session_events as kinds
from ..recording.tip_distances import STILL_EVERY_S
from ..tracking.colours import colour_of
from .plots import INK, LINE, PLOT_STYLE, SOFT
from .session_table import WITHHELD

STYLE = {**PLOT_STYLE, "axes.axisbelow": True, "ytick.labelcolor": INK, "legend.frameon": False}
LANES = (
    kinds.LINK_LOST,
    kinds.IN_DOUBT,
    WITHHELD,
    kinds.FAILED,
    kinds.LESS_RECORDED,
    kinds.RECALCULATED,
    kinds.CORRECTED,
    kinds.UNDONE,
    kinds.REDONE,
)
TROUBLE_COLOUR, BY_HAND_COLOUR = "#c2410c", "#0b6bcb"
COLOURS = {kinds.CORRECTED: BY_HAND_COLOUR, kinds.UNDONE: BY_HAND_COLOUR, kinds.REDONE: BY_HAND_COLOUR}
COLOURS[kinds.RECALCULATED] = SOFT
LINE_STYLES = ("-", "--", ":", "-.")
WIDTH, MARGIN = 11.0, 0.75
"""Inches."""
CURVE_HEIGHT, LANE_HEIGHT = 2.1, 0.27
GAP_S = 1.2 * STILL_EVERY_S
"""Without a distance for so long, the curve is interrupted."""
MIN_SPAN_S = 10.0
DPI = 120
Draw = Callable[[Axes], None]
Colour = tuple[float, float, float]
Clock = Callable[[Sequence[float]], np.ndarray]
"""From seconds since the start to local times as matplotlib counts them."""


def session_plot(document: Mapping[str, Any]) -> bytes | None:
    """Plot a session over the local time of day.

    Args:
        document: see `session_document`.

    Returns:
        A PNG; None where there is nothing to draw.
    """
    panels = _panels(document)
    if not panels:
        return None
    with mpl.rc_context(STYLE):
        heights = [height for height, _draw in panels]
        figure = Figure(figsize=(WIDTH, sum(heights) + MARGIN), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for one, (_height, draw) in zip(axes, panels):
            draw(one)
        _set_time(axes[-1], document["session"])
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def _panels(document: Mapping[str, Any]) -> list[tuple[float, Draw]]:
    """Return the height of each panel in inches, and the function that draws it."""
    clock = _clock_of(document["session"])
    lesions = {lesion["lesion"]: colour_of(number) for number, lesion in enumerate(document["lesions"])}
    lanes = [name for name in LANES if any(row["what"] == name for row in document["events"])]
    panels: list[tuple[float, Draw]] = []
    if any(row[1] for row in document["tip_distances"]):
        panels.append((CURVE_HEIGHT, lambda axes: _draw_distances(axes, document["tip_distances"], lesions, clock)))
    if any(len(lesion["history"]) > 1 for lesion in document["lesions"]):
        panels.append((CURVE_HEIGHT, lambda axes: _draw_volumes(axes, document["lesions"], lesions, clock)))
    if lanes:
        height = LANE_HEIGHT * len(lanes) + 0.1
        panels.append((height, lambda axes: _draw_lanes(axes, document["events"], lanes, clock)))
    return panels


def _clock_of(session: Mapping[str, Any]) -> Clock:
    """Return the function that turns seconds since the start into local times of matplotlib."""
    started = datetime.fromisoformat(session["started"]).replace(tzinfo=None)
    return lambda seconds: date2num([started + timedelta(seconds=second) for second in seconds])


def _draw_distances(axes: Axes, rows: Sequence[Sequence[Any]], lesions: Mapping[str, Colour], clock: Clock) -> None:
    """Draw the shown distance, one piece of curve for as long as one tip was nearest to one lesion."""
    styles: dict[str, str] = {}
    labels: set[str] = set()
    for (lesion, instrument), part in _pieces(rows):
        elapsed_s, distance_mm, low_mm, high_mm = np.array([(row[0], *row[3:6]) for row in part], float).T
        times, colour = clock(elapsed_s), lesions.get(lesion, SOFT)
        style = styles.setdefault(instrument, LINE_STYLES[len(styles) % len(LINE_STYLES)])
        label = f"{instrument} to {lesion}"
        axes.fill_between(times, low_mm, high_mm, color=colour, alpha=0.2, linewidth=0)
        axes.plot(
            times,
            distance_mm,
            color=colour,
            linestyle=style,
            linewidth=1.6,
            marker=".",
            markersize=3,
            label="" if label in labels else label,
        )
        labels.add(label)
    axes.axhline(0, color=INK, linewidth=0.9)
    axes.set_ylabel("distance, mm")
    _finish_curve(axes)


def _pieces(rows: Sequence[Sequence[Any]]) -> list[tuple[tuple[str, str], list[Sequence[Any]]]]:
    pieces: list[tuple[tuple[str, str], list[Sequence[Any]]]] = []
    before: tuple[Any, ...] = (None, None)
    last_s = -np.inf
    for row in rows:
        of = (row[1], row[2])
        if row[1] is not None:
            if of != before or row[0] - last_s > GAP_S:
                pieces.append((of, []))
            pieces[-1][1].append(row)
        before, last_s = of, row[0]
    return pieces


def _draw_volumes(axes: Axes, shown: Sequence[Mapping[str, Any]], lesions: Mapping[str, Colour], clock: Clock) -> None:
    for lesion in shown:
        history = lesion["history"]
        if history:
            times = clock([sighting["moment"]["elapsed_s"] for sighting in history])
            sizes_ml = [sighting["volume_ml"] for sighting in history]
            colour = lesions[lesion["lesion"]]
            axes.plot(times, sizes_ml, "o-", label=lesion["lesion"], color=colour, linewidth=1.6, markersize=3.5)
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
    axes.set_ylabel("volume, ml")
    _finish_curve(axes)


def _finish_curve(axes: Axes) -> None:
    axes.grid(color=LINE, linewidth=0.8)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=10)
    axes.margins(y=0.12)


def _draw_lanes(axes: Axes, rows: Sequence[Mapping[str, Any]], lanes: Sequence[str], clock: Clock) -> None:
    for place, name in enumerate(lanes):
        colour = COLOURS.get(name, TROUBLE_COLOUR)
        for start, stop in (span for row in rows if row["what"] == name for span in row["spans_s"]):
            begin, end = clock([start, stop])
            axes.plot([begin, end], [place, place], color=colour, linewidth=7, solid_capstyle="butt")
            axes.plot([begin], [place], "|", color=colour, markersize=10, markeredgewidth=1.8)
    axes.set_yticks(range(len(lanes)), lanes)
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    axes.grid(axis="x", color=LINE, linewidth=0.8)


def _set_time(axes: Axes, session: Mapping[str, Any]) -> None:
    seconds = max(session["seconds"], MIN_SPAN_S)
    axes.set_xlim(*_clock_of(session)([-0.01 * seconds, 1.01 * seconds]))
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=4, maxticks=9))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S" if seconds < 900 else "%H:%M"))
    axes.set_xlabel("local time")
