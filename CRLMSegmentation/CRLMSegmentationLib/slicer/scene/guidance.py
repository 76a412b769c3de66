"""Margins, consensus surfaces and previews of tumours, and the line from the tip of an instrument to the nearest."""

from __future__ import annotations

from collections.abc import Container, Mapping

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ...tracking.colours import CONSENSUS_COLOURS, INNER, OUTER, UNSAFE_COLOUR, margin_colour
from .nodes import KEY, PREFIX, find_node, make_hidden_display, make_node, nodes_of_class, one_update, remove_node

MODEL = "vtkMRMLModelNode"
LINE = "Distance"
MARGIN, MARGIN_OF = PREFIX + "MarginMm", PREFIX + "MarginOf"
MARGIN_OPACITY = 0.18
PREVIEW = "Preview"
PREVIEW_OPACITY = 0.4
CONSENSUS_OF = PREFIX + "ShellOf"
CONSENSUS_OPACITIES = {INNER: 0.6, OUTER: 0.22}


def prepare_distance(scene: slicer.vtkMRMLScene) -> bool:
    """Make what is missing of the distance line, hidden; returns whether anything was."""
    return _prepared_line(scene)[1]


def show_distance(
    scene: slicer.vtkMRMLScene, tip_ras_mm: np.ndarray, point_ras_mm: np.ndarray, colour: tuple[float, float, float]
) -> slicer.vtkMRMLModelNode:
    """Draw the line from a tip to the nearest point of a tumour, both RAS mm; it is moved in place."""
    node, _was_made = _prepared_line(scene)
    points = vtk_to_numpy(node.GetPolyData().GetPoints().GetData())
    ends = np.array([tip_ras_mm, point_ras_mm], dtype=points.dtype)
    if not np.array_equal(points, ends):
        points[:] = ends
        node.GetPolyData().GetPoints().Modified()
        node.GetPolyData().Modified()
    display = node.GetDisplayNode()
    if display.GetColor() != colour or not display.GetVisibility():
        with one_update(display):
            display.SetColor(*colour)
            display.SetVisibility(True)
    return node


def hide_distance(scene: slicer.vtkMRMLScene) -> None:
    """Hide the distance line, as while a distance is withheld."""
    node = find_node(scene, MODEL, LINE)
    display = node.GetDisplayNode() if node is not None else None
    if display is not None and display.GetVisibility():
        display.SetVisibility(False)


def show_margins(
    scene: slicer.vtkMRMLScene, lesion: str, surfaces: Mapping[float, vtk.vtkPolyData], is_safe: bool = True
) -> list[slicer.vtkMRMLModelNode]:
    """Show margins around a lesion: translucent in 3D, cut lines in the slices; others of it are taken away.

    Args:
        surfaces: by their width in mm, RAS mm.
        is_safe: False where the segmentation that they lie around is not to be relied on: then they are grey.
    """
    for node in margins_of(scene, lesion):
        if float(node.GetAttribute(MARGIN)) not in surfaces:
            remove_node(scene, node)
    widest = max(surfaces, default=0.0)
    nodes = []
    for width_mm in sorted(surfaces):
        colour = margin_colour(width_mm, widest) if is_safe else UNSAFE_COLOUR
        node = _show_surface(scene, f"{lesion} +{width_mm:g} mm", surfaces[width_mm], colour, MARGIN_OPACITY)
        node.SetAttribute(MARGIN_OF, lesion)
        node.SetAttribute(MARGIN, f"{width_mm:g}")
        nodes.append(node)
    return nodes


def grey_margins(scene: slicer.vtkMRMLScene, lesion: str) -> None:
    """Show the margins of a lesion in grey, for their segmentation is no longer reliable."""
    for node in margins_of(scene, lesion):
        if node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetColor(*UNSAFE_COLOUR)


def margins_of(scene: slicer.vtkMRMLScene, lesion: str) -> list[slicer.vtkMRMLModelNode]:
    """Return the nodes of the margins of a lesion."""
    return [node for node in nodes_of_class(scene, MODEL) if node.GetAttribute(MARGIN_OF) == lesion]


def show_consensus(scene: slicer.vtkMRMLScene, lesion: str, surfaces: Mapping[str, vtk.vtkPolyData]) -> None:
    """Show the consensus surfaces of a lesion; those that are not given are taken away.

    Args:
        surfaces: by `INNER` and `OUTER`, RAS mm.
    """
    for node in consensus_of(scene, lesion):
        if node.GetAttribute(KEY).rpartition(": ")[2] not in surfaces:
            remove_node(scene, node)
    for which, surface in surfaces.items():
        node = _show_surface(scene, f"{lesion}: {which}", surface, CONSENSUS_COLOURS[which], CONSENSUS_OPACITIES[which])
        node.SetAttribute(CONSENSUS_OF, lesion)


def consensus_of(scene: slicer.vtkMRMLScene, lesion: str) -> list[slicer.vtkMRMLModelNode]:
    """Return the nodes of the consensus surfaces of a lesion."""
    return [node for node in nodes_of_class(scene, MODEL) if node.GetAttribute(CONSENSUS_OF) == lesion]


def show_preview(
    scene: slicer.vtkMRMLScene, surface: vtk.vtkPolyData, colour: tuple[float, float, float]
) -> slicer.vtkMRMLModelNode:
    """Show the preview of a tumour whose seed is being moved, RAS mm: translucent in 3D, its outline in the slices."""
    return _show_surface(scene, PREVIEW, surface, colour, PREVIEW_OPACITY)


def remove_preview(scene: slicer.vtkMRMLScene) -> None:
    """Take the preview away, if there is one."""
    node = find_node(scene, MODEL, PREVIEW)
    if node is not None:
        remove_node(scene, node)


def remove_guidance_except(scene: slicer.vtkMRMLScene, lesions: Container[str]) -> None:
    """Remove margins and consensus surfaces of all lesions except some."""
    for node in nodes_of_class(scene, MODEL):
        lesion = node.GetAttribute(MARGIN_OF) or node.GetAttribute(CONSENSUS_OF)
        if lesion and lesion not in lesions:
            remove_node(scene, node)


def _show_surface(
    scene: slicer.vtkMRMLScene, key: str, surface: vtk.vtkPolyData, colour: tuple[float, float, float], opacity: float
) -> slicer.vtkMRMLModelNode:
    node = find_node(scene, MODEL, key) or _make_surface(scene, key)
    if node.GetDisplayNode() is None:
        _make_surface_display(node, opacity)
    if node.GetPolyData() is not surface:
        node.SetAndObserveMesh(surface)
    if node.GetDisplayNode().GetColor() != colour:
        node.GetDisplayNode().SetColor(*colour)
    return node


def _make_surface(scene: slicer.vtkMRMLScene, key: str) -> slicer.vtkMRMLModelNode:
    node = make_node(scene, MODEL, key)
    node.SetSelectable(False)
    node.SetSaveWithScene(False)
    return node


def _make_surface_display(node: slicer.vtkMRMLModelNode, opacity: float) -> None:
    display = make_hidden_display(node)
    with one_update(display):
        display.SetOpacity(opacity)
        display.SetBackfaceCulling(True)
        display.SetVisibility(True)
        display.SetVisibility2D(True)
        display.SetSliceIntersectionThickness(1)
        display.SetSaveWithScene(False)


def _prepared_line(scene: slicer.vtkMRMLScene) -> tuple[slicer.vtkMRMLModelNode, bool]:
    """Return the node of the distance line with its display node, and whether anything of it had to be made."""
    node = find_node(scene, MODEL, LINE)
    if node is not None and node.GetDisplayNode() is not None:
        return node, False
    node = node or _make_line(scene)
    _make_line_display(node)
    return node, True


def _make_line(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLModelNode:
    line = vtk.vtkLineSource()
    line.Update()
    node = make_node(scene, MODEL, LINE)
    node.SetSelectable(False)
    node.SetSaveWithScene(False)
    node.SetAndObserveMesh(line.GetOutput())
    return node


def _make_line_display(node: slicer.vtkMRMLModelNode) -> None:
    display = make_hidden_display(node)
    display.SetLineWidth(4)
    display.SetLighting(False)
    display.SetVisibility2D(True)
    display.SetSaveWithScene(False)
