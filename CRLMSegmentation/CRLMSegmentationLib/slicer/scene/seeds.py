"""Seeds: one markups node with one point for each lesion, so that each has a name and a colour of its own.

MRML colours whole lists of points. The node keeps the lesion it belongs to as an attribute: a user may rename,
drag or delete it like any other.
"""

from __future__ import annotations

import numpy as np
import slicer

from ...core.errors import SeedError
from ...tracking.colours import LESION_COLOURS, colour_of
from .nodes import PREFIX, make_display, nodes_of_class, one_update

SEED_CLASS = "vtkMRMLMarkupsFiducialNode"
LESION = PREFIX + "Lesion"
"""Attribute: the lesion that a seed belongs to; also the ID of its segment."""
LABEL_HIDDEN = PREFIX + "LabelHidden"
"""Attribute: the label of a seed was hidden when its lesion was segmented."""
STALE_COLOUR = (0.55, 0.55, 0.55)
"""Of a segmentation that is out of date, and of its seed with the label."""


def show_seed(
    scene: slicer.vtkMRMLScene,
    lesion: str,
    seed_ras_mm: np.ndarray | None = None,
    colour: tuple[float, float, float] = LESION_COLOURS[0],
) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Show the seed of a lesion; one that is there is moved.

    Args:
        seed_ras_mm: world RAS, shape (3,); None makes a node without a point, to be placed by the user.

    Raises:
        SeedError: not three finite numbers.
    """
    point = None if seed_ras_mm is None else _checked(lesion, seed_ras_mm)
    node = seed_nodes(scene).get(lesion) or _make_node(scene, lesion, colour)
    if point is not None:
        with one_update(node):
            if node.GetNumberOfControlPoints() == 0:
                node.AddControlPointWorld(point.tolist(), node.GetName())
            else:
                node.SetNthControlPointPositionWorld(0, point.tolist())
    return node


def seed_nodes(scene: slicer.vtkMRMLScene) -> dict[str, slicer.vtkMRMLMarkupsFiducialNode]:
    """Return the seed node of each lesion, in the order in which they were made."""
    nodes = nodes_of_class(scene, SEED_CLASS)
    return {node.GetAttribute(LESION): node for node in nodes if node.GetAttribute(LESION)}


def seed_of(node: slicer.vtkMRMLMarkupsFiducialNode) -> np.ndarray | None:
    """Return the position of a seed, world RAS mm, shape (3,); None before it has been placed."""
    defined = slicer.vtkMRMLMarkupsNode.PositionDefined
    if node.GetNumberOfControlPoints() == 0 or node.GetNthControlPointPositionStatus(0) != defined:
        return None
    return np.array(node.GetNthControlPointPositionWorld(0))


def seeds_in(scene: slicer.vtkMRMLScene) -> dict[str, np.ndarray]:
    """Return the position of each seed that has been placed, by lesion, world RAS mm, shape (3,)."""
    seeds = {lesion: seed_of(node) for lesion, node in seed_nodes(scene).items()}
    return {lesion: seed for lesion, seed in seeds.items() if seed is not None}


def shown_colour(node: slicer.vtkMRMLMarkupsFiducialNode) -> tuple[float, float, float]:
    """Return the colour of a seed, also while it is grey; white when a user has deleted its display node."""
    display = node.GetDisplayNode()
    if display is None:
        return 1.0, 1.0, 1.0
    return tuple(display.GetColor() if _is_grey(display) else display.GetSelectedColor())


def mark_seed(node: slicer.vtkMRMLMarkupsFiducialNode, is_segmented: bool, is_stale: bool) -> None:
    """Show a seed as that of a segmentation: its label would lie over the contours, and is hidden, once.

    Args:
        is_stale: the segmentation is out of date; the seed is grey with its label, its own colour stays the unselected.
    """
    display = node.GetDisplayNode()
    if display is None:
        return
    is_hidden = node.GetAttribute(LABEL_HIDDEN) is not None
    if is_segmented != is_hidden:  # else the user may have shown the label again
        node.SetAttribute(LABEL_HIDDEN, "1" if is_segmented else None)
        display.SetPointLabelsVisibility(not is_segmented)
    if is_stale != _is_grey(display):
        with one_update(display):
            if is_stale:
                display.SetColor(display.GetSelectedColor())
            display.SetSelectedColor(STALE_COLOUR if is_stale else display.GetColor())


def _is_grey(display: slicer.vtkMRMLMarkupsDisplayNode) -> bool:
    return bool(np.allclose(display.GetSelectedColor(), STALE_COLOUR, atol=1e-3))


def free_lesion_name(scene: slicer.vtkMRMLScene) -> str:
    """ "Tumour 1", "Tumour 2", ...: the first that no seed and no node has."""
    taken, number = seed_nodes(scene), 1
    while f"Tumour {number}" in taken or scene.GetFirstNodeByName(f"Tumour {number}"):
        number += 1
    return f"Tumour {number}"


def free_colour(scene: slicer.vtkMRMLScene) -> tuple[float, float, float]:
    """Return the first colour that no seed has; colours repeat when all are in use."""
    nodes = list(seed_nodes(scene).values())
    taken = {tuple(round(part, 2) for part in shown_colour(node)) for node in nodes}
    return next((colour for colour in LESION_COLOURS if colour not in taken), colour_of(len(nodes)))


def _checked(lesion: str, seed: np.ndarray) -> np.ndarray:
    point = np.asarray(seed, dtype=np.float64)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise SeedError(f"the seed of '{lesion}' must be three numbers R A S in mm, got {seed}")
    return point


def _make_node(
    scene: slicer.vtkMRMLScene, lesion: str, colour: tuple[float, float, float]
) -> slicer.vtkMRMLMarkupsFiducialNode:
    node = slicer.vtkMRMLMarkupsFiducialNode()
    node.SetName(lesion)
    node.SetAttribute(LESION, lesion)
    node.SetMaximumNumberOfControlPoints(1)
    scene.AddNode(node)  # with its attribute, so that whoever watches the scene knows what has come
    display = make_display(node)
    display.SetColor(*colour)
    display.SetSelectedColor(*colour)
    display.SetGlyphTypeFromString("CrossDot2D")
    return node
