"""Seeds as a markups list: one named point per lesion, in world RAS."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import slicer

from ..core.errors import SeedError
from .nodes import find_node, make_node, one_update, put_under

CLASS = "vtkMRMLMarkupsFiducialNode"
SEED_COLOUR = (0.94, 0.89, 0.26)
"""Yellow of the Okabe-Ito palette; MRML colours a whole list, not single points."""


def show_seeds(
    scene: slicer.vtkMRMLScene,
    seeds: Mapping[str, np.ndarray],
    name: str = "Seeds",
    colour: tuple[float, float, float] = SEED_COLOUR,
    parent_transform: slicer.vtkMRMLTransformNode | None = None,
) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Show exactly these seeds; points of the same name are moved, others removed.

    Args:
        seeds: name of the lesion to its seed in world RAS mm, shape (3,).
        parent_transform: the node to lie under; None leaves it where it is.

    Raises:
        SeedError: a seed is not three finite numbers.
    """
    points = {label: _checked(label, seed) for label, seed in seeds.items()}
    node = find_node(scene, CLASS, name) or _make_list(scene, name, colour)
    with one_update(node):
        if parent_transform is not None:
            put_under(node, parent_transform)
        for index in reversed(range(node.GetNumberOfControlPoints())):
            if node.GetNthControlPointLabel(index) not in points:
                node.RemoveNthControlPoint(index)
        for label, seed in points.items():
            _place(node, label, seed)
    return node


def seeds_from_node(node: slicer.vtkMRMLMarkupsFiducialNode) -> list[tuple[str, np.ndarray]]:
    """Name and place (world RAS mm, shape (3,)) of every point that has been placed."""
    placed = [n for n in range(node.GetNumberOfControlPoints()) if _is_placed(node, n)]
    return [(node.GetNthControlPointLabel(n), np.array(node.GetNthControlPointPositionWorld(n))) for n in placed]


def _checked(label: str, seed: np.ndarray) -> np.ndarray:
    point = np.asarray(seed, dtype=np.float64)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise SeedError(f"the seed of '{label}' must be three numbers R A S in mm, got {seed}")
    return point


def _make_list(
    scene: slicer.vtkMRMLScene, name: str, colour: tuple[float, float, float]
) -> slicer.vtkMRMLMarkupsFiducialNode:
    node = make_node(scene, CLASS, name)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetColor(*colour)
    display.SetSelectedColor(*colour)
    display.SetGlyphTypeFromString("CrossDot2D")
    return node


def _place(node: slicer.vtkMRMLMarkupsFiducialNode, label: str, seed: np.ndarray) -> None:
    index = node.GetControlPointIndexByLabel(label)
    if index < 0:
        node.AddControlPointWorld(seed.tolist(), label)
    else:
        node.SetNthControlPointPositionWorld(index, seed.tolist())


def _is_placed(node: slicer.vtkMRMLMarkupsFiducialNode, index: int) -> bool:
    return node.GetNthControlPointPositionStatus(index) == slicer.vtkMRMLMarkupsNode.PositionDefined
