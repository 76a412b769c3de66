"""Tracked tools and sensors as linear transforms, one node per device."""

from __future__ import annotations

import numpy as np
import slicer

from ...core.errors import GeometryError
from .nodes import DEVICE, PREFIX, find_node, make_node, one_update, place

CLASS = "vtkMRMLLinearTransformNode"
STATUS = PREFIX + "TransformStatus"
TRACKED = "OK"
NOT_A_POSE = "INVALID"
"""Status of a device that is tracked, but whose matrix scales, mirrors or shears: it stays where it was seen last."""
LAST_ROW = np.array([0.0, 0.0, 0.0, 1.0])


def show_transform(
    scene: slicer.vtkMRMLScene, device: str, matrix: np.ndarray | None, status: str = TRACKED
) -> slicer.vtkMRMLLinearTransformNode:
    """Move a device's transform; while it is not tracked, it stays where it was seen last.

    Args:
        matrix: 4x4 in mm, to the frame that its name says; not looked at unless the status is OK.
        status: OK, MISSING or INVALID, kept as an attribute of the node.

    Raises:
        GeometryError: a tracked device without a matrix that can place something.
    """
    placed = _checked(device, matrix) if status == TRACKED else None
    node = find_node(scene, CLASS, device) or make_node(scene, CLASS, device)
    with one_update(node):
        node.SetAttribute(DEVICE, device)
        node.SetAttribute(STATUS, status)
        if placed is not None:
            place(node, placed)
    return node


def is_tracked(node: slicer.vtkMRMLLinearTransformNode) -> bool:
    """Whether the matrix of a node is where the device is now."""
    return bool(node.GetAttribute(STATUS) == TRACKED)


def _checked(device: str, matrix: np.ndarray | None) -> np.ndarray:
    array = np.asarray(matrix, dtype=np.float64) if matrix is not None else np.empty(0)
    if array.shape != (4, 4) or not np.isfinite(array).all():
        came = "NaN or infinity" if array.shape == (4, 4) else f"shape {array.shape}"
        raise GeometryError(f"'{device}' must come with a finite 4x4 matrix, got {came}; check the tracker")
    if np.linalg.det(array[:3, :3]) == 0 or np.abs(array[3] - LAST_ROW).max() > 1e-6:
        raise GeometryError(f"the matrix of '{device}' is singular or not affine; check the tracker")
    return array
