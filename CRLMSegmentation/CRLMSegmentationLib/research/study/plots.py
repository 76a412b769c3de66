"""Plots of a study that compare methods: boxes of a measure, by echogenicity, differences pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...reports.filters import p_value, signed
from ...reports.plots import INK, SOFT, draw_boxes
from .style import ORACLE_MARK, any_oracle, colour_of, label_of, new_figure

Results = Mapping[str, Any]
Row = Mapping[str, Any]
NOT_COMPARABLE = "paper, crop, real patients:\n{} (not comparable)"


def box_figure(
    results: Results,
    metric: str,
    title: str,
    label: str,
    limits: tuple[float, float] | None = None,
    reference: float | None = None,
) -> Figure:
    """A box and all lesions as points for each method.

    Args:
        reference: the paper's median of its cropped variant, drawn as a line.
    """
    methods = results["methods"]
    figure = new_figure(8.4, 1.6 + 0.62 * len(methods), title)
    axes = figure.add_subplot()
    groups = [_values(results["lesions"][method], metric) for method in methods]
    _boxes(axes, methods, groups)
    names = [f"{label_of(method)}  (n = {len(values)})" for method, values in zip(methods, groups)]
    axes.set_yticks(range(len(methods)), names)
    axes.set_xlabel(label)
    if limits:
        axes.set_xlim(*limits)
    if reference is not None:
        _draw_reference(axes, reference)
    _note_oracle(figure, methods)
    return figure


def _draw_reference(axes: Axes, value: float) -> None:
    axes.axvline(value, color=SOFT, linestyle=(0, (2, 2)), linewidth=1.4, zorder=1)
    axes.annotate(
        NOT_COMPARABLE.format(f"{value:g}"),
        (value, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=9,
        color=SOFT,
    )


def echogenicity_figure(results: Results, classes: Sequence[str]) -> Figure:
    """Dice by method, one panel for each class of echogenicity."""
    methods = results["methods"]
    figure = new_figure(11.5, 1.9 + 0.55 * len(methods), "Dice by echogenicity of the lesion")
    panels = figure.subplots(1, len(classes), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, classes):
        rows = {m: [r for r in results["lesions"][m] if (r["echogenicity"] or "unknown") == name] for m in methods}
        groups = [_values(rows[method], "dice") for method in methods]
        _boxes(axes, methods, groups)
        patients = {row["patient"] for members in rows.values() for row in members}
        axes.set_title(f"{name}: n = {max(map(len, groups))} lesions, {len(patients)} patients", fontsize=11, pad=8)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xlabel("Dice")
    panels[0].set_yticks(range(len(methods)), [label_of(method) for method in methods])
    _note_oracle(figure, methods)
    return figure


def _values(rows: Sequence[Row], metric: str) -> list[float]:
    return [r["metrics"][metric] for r in rows if r["metrics"] and r["metrics"][metric] is not None]


def _boxes(axes: Axes, methods: Sequence[str], groups: Sequence[Sequence[float]]) -> None:
    """Boxes lie at 0, 1, ... from top to bottom; whiskers reach 1.5 interquartile ranges."""
    edges = [colour_of(method) for method in methods]
    draw_boxes(axes, groups, [(*_rgb(edge), 0.35) for edge in edges], edges, line_width=1.4, point_alpha=0.55)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    return red, green, blue


def _note_oracle(figure: Figure, methods: Sequence[str]) -> None:
    if any_oracle(methods):
        figure.supxlabel(ORACLE_MARK, x=0.99, ha="right", fontsize=9, color=SOFT)


def difference_figure(results: Results) -> Figure:
    """Median difference of Dice of all pairs of methods with its interval, and the corrected p value."""
    pairs = [c for c in results["comparisons"] if c["measure"] == "dice" and c["difference"] is not None]
    figure = new_figure(11.0, 1.9 + 0.42 * max(1, len(pairs)), "Difference of Dice, pair by pair")
    axes, texts = figure.subplots(1, 2, width_ratios=(3, 1))
    axes.axvline(0, color=SOFT, linewidth=1)
    for place, pair in enumerate(pairs):
        if pair["interval"]:
            axes.plot(pair["interval"], [place, place], color=INK, linewidth=2, solid_capstyle="butt")
        axes.plot(pair["difference"], place, marker="o", markersize=7, color=INK)
        shown = (p_value(pair["p_holm"]), signed(pair["rank_biserial"]), str(pair["patients"]))
        _write_columns(texts, place, shown, INK)
    _write_columns(texts, -0.85, ("p (Holm)", "effect r", "patients"), SOFT)
    axes.set_yticks(range(len(pairs)), [f"{label_of(c['one'])} − {label_of(c['other'])}" for c in pairs])
    for panel in (axes, texts):
        panel.set_ylim(max(1, len(pairs)) - 0.5, -1.2)
    texts.set_axis_off()
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("median difference of Dice (Hodges and Lehmann), with its 95 % interval")
    _note_oracle(figure, results["methods"])
    return figure


def _write_columns(axes: Axes, place: float, texts: Sequence[str], colour: str) -> None:
    for x, text in zip((0.3, 0.62, 0.96), texts):
        axes.text(x, place, text, ha="right", va="center", fontsize=10, color=colour)
