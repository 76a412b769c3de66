"""Plots of a study: ROC curves, agreement of volumes, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ...reports.plots import INK, SOFT
from .style import ORACLE_MARK, any_oracle, colour_of, label_of, marker_of, new_figure

Results = Mapping[str, Any]
Row = Mapping[str, Any]
ROC_TITLES = {"crop": "over the cube around the click", "volume": "over the whole volume"}
LEAST_RATE = 1e-5
TICK_BASES = ((20, 2), (300, 4), (float("inf"), 10))
"""Up to which ratio the ticks are powers of which number."""


def roc_figure(results: Results) -> Figure:
    """Mean ROC curve of each method that has probabilities, and where its mask lies; one panel for each region."""
    figure = new_figure(11.5, 5.2, "ROC, mean over lesions")
    panels = figure.subplots(1, len(results["roc"]), sharey=True, squeeze=False)[0]
    for axes, (region, found) in zip(panels, results["roc"].items()):
        lesions = max((len(results["lesions"][method]) for method in found["methods"]), default=0)
        for method, curve in found["methods"].items():
            _draw_roc(axes, found["false_positive_rate"], curve, method)
        axes.plot(*[np.geomspace(LEAST_RATE, 1, 200)] * 2, color=SOFT, linewidth=1, linestyle=":")
        axes.set_xscale("log")
        axes.set_xlim(LEAST_RATE, 1)
        axes.set_ylim(-0.02, 1.02)
        axes.set_title(f"{ROC_TITLES[region]}: n = {lesions} lesions", pad=8)
        axes.set_xlabel("share of healthy voxels called tumour (logarithmic)")
        axes.grid()
    panels[0].set_ylabel("share of tumour voxels found (recall)")
    handles = [_roc_handle(method, bool(curve["recall"])) for method, curve in found["methods"].items()]
    handles.append(Line2D([], [], color=SOFT, linewidth=1, linestyle=":", label="chance"))
    if any_oracle(results["methods"]):
        handles.append(Line2D([], [], linestyle="none", label=ORACLE_MARK))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=10)
    return figure


def _draw_roc(axes: Axes, rates: Sequence[float], curve: Mapping[str, Any], method: str) -> None:
    if curve["recall"]:
        shown = [(rate, recall) for rate, recall in zip(rates, curve["recall"]) if rate >= LEAST_RATE]
        axes.plot(*zip(*shown), color=colour_of(method), linewidth=2.4)
    point = curve["mask"]
    if point["lesions"]:
        x = max(point["false_positive_rate"], LEAST_RATE)
        (mark,) = axes.plot(x, point["recall"], markersize=9, clip_on=False, zorder=4, color=colour_of(method))
        mark.set(marker=marker_of(method), markeredgecolor=INK)


def _roc_handle(method: str, has_curve: bool) -> Line2D:
    line = "solid" if has_curve else "none"
    kind = "probabilities, marker: mask" if has_curve else "mask only"
    name = f"{label_of(method)} ({kind})"
    handle = Line2D([], [], color=colour_of(method), linewidth=2.4, linestyle=line, label=name)
    handle.set(marker=marker_of(method), markersize=8, markeredgecolor=INK)
    return handle


def agreement_figure(results: Results) -> Figure:
    """Bland and Altman's plot of volumes as ratios, one panel for each method."""
    methods = results["methods"]
    columns = min(3, len(methods))
    rows = -(-len(methods) // columns)
    figure = new_figure(11.5, 1.0 + 3.5 * rows, "Volume of the mask divided by the true volume")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    reach = _largest_ratio(results)
    for axes, method in zip(panels, methods):
        _draw_agreement(axes, results["lesions"][method], results["agreement"][method], method)
        axes.set_ylim(1 / reach, reach)
        axes.yaxis.set_major_locator(FixedLocator(_ratio_ticks(reach)))
    for axes in panels[len(methods) :]:
        axes.set_visible(False)
    for number in range(len(methods)):
        panels[number].tick_params(labelbottom=number + columns >= len(methods))
    figure.supxlabel("geometric mean of both volumes, ml (logarithmic)", fontsize=11, color=SOFT)
    figure.supylabel("mask / reference (logarithmic)", fontsize=11, color=SOFT)
    _legend_in_free_panel(figure, list(panels), methods)
    return figure


def _largest_ratio(results: Results) -> float:
    """Of all lesions, with room; limits of agreement that few lesions have made wide may leave the picture."""
    ratios = [r["volume_ml"] / r["truth_ml"] for rows in results["lesions"].values() for r in rows if r["volume_ml"]]
    return float(max([2.0, *(1.4 * max(x, 1 / x) for x in ratios)]))


def _ratio_ticks(reach: float) -> list[float]:
    base = next(base for limit, base in TICK_BASES if reach <= limit)
    most = int(np.log(reach) / np.log(base))
    return [float(base) ** power for power in range(-most, most + 1)]


def _draw_agreement(axes: Axes, rows: Sequence[Row], found: Mapping[str, Any], method: str) -> None:
    measured = [row for row in rows if row["volume_ml"]]
    means = [np.sqrt(row["volume_ml"] * row["truth_ml"]) for row in measured]
    ratios = [row["volume_ml"] / row["truth_ml"] for row in measured]
    colour = colour_of(method)
    axes.set_xscale("log")
    axes.set_yscale("log")
    if found["limits"]:
        axes.axhspan(*found["limits"], color=colour, alpha=0.16, linewidth=0)
    axes.axhline(1, color=SOFT, linewidth=1, linestyle=":")
    if found["ratio"]:
        axes.axhline(found["ratio"], color=colour, linewidth=2.2)
    axes.scatter(means, ratios, s=20, color=INK, alpha=0.6, linewidths=0, zorder=3)
    missed = f", {found['nothing_found']} not found" if found["nothing_found"] else ""
    axes.set_title(f"{label_of(method)}: n = {found['lesions']}{missed}", pad=7)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"1/{round(1 / y)}" if y < 1 else f"{y:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.grid(axis="both")


def _legend_in_free_panel(figure: Figure, panels: Sequence[Axes], methods: Sequence[str]) -> None:
    handles = [
        Line2D([], [], color=SOFT, linewidth=2.2, label="geometric mean of the ratios"),
        Line2D([], [], color=SOFT, alpha=0.25, linewidth=9, label="95 % limits of agreement"),
        Line2D([], [], color=SOFT, linewidth=1, linestyle=":", label="equal volumes"),
        Line2D([], [], color=INK, alpha=0.6, linestyle="none", marker="o", markersize=5, label="a lesion"),
    ]
    if any_oracle(methods):
        handles.append(Line2D([], [], linestyle="none", label=ORACLE_MARK))
    if len(methods) < len(panels):
        free = panels[-1]
        free.set_visible(True)
        free.set_axis_off()
        free.legend(handles=handles, loc="center left", fontsize=11)
    else:
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=10)


def learning_figure(results: Results) -> Figure:
    """Losses and the Dice of validation patches against epochs, one column for each network."""
    curves = {variant: found["curve"] for variant, found in results["trainings"].items() if found["curve"]}
    figure = new_figure(11.5, 5.6, "Learning curves")
    panels = figure.subplots(2, len(curves), sharex="col", sharey="row", squeeze=False)
    for (losses, dice), (variant, lines) in zip(panels.T, curves.items()):
        epochs = [line["epoch"] + 1 for line in lines]
        marker = "o" if len(lines) < 25 else None
        style = {"color": colour_of(variant), "marker": marker, "markersize": 4, "linewidth": 2}
        losses.plot(epochs, [line["train_loss"] for line in lines], **style)
        losses.plot(epochs, [line["val_loss"] for line in lines], linestyle="--", markerfacecolor="white", **style)
        known = [(epoch, line["dice"]) for epoch, line in zip(epochs, lines) if line["dice"] is not None]
        dice.plot(*(zip(*known) if known else ((), ())), linestyle="--", markerfacecolor="white", **style)
        images = results["trainings"][variant]["images"]
        counts = f": n = {images['train']} + {images['val']} images" if images else ""
        losses.set_title(f"{label_of(variant)}{counts}", pad=8)
        dice.set_xlabel("epoch")
        dice.set_ylim(0, 1)
        dice.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for axes in (losses, dice):
            axes.grid(axis="y")
    panels[0, 0].set_ylabel("loss\n(cross-entropy − Dice)")
    panels[1, 0].set_ylabel("Dice of\nvalidation patches")
    handles = [Line2D([], [], color=SOFT, linewidth=2, label="training")]
    handles.append(Line2D([], [], color=SOFT, linewidth=2, linestyle="--", label="validation"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=10)
    return figure
