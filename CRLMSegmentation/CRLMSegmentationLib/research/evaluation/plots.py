"""Plots of an evaluation as SVG: boxes by group, curves of robustness, confidence against Dice."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from ...reports.plots import INK, LINE, PLOT_STYLE, SOFT, draw_boxes

ACCENT, PALE = "#0b6bcb", "#cfe3f8"
DETECTED_COLOUR = "#b45309"
STYLE = {**PLOT_STYLE, "svg.hashsalt": "crlm-seg", "ytick.color": INK}
"""The font that matplotlib brings, drawn as segmentations: the same picture on every machine."""

GROUP_STYLES: Sequence[Mapping[str, Any]] = (
    {"linestyle": "--", "marker": "^", "ms": 4.5},
    {"linestyle": "-.", "marker": "s", "ms": 4.5},
    {"linestyle": ":", "marker": "D", "ms": 4.5},
    {"linestyle": "-", "marker": "x", "ms": 4.5},
)
"""Told apart without colour."""
WIDTH = 6.0
"""Inches, of every plot, so that their texts come out equally large."""
Groups = Sequence[tuple[str, Sequence[float]]]


def box_plot(groups: Groups, label: str, limits: tuple[float, float] | None = None) -> str:
    """A box (median, quartiles, whiskers to 1.5 interquartile ranges) and all lesions as points for each group."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(WIDTH, 1.0 + 0.44 * len(groups))
        number = len(groups)
        draw_boxes(axes, [values for _, values in groups], [PALE] * number, [ACCENT] * number)
        axes.set_yticks(range(len(groups)), [f"{name}  ({len(values)})" for name, values in groups])
        axes.set_xlabel(label)
        axes.grid(axis="x", color=LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        if limits:
            axes.set_xlim(*limits)
        return _svg(figure)


def curve_plot(points: Sequence[Mapping[str, Any]], label: str) -> str:
    """Median and quartiles of Dice, and the share of lesions that were detected, against an amount."""
    made = [point for point in points if point["dice"]["count"]]
    amounts = [point["amount"] for point in made]
    quartiles = np.array([point["dice"]["quartiles"] for point in made])
    with mpl.rc_context(STYLE):
        figure, axes = _figure(WIDTH, 3.6)
        axes.fill_between(amounts, quartiles[:, 0], quartiles[:, 1], color=PALE, label="Dice, quartiles")
        medians = [point["dice"]["median"] for point in made]
        axes.plot(amounts, medians, color=ACCENT, linewidth=2.4, marker="o", label="Dice, median")
        shares = [point["detection_rate"]["share"] for point in made]
        axes.plot(
            amounts, shares, color=DETECTED_COLOUR, linewidth=1.6, linestyle="--", marker="s", ms=4.5, label="detected"
        )
        _unit_axis(axes)
        axes.set_xlabel(label)
        axes.set_xticks(amounts, [f"{amount:g}" for amount in amounts])
        figure.legend(frameon=False, loc="outside upper center", ncols=3, fontsize=9.5)
        return _svg(figure)


def clicks_plot(clicks: Mapping[str, Any]) -> str:
    """Median Dice after each number of clicks, of all lesions with their quartiles, and of each echogenicity."""
    shown, groups = clicks["shown"], clicks["groups"]
    everything = groups["all"]["all"]["dice"]
    quartiles = np.array([spread["quartiles"] for spread in everything])
    with mpl.rc_context(STYLE):
        figure, axes = _figure(WIDTH, 3.6)
        axes.fill_between(shown, quartiles[:, 0], quartiles[:, 1], color=PALE, label="all, quartiles")
        medians = [spread["median"] for spread in everything]
        axes.plot(shown, medians, color=ACCENT, linewidth=2.4, marker="o", label="all, median")
        for (name, group), style in zip(groups["echogenicity"].items(), GROUP_STYLES):
            axes.plot(
                shown, [spread["median"] for spread in group["dice"]], color=INK, linewidth=1.3, label=name, **style
            )
        axes.axhline(clicks["target"], color=SOFT, linewidth=1, linestyle=":")
        _unit_axis(axes)
        axes.set_xlabel("clicks, the first included")
        axes.set_ylabel("Dice")
        axes.set_xticks(shown)
        figure.legend(frameon=False, loc="outside upper center", ncols=3, fontsize=9.5)
        return _svg(figure)


def calibration_plot(confidence: Sequence[float], dice: Sequence[float], bins: Sequence[Mapping[str, Any]]) -> str:
    """Each lesion, and the means of each bin against the line on which confidence would equal Dice."""
    low = min(0.8, np.floor(10 * min(confidence)) / 10)
    with mpl.rc_context(STYLE):
        figure, axes = _figure(WIDTH, 3.9)
        axes.plot([low, 1], [low, 1], color=SOFT, linewidth=1, linestyle=":", label="confidence = Dice")
        axes.scatter(confidence, dice, s=18, color=ACCENT, alpha=0.6, linewidths=0, label="a lesion")
        means = [b["confidence"] for b in bins], [b["dice_mean"] for b in bins]
        axes.plot(*means, color=INK, linewidth=1.8, marker="D", ms=6, label="mean of a bin")
        _unit_axis(axes)
        axes.set_xlim(low - 0.01, 1.01)
        axes.xaxis.set_major_locator(MultipleLocator(0.05 if low > 0.55 else 0.1))
        axes.set_xlabel("confidence: mean probability inside the mask")
        axes.set_ylabel("Dice")
        figure.legend(frameon=False, loc="outside upper center", ncols=3, fontsize=9.5)
        return _svg(figure)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    return figure, axes


def _unit_axis(axes: Axes) -> None:
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks(np.arange(0, 1.01, 0.2))
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
