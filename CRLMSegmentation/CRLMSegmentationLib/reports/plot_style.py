"""How all plots of this project look, as matplotlib wants to be told; matplotlib itself is not needed here."""

from __future__ import annotations

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
