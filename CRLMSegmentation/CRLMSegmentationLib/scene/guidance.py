"""Margins around the tumours, and the line from the tip of an instrument to the nearest of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import slicer
import vtk

from .nodes import PREFIX, find_node, make_node, one_update

MODEL = "vtkMRMLModelNode"
LINE = "Distance"
MARGIN = PREFIX + "MarginMm"
CLEAR_COLOUR = (1.0, 1.0, 1.0)
OUTER_COLOUR, INNER_COLOUR = (1.0, 0.78, 0.20), (1.0, 0.25, 0.20)
"""Of the widest margin and of the narrowest; also of whatever stands in one."""
MARGIN_OPACITY = 0.18


def show_distance(
    scene: slicer.vtkMRMLScene, tip_ras_mm: np.ndarray, point_ras_mm: np.ndarray, colour: tuple[float, float, float]
) -> slicer.vtkMRMLModelNode:
    """Draw the line from a tip to the nearest point of a tumour, both RAS mm; it is moved in place."""
    node = find_node(scene, MODEL, LINE) or _make_line(scene)
    points = node.GetPolyData().GetPoints()
    points.SetPoint(0, *map(float, tip_ras_mm))
    points.SetPoint(1, *map(float, point_ras_mm))
    points.Modified()
    node.GetPolyData().Modified()
    display = node.GetDisplayNode()
    if display.GetColor() != colour or not display.GetVisibility():
        with one_update(display):
            display.SetColor(*colour)
            display.SetVisibility(True)
    return node


def hide_distance(scene: slicer.vtkMRMLScene) -> None:
    """A distance that is withheld has no line."""
    node = find_node(scene, MODEL, LINE)
    if node is not None and node.GetDisplayNode().GetVisibility():
        node.GetDisplayNode().SetVisibility(False)


def show_margins(
    scene: slicer.vtkMRMLScene, lesion: str, surfaces: Mapping[float, vtk.vtkPolyData]
) -> list[slicer.vtkMRMLModelNode]:
    """Show margins around a lesion: translucent in 3D, cut lines in the slices; others of it are taken away.

    Args:
        surfaces: by their width in mm, RAS mm.
    """
    for node in margins_of(scene, lesion):
        if float(node.GetAttribute(MARGIN)) not in surfaces:
            scene.RemoveNode(node)
    widest = max(surfaces, default=0.0)
    return [_show_margin(scene, lesion, width, surfaces[width], widest) for width in sorted(surfaces)]


def margins_of(scene: slicer.vtkMRMLScene, lesion: str) -> list[slicer.vtkMRMLModelNode]:
    """The margins of a lesion that are in the scene."""
    nodes = [scene.GetNthNodeByClass(n, MODEL) for n in range(scene.GetNumberOfNodesByClass(MODEL))]
    return [node for node in nodes if node.GetAttribute(PREFIX + "MarginOf") == lesion]


def margin_colour(width_mm: float, widest_mm: float) -> tuple[float, float, float]:
    """Amber for the widest margin, red for those inside."""
    return OUTER_COLOUR if width_mm >= widest_mm else INNER_COLOUR


def _show_margin(
    scene: slicer.vtkMRMLScene, lesion: str, width_mm: float, surface: vtk.vtkPolyData, widest_mm: float
) -> slicer.vtkMRMLModelNode:
    key = f"{lesion} +{width_mm:g} mm"
    node = find_node(scene, MODEL, key) or _make_margin(scene, key, lesion, width_mm)
    node.SetAndObserveMesh(surface)
    node.GetDisplayNode().SetColor(*margin_colour(width_mm, widest_mm))
    return node


def _make_margin(scene: slicer.vtkMRMLScene, key: str, lesion: str, width_mm: float) -> slicer.vtkMRMLModelNode:
    node = make_node(scene, MODEL, key)
    node.SetAttribute(PREFIX + "MarginOf", lesion)
    node.SetAttribute(MARGIN, f"{width_mm:g}")
    node.SetSelectable(False)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetOpacity(MARGIN_OPACITY)
    display.SetBackfaceCulling(True)
    display.SetVisibility2D(True)
    display.SetSliceIntersectionThickness(1)
    return node


def _make_line(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLModelNode:
    line = vtk.vtkLineSource()
    line.Update()
    node = make_node(scene, MODEL, LINE)
    node.SetSelectable(False)
    node.SetAndObserveMesh(line.GetOutput())
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetLineWidth(4)
    display.SetLighting(False)
    display.SetVisibility2D(True)
    return node
