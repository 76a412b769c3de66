"""Draws three slices with the contours of surfaces as one PNG.

The surfaces are margins around a lesion, or the consensus surfaces between which its segmentation lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Union

import matplotlib.patheffects as effects
import numpy as np
import vtk
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from vtk.util.numpy_support import vtk_to_numpy

from ..core.geometry import part_to_ras
from ..core.grey_window import grey_window
from ..segmentation.consensus import Consensus
from ..tracking.closest_approach import Approach
from ..tracking.colours import CONSENSUS_COLOURS, INNER, OUTER, TOOL_COLOURS, margin_colour
from ..tracking.surfaces import surface_of_mask
from .navigation_space import distance_colour, moment_of
from .planes import PLANES, DrawnLesion, Plane, plane_pixels
from .slices import (
    CLOSE_UP_PIXELS,
    PREDICTION_COLOUR,
    draw_grey,
    draw_legend,
    draw_scale_bar,
    draw_title,
    finish_panel,
    label_edges,
    new_figure,
    on_screen,
    png_of,
)

Colour = Union[str, tuple[float, float, float]]

AROUND_MM = 6.0
SHAFT_MM = 150.0
DEPTH_MM = 2.0
"""What lies farther from a slice than this is drawn faint."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A closed surface, RAS mm, whose contours are drawn in the slices."""

    surface: vtk.vtkPolyData
    colour: Colour
    label: str
    style: str = "solid"


def margin_slices(
    lesion: DrawnLesion,
    surface: vtk.vtkPolyData,
    approach: Approach,
    margins: Mapping[float, vtk.vtkPolyData],
    dpi: int = 130,
) -> bytes:
    """Draw the three slices through the tip of an instrument, with contours of lesion and margins.

    Args:
        surface: closed, of the lesion, RAS mm.
        margins: surfaces around it by their width in mm.
    """
    widest_mm = max(margins, default=0.0)
    cuts = [
        Cut(margins[width], margin_colour(width, widest_mm), f"margin {width:g} mm")
        for width in sorted(margins, reverse=True)
    ]
    cuts.append(Cut(surface, PREDICTION_COLOUR, approach.reading.name))
    figure, panels = _three_panels()
    tip_ras_mm = moment_of(approach).tip_ras_mm
    shown_mm = _box_of([cut.surface for cut in cuts], [tip_ras_mm])
    for axes, plane in zip(panels, PLANES):
        place = _place(plane, shown_mm, tip_ras_mm)
        _draw(axes, lesion, plane, place, _span_mm(shown_mm), cuts)
        _draw_instrument(axes, plane, place, approach, widest_mm)
    colour = TOOL_COLOURS[approach.state.instrument.kind]
    tip = Line2D([], [], color=colour, marker="o", markersize=6, linewidth=2.2, label=approach.state.instrument.frame)
    near = distance_colour(approach, widest_mm)
    to_lesion = Line2D([], [], color=near, linewidth=2.2, linestyle="dotted", label=str(approach.interval))
    return _finished(figure, [*_legend(cuts), tip, to_lesion], dpi)


def stability_slices(lesion: DrawnLesion, surface: vtk.vtkPolyData, consensus: Consensus, dpi: int = 130) -> bytes:
    """Draw the three slices through the middle of a lesion, with contours of its segmentation and consensus surfaces.

    Args:
        surface: closed, of the lesion, RAS mm.
        consensus: on the grid of the lesion's volume.
    """
    cuts = [
        Cut(consensus_surface(consensus.outer, consensus, lesion), CONSENSUS_COLOURS[OUTER], OUTER, "dashed"),
        Cut(surface, PREDICTION_COLOUR, "outline"),
        Cut(consensus_surface(consensus.inner, consensus, lesion), CONSENSUS_COLOURS[INNER], INNER, "dashed"),
    ]
    cuts = [cut for cut in cuts if cut.surface.GetNumberOfPolys()]
    figure, panels = _three_panels()
    shown_mm = _box_of([cut.surface for cut in cuts], [])
    for axes, plane in zip(panels, PLANES):
        place = _place(plane, shown_mm, lesion.center_ras_mm)
        _draw(axes, lesion, plane, place, _span_mm(shown_mm), cuts)
    return _finished(figure, _legend(cuts), dpi)


def consensus_surface(mask: np.ndarray, consensus: Consensus, lesion: DrawnLesion) -> vtk.vtkPolyData:
    """Return a consensus surface in RAS mm; without triangles where it is empty."""
    return surface_of_mask(mask, part_to_ras(lesion.volume.ijk_to_ras, consensus.offset_kji))


def cut_lines(surface: vtk.vtkPolyData, axis: int, at_mm: float) -> list[np.ndarray]:
    """Return the contours of a surface in a plane across R, A or S: lines of points, each (N, 3) RAS mm."""
    plane = vtk.vtkPlane()
    plane.SetNormal(*np.eye(3)[axis])
    plane.SetOrigin(*(at_mm * np.eye(3)[axis]))
    cutter = vtk.vtkCutter()
    cutter.SetCutFunction(plane)
    cutter.SetInputData(surface)
    joined = vtk.vtkStripper()
    joined.JoinContiguousSegmentsOn()
    joined.SetInputConnection(cutter.GetOutputPort())
    joined.Update()
    found = joined.GetOutput()
    if not found.GetNumberOfLines():
        return []
    points = vtk_to_numpy(found.GetPoints().GetData()).astype(float)
    starts = vtk_to_numpy(found.GetLines().GetOffsetsArray())
    members = vtk_to_numpy(found.GetLines().GetConnectivityArray())
    return [points[members[a:b]] for a, b in zip(starts[:-1], starts[1:])]


def _three_panels() -> tuple[Figure, list[Axes]]:
    figure = new_figure(4.75)
    columns = figure.add_gridspec(1, 3, left=0.012, right=0.988, top=0.925, bottom=0.1, wspace=0.03)
    return figure, [figure.add_subplot(columns[0, n]) for n in range(3)]


def _box_of(surfaces: Sequence[vtk.vtkPolyData], points_ras_mm: Sequence[np.ndarray]) -> np.ndarray:
    """Return the lowest and highest R, A and S of all, shape (2, 3)."""
    corners = [np.array(surface.GetBounds()).reshape(3, 2).T for surface in surfaces]
    corners += [np.asarray(point)[None] for point in points_ras_mm]
    everything = np.concatenate(corners)
    return np.stack([everything.min(axis=0), everything.max(axis=0)])


def _span_mm(box_mm: np.ndarray) -> float:
    return float(np.ptp(box_mm, axis=0).max()) + 2 * AROUND_MM


def _place(plane: Plane, box_mm: np.ndarray, through_ras_mm: np.ndarray) -> np.ndarray:
    """Return the middle of a slice: that of all that is shown, at the depth of a point."""
    place: np.ndarray = box_mm.mean(axis=0)
    place[plane.through] = through_ras_mm[plane.through]
    return place


def _draw(
    axes: Axes, lesion: DrawnLesion, plane: Plane, place_ras_mm: np.ndarray, span_mm: float, cuts: Sequence[Cut]
) -> None:
    """Draw grey values and contours of one slice; the axes count mm from its middle."""
    at = plane_pixels(plane, lesion.volume, place_ras_mm, (span_mm, span_mm), (CLOSE_UP_PIXELS, CLOSE_UP_PIXELS))
    extent = draw_grey(axes, lesion, at, (span_mm, span_mm), grey_window(lesion.volume), interpolation=None)
    for cut in cuts:
        for line in cut_lines(cut.surface, plane.through, float(place_ras_mm[plane.through])):
            _draw_line(axes, *_on_screens(plane, line - place_ras_mm), cut.colour, cut.style)
    finish_panel(axes, extent)
    draw_title(axes, plane, place_ras_mm)
    label_edges(axes, plane)
    draw_scale_bar(axes, span_mm)


def _draw_instrument(axes: Axes, plane: Plane, place_ras_mm: np.ndarray, approach: Approach, widest_mm: float) -> None:
    """Draw the shaft, projected into the slice, and the line from its tip to the nearest point."""
    pose, tip_ras_mm, point = moment_of(approach)
    shaft = np.stack([tip_ras_mm, tip_ras_mm - SHAFT_MM * pose[:3, 2]])
    colour = TOOL_COLOURS[approach.state.instrument.kind]
    _draw_line(axes, *_on_screens(plane, shaft - place_ras_mm), colour, "solid", alpha=0.55)
    in_slice = abs(point[plane.through] - place_ras_mm[plane.through]) <= DEPTH_MM
    line = np.stack([tip_ras_mm, point]) - place_ras_mm
    near = distance_colour(approach, widest_mm)
    _draw_line(axes, *_on_screens(plane, line), near, "dotted", alpha=1.0 if in_slice else 0.5)
    x, y = on_screen(plane, tip_ras_mm - place_ras_mm)
    axes.plot([x], [y], marker="o", markersize=6, color=colour, markeredgecolor="black", markeredgewidth=1.0)


def _on_screens(plane: Plane, offsets_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return offsets_mm @ np.array(plane.right), offsets_mm @ np.array(plane.up)


def _draw_line(axes: Axes, x: np.ndarray, y: np.ndarray, colour: Colour, style: str, alpha: float = 1.0) -> None:
    shadow = [effects.Stroke(linewidth=3.4, foreground="#000000", alpha=0.55 * alpha), effects.Normal()]
    axes.plot(x, y, color=colour, linestyle=style, linewidth=1.9, alpha=alpha, path_effects=shadow)


def _legend(cuts: Sequence[Cut]) -> list[Line2D]:
    return [Line2D([], [], color=c.colour, linestyle=c.style, linewidth=2.2, label=c.label) for c in reversed(cuts)]


def _finished(figure: Figure, entries: Sequence[Line2D], dpi: int) -> bytes:
    draw_legend(figure, entries)
    return png_of(figure, dpi)
