"""The crop around a seed, drawn as a box that the user can resize."""

from __future__ import annotations

import numpy as np
import slicer

from .nodes import find_node, make_display, make_node, one_update, remove_node

CLASS = "vtkMRMLMarkupsROINode"
NAME = "Crop"
SAME_MM = 1e-4


def crop_box(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLMarkupsROINode | None:
    """Return the node of the box, or None."""
    return find_node(scene, CLASS, NAME)


def show_crop_box(scene: slicer.vtkMRMLScene, center_ras_mm: np.ndarray, size_mm: float) -> None:
    """Show a cube around a point in world RAS, or move the one that is shown."""
    node = crop_box(scene) or _make_box(scene)
    off_mm = np.abs([np.subtract(node.GetCenterWorld(), center_ras_mm), np.subtract(node.GetSize(), size_mm)])
    if off_mm.max() < SAME_MM:
        return
    with one_update(node):
        node.SetCenterWorld([float(x) for x in center_ras_mm])
        node.SetSize([float(size_mm)] * 3)


def set_crop_box_visibility(scene: slicer.vtkMRMLScene, is_visible: bool) -> None:
    """Show or hide the box, if there is one, with its handles."""
    node = crop_box(scene)
    display = node.GetDisplayNode() if node is not None else None
    if display is not None and bool(display.GetVisibility()) != is_visible:
        display.SetVisibility(is_visible)


def remove_crop_box(scene: slicer.vtkMRMLScene) -> None:
    """Remove the box, if there is one."""
    node = crop_box(scene)
    if node is not None:
        remove_node(scene, node)


def crop_box_size_mm(node: slicer.vtkMRMLMarkupsROINode) -> float:
    """Return the edge of the smallest cube that holds the box, mm."""
    return float(max(node.GetSize()))


def _make_box(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLMarkupsROINode:
    node = make_node(scene, CLASS, NAME)
    display = make_display(node)
    display.SetFillVisibility(False)
    display.SetTextScale(0.0)
    display.SetHandlesInteractive(True)
    display.SetTranslationHandleVisibility(False)
    display.SetRotationHandleVisibility(False)
    return node
