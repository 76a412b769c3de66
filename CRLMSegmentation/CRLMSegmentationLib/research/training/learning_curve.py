"""The learning curve of a training: losses and pseudo Dice against epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...reports.plots import LINE, PLOT_STYLE
from .layout import replacing

TRAIN, VALIDATION, DICE = "#0b6bcb", "#b45309", "#15803d"
SIMULATED = "SIMULATED DATA"
SMOOTHING = 0.9
"""As nnU-Net smooths its pseudo Dice."""


def draw_learning_curve(path: Path, lines: Sequence[Mapping[str, Any]], title: str, simulated: bool | None) -> None:
    """Draw the lines of `progress.jsonl` into a PNG.

    Args:
        title: what was trained.
        simulated: marks the picture, where it was trained on simulated data.
    """
    with mpl.rc_context(PLOT_STYLE):
        figure = Figure(figsize=(7.5, 6.4), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        losses, dice = figure.subplots(2, 1, sharex=True)
        epochs = [line["epoch"] + 1 for line in lines]
        _draw(losses, epochs, [line["train_loss"] for line in lines], TRAIN, "training")
        _draw(losses, epochs, [line["val_loss"] for line in lines], VALIDATION, "validation")
        losses.set_ylabel("loss (cross-entropy − Dice)")
        losses.legend(frameon=False, loc="upper right")
        values = [line["dice"] for line in lines]
        _draw(dice, epochs, values, DICE, "of one epoch", alpha=0.35)
        _draw(dice, epochs, _smoothed(values), DICE, "smoothed")
        dice.set(ylabel="pseudo Dice, validation patches", xlabel="epoch", ylim=(0, 1))
        dice.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        dice.legend(frameon=False, loc="lower right")
        losses.set_title(title, loc="left", fontweight="bold", fontsize=12)
        if simulated:
            box = {"boxstyle": "round,pad=0.35", "facecolor": VALIDATION, "edgecolor": "none"}
            losses.set_title(SIMULATED, loc="right", color="white", fontsize=9, fontweight="bold", bbox=box)
        with replacing(path) as unfinished:
            figure.savefig(unfinished)


def _draw(
    axes: Axes, epochs: Sequence[int], values: Sequence[float | None], colour: str, name: str, alpha: float = 1.0
) -> None:
    known = [(epoch, value) for epoch, value in zip(epochs, values) if value is not None]
    marker = "o" if len(known) < 20 else None
    axes.plot(*(zip(*known) if known else ((), ())), color=colour, alpha=alpha, label=name, marker=marker, markersize=4)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.tick_params(length=0)


def _smoothed(values: Sequence[float | None]) -> list[float | None]:
    smooth: list[float | None] = []
    last: float | None = None
    for value in values:
        if value is not None:
            last = value if last is None else SMOOTHING * last + (1 - SMOOTHING) * value
        smooth.append(last)
    return smooth
