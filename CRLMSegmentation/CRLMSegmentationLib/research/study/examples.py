"""Example lesions of a study: one row each, with ultrasound, ground truth, and the contour of each method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import ndimage

from ...core.box import Box
from ...core.geometry import transform_points
from ...core.grey_window import grey_window
from ...core.volume import Volume
from ...reports.planes import AXIAL, plane_pixels, sample
from ...reports.plots import INK, SOFT
from .style import colour_of, label_of, new_figure

if TYPE_CHECKING:
    from ...recording.dataset import CheckedCase

TRUTH_COLOUR, SEED_COLOUR, NOT_INSONIFIED = "#ffffff", "#F0E442", "#151c25"
Extent = tuple[float, float, float, float]
"""Left, right, bottom and top of a picture, mm."""
PIXELS = 240
LEAST_VIEW_MM = 24.0
SHADOW = [effects.Stroke(linewidth=3.6, foreground="#000000", alpha=0.6), effects.Normal()]
SCALE_BARS_MM = (2, 5, 10, 20, 50)


@dataclass(frozen=True, eq=False)
class Example:
    """One example lesion.

    Attributes:
        truth: bool, shape (K, J, I) of the volume.
        masks: of each method, the same; None where there is no file.
        dice: of each method; None without an answer.
    """

    title: str
    volume: Volume
    seed_ras_mm: np.ndarray
    truth: np.ndarray
    masks: Mapping[str, np.ndarray | None]
    dice: Mapping[str, float | None]


def examples_of(
    results: Mapping[str, Any],
    documents: Mapping[str, Mapping[str, Any]],
    cases: Mapping[str, CheckedCase],
    folders: Mapping[str, Path],
) -> list[Example]:
    """Read the examples that results.json names.

    Args:
        documents: evaluation.json of each method, whose rows name the files of the masks.
        folders: of the evaluations.
    """
    files = {
        (method, row["case_id"], row["lesion"]): folders[method] / row["mask"]
        for method, document in documents.items()
        for row in document["lesions"]
        if row["mask"]
    }
    return [_example(chosen, cases[chosen["case_id"]], results["methods"], files) for chosen in results["examples"]]


def _example(chosen: Mapping[str, Any], checked: CheckedCase, methods: list[str], files: Mapping[Any, Path]) -> Example:
    from ..evaluation.lesions import read_mask

    volume = checked.case.volume()
    lesion = next(lesion for lesion in checked.lesions if lesion.name == chosen["lesion"])
    paths = {method: files.get((method, chosen["case_id"], chosen["lesion"])) for method in methods}
    masks = {method: read_mask(path) if path and path.is_file() else None for method, path in paths.items()}
    kind, size = lesion.about.get("echogenicity", "echogenicity unknown"), lesion.about.get("diameter_mm")
    about = kind if size is None else f"{kind}, {size:.0f} mm"
    title = f"{chosen['rank'].capitalize()}: {chosen['case_id']}, {chosen['lesion']} ({about})"
    truth = checked.truth_of(lesion, volume)
    return Example(title, volume, np.array(lesion.seed_ras_mm), truth, masks, chosen["dice"])


def examples_figure(examples: list[Example], methods: list[str], by: str) -> Figure:
    """Draw a row of slices for each example."""
    title = f"Best, median and worst lesion by the Dice of {label_of(by)}"
    columns = 1 + len(methods)
    figure = new_figure(2.05 * columns, 1.05 + 2.62 * len(examples), title)
    rows = figure.subfigures(len(examples), 1, squeeze=False).ravel()
    for row, example in zip(rows, examples):
        row.suptitle(example.title, x=0.01, ha="left", fontsize=11, color=INK)
        _draw_row(row.subplots(1, columns), example, methods)
    handles = [Line2D([], [], color=SOFT, linestyle="--", linewidth=1.6, label="reference (white, dashed)")]
    handles += [Line2D([], [], color=colour_of(method), linewidth=2.4, label=label_of(method)) for method in methods]
    seed = Line2D([], [], color="#b8a800", label="click", linestyle="none")
    seed.set(marker="+", markersize=10, markeredgewidth=2)
    handles.append(seed)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=10, handlelength=1.6)
    return figure


def _draw_row(panels: np.ndarray, example: Example, methods: list[str]) -> None:
    center = transform_points(example.volume.ijk_to_ras, np.array(ndimage.center_of_mass(example.truth))[::-1])
    span_mm = _span_mm(example, center)
    at = plane_pixels(AXIAL, example.volume, center, (span_mm, span_mm), (PIXELS, PIXELS))
    insonified = sample(example.volume.insonified_in(), at) >= 0.5
    grey = np.where(insonified, sample(example.volume.array, at), np.nan)
    truth = sample(example.truth, at)
    limits = grey_window(example.volume)
    half = span_mm / 2
    extent = (-half, half, -half, half)
    for axes, method in zip(panels, (None, *methods)):
        axes.set_facecolor(NOT_INSONIFIED)
        axes.imshow(grey, cmap="gray", vmin=limits[0], vmax=limits[1], origin="lower", extent=extent)
        axes.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[], aspect="equal")
        if method is None:
            axes.set_title("ultrasound", fontsize=10, color=SOFT, pad=4)
            _draw_seed(axes, example.seed_ras_mm - center)
            _draw_scale(axes, span_mm)
            continue
        _contour(axes, truth, extent, TRUTH_COLOUR, "dashed")
        _draw_method(axes, example, method, at, extent)


def _span_mm(example: Example, center: np.ndarray) -> float:
    """Return the width of a view that contains the ground truth; larger segmentations may be cut off."""
    box = Box.of_nonempty_mask(example.truth)
    reach_mm = np.abs(transform_points(example.volume.ijk_to_ras, box.corner_centers_ijk) - center).max()
    return float(max(LEAST_VIEW_MM, 3.2 * reach_mm))


def _draw_method(axes: Axes, example: Example, method: str, at: np.ndarray, extent: Extent) -> None:
    dice, mask = example.dice[method], example.masks[method]
    axes.set_title(f"{label_of(method)}: {'no answer' if dice is None else f'{dice:.2f}'}", fontsize=10, pad=4)
    if mask is not None:
        _contour(axes, sample(mask, at), extent, colour_of(method), "solid")
    note = "no mask file" if mask is None else "" if mask.any() else "nothing found"
    axes.text(0.5, 0.06, note, transform=axes.transAxes, ha="center", color="white", fontsize=9.5, path_effects=SHADOW)


def _contour(axes: Axes, inside: np.ndarray, extent: Extent, colour: str, style: str) -> None:
    if (inside >= 0.5).any():
        width = 2.2 if style == "solid" else 1.5
        lines = axes.contour(
            inside, levels=[0.5], colors=colour, linewidths=width, linestyles=style, origin="lower", extent=extent
        )
        lines.set_path_effects(SHADOW)


def _draw_seed(axes: Axes, offset_mm: np.ndarray) -> None:
    x, y = offset_mm @ np.array(AXIAL.right), offset_mm @ np.array(AXIAL.up)
    axes.plot(x, y, marker="+", markersize=10, markeredgewidth=2, color=SEED_COLOUR, path_effects=SHADOW)


def _draw_scale(axes: Axes, span_mm: float) -> None:
    length = max((n for n in SCALE_BARS_MM if n <= span_mm / 3), default=SCALE_BARS_MM[0])
    x, y = -0.46 * span_mm, -0.44 * span_mm
    axes.plot([x, x + length], [y, y], color="white", linewidth=2.6, solid_capstyle="butt", path_effects=SHADOW)
    axes.text(x, y + 0.03 * span_mm, f"{length} mm", color="white", fontsize=9, path_effects=SHADOW)
