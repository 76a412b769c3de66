"""The figures of navigation and stability of one lesion, by the names that the page expects."""

from __future__ import annotations

from collections.abc import Mapping

import vtk

from ..segmentation.consensus import Consensus
from ..tracking.closest_approach import Approach
from .lesion_page import APPROACH, MARGINS, STABILITY
from .navigation_slices import margin_slices, stability_slices
from .navigation_space import approach_in_space
from .planes import DrawnLesion
from .space import RenderingError


def navigation_figures(
    lesion: DrawnLesion,
    surface: vtk.vtkPolyData,
    approach: Approach | None = None,
    margins: Mapping[float, vtk.vtkPolyData] | None = None,
    consensus: Consensus | None = None,
    simulated: bool | None = None,
) -> dict[str, bytes | str]:
    """Return the figures that can be drawn for a lesion: a PNG each, or the text why there is none.

    Args:
        surface: closed, of the lesion, RAS mm; nothing is drawn around an empty one.
        margins: surfaces around it by their width in mm.
        consensus: on the grid of the lesion's volume.
    """
    figures: dict[str, bytes | str] = {}
    margins = {width_mm: made for width_mm, made in (margins or {}).items() if made.GetNumberOfPolys()}
    if not surface.GetNumberOfPolys():
        return figures
    if approach is not None:
        figures[APPROACH] = _view(lesion, surface, approach, margins, simulated)
        figures[MARGINS] = margin_slices(lesion, surface, approach, margins)
    if consensus is not None:
        figures[STABILITY] = stability_slices(lesion, surface, consensus)
    return figures


def _view(
    lesion: DrawnLesion,
    surface: vtk.vtkPolyData,
    approach: Approach,
    margins: Mapping[float, vtk.vtkPolyData],
    simulated: bool | None,
) -> bytes | str:
    try:
        return approach_in_space(lesion, surface, approach, margins, simulated)
    except RenderingError as error:
        return str(error)
