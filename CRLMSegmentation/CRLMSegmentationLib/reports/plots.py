"""The style of all plots of this project, and box plots; importing it needs no matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Union

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Colour = Union[str, tuple[float, float, float, float]]

INK, SOFT, LINE = "#17212b", "#5a6876", "#dfe5eb"
PLOT_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
}


def draw_boxes(
    axes: Axes,
    groups: Sequence[Sequence[float]],
    faces: Sequence[Colour],
    edges: Sequence[Colour],
    line_width: float = 1.0,
    point_alpha: float = 0.5,
) -> None:
    """Draw a horizontal box for each group, from top to bottom at 0, 1, ..., and each of its values as a point.

    A box shows median and quartiles, whiskers reach 1.5 interquartile ranges.

    Args:
        faces, edges: colours of the boxes.
        line_width: of boxes and whiskers, points.
        point_alpha: opacity of the points, 0 to 1.
    """
    rng = np.random.default_rng(0)
    for place, (values, face, edge) in enumerate(zip(groups, faces, edges)):
        axes.boxplot(
            [list(values)],
            positions=[place],
            orientation="horizontal",
            widths=0.62,
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": face, "edgecolor": edge, "linewidth": line_width},
            medianprops={"color": INK, "linewidth": 2.2},
            whiskerprops={"color": edge, "linewidth": line_width},
            capprops={"color": edge, "linewidth": line_width},
        )
        spread = place + rng.uniform(-0.2, 0.2, len(values))
        axes.scatter(values, spread, s=15, color=INK, alpha=point_alpha, linewidths=0, zorder=3)
    axes.set_ylim(len(groups) - 0.45, -0.55)
