"""Correction points of lesions: a markups node for those that belong to a lesion, and one for those that do not.

Two nodes and not one, since MRML gives a glyph and a colour to a whole list of points, and the kinds must be told apart
by both: a plus and a minus, in colours that people with any colour vision tell apart on black. A point keeps its number
in its description: points count through both kinds of a lesion, in the order in which they were placed, which is the
order in which the network is shown them. Its label is the sign of its kind with that number. Users drag points and
delete them like any others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import slicer

from ...core.i18n import tr as _
from ...core.points import CorrectionPoint, PointKind, PointRas
from .nodes import PREFIX, make_display, nodes_of_class, one_update, put_under, remove_node
from .seeds import SEED_CLASS, seed_nodes

POINTS_OF = PREFIX + "PointsOf"
"""Attribute: the lesion that the points of a node correct."""
POINT_KIND = PREFIX + "PointKind"
"""Attribute: "include" or "exclude"."""
GLYPHS = {PointKind.INCLUDE: "ThickCross2D", PointKind.EXCLUDE: "Dash2D"}
POINT_COLOURS = {PointKind.INCLUDE: (1.0, 0.95, 0.35), PointKind.EXCLUDE: (1.0, 0.45, 0.9)}
"""Neither is that of a lesion or of a margin."""
SIGNS = {PointKind.INCLUDE: "+", PointKind.EXCLUDE: "−"}
GLYPH_SCALE = 4.0
"""Percent of the view; the seed has MRML's 3."""
POINT_MOVED_MM = 0.01
"""Texts of points hold thousandths."""

NumberedPoints = dict[int, CorrectionPoint]
"""The points of a lesion by their numbers, ascending."""


def point_label(kind: PointKind, number: int) -> str:
    """Return the label of a point: "+1", "−2"."""
    return f"{SIGNS[kind]}{number}"


def point_nodes(
    scene: slicer.vtkMRMLScene, lesion: str | None = None
) -> list[tuple[str, PointKind, slicer.vtkMRMLMarkupsFiducialNode]]:
    """Return lesion, kind and node of all lists of points, or of those of one lesion."""
    found = []
    for node in nodes_of_class(scene, SEED_CLASS):
        owner = node.GetAttribute(POINTS_OF)
        if owner and lesion in (None, owner):
            found.append((owner, _kind_of(node), node))
    return [(owner, kind, node) for owner, kind, node in found if kind is not None]


def point_node(scene: slicer.vtkMRMLScene, lesion: str, kind: PointKind) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Return the node that holds the points of a kind; it is made where there is none, beside the seed's."""
    known = next((node for _lesion, of_kind, node in point_nodes(scene, lesion) if of_kind is kind), None)
    return known or _make_node(scene, lesion, kind)


def number_points(scene: slicer.vtkMRMLScene) -> dict[str, NumberedPoints]:
    """Give a number to each point that has none, and return the points that have been placed, by lesion.

    A point that is being placed, and follows the mouse, is none yet.
    """
    lists: dict[str, list[tuple[PointKind, slicer.vtkMRMLMarkupsFiducialNode]]] = {}
    for lesion, kind, node in point_nodes(scene):
        lists.setdefault(lesion, []).append((kind, node))
    return {lesion: _numbered(nodes) for lesion, nodes in lists.items()}


def points_in(scene: slicer.vtkMRMLScene) -> dict[str, tuple[CorrectionPoint, ...]]:
    """Return the points of each lesion that has any, in their order."""
    return {lesion: tuple(points.values()) for lesion, points in number_points(scene).items() if points}


def add_point(scene: slicer.vtkMRMLScene, lesion: str, point: CorrectionPoint) -> int:
    """Add a point after those that a lesion has; returns its number."""
    number = max(number_points(scene).get(lesion, {}), default=0) + 1
    node = point_node(scene, lesion, point.kind)
    with one_update(node):
        index = node.AddControlPointWorld(list(point.ras_mm), point_label(point.kind, number))
        node.SetNthControlPointDescription(index, str(number))
    return number


def move_point(scene: slicer.vtkMRMLScene, lesion: str, number: int, ras_mm: PointRas) -> None:
    """Put a point elsewhere, world RAS mm; one that is not there is left out."""
    for node, index in _places_of(scene, lesion, number):
        node.SetNthControlPointPositionWorld(index, list(ras_mm))


def remove_point(scene: slicer.vtkMRMLScene, lesion: str, number: int) -> None:
    """Remove a point; one that is not there is left out."""
    for node, index in list(_places_of(scene, lesion, number)):
        node.RemoveNthControlPoint(index)


def set_points(scene: slicer.vtkMRMLScene, lesion: str, wanted: Sequence[CorrectionPoint]) -> None:
    """Give a lesion these points in this order; those that it has already keep their numbers."""
    missing = list(wanted)
    for number, point in number_points(scene).get(lesion, {}).items():
        same = next((other for other in missing if is_same_point(point, other)), None)
        if same is None:
            remove_point(scene, lesion, number)
        else:
            missing.remove(same)
    for point in missing:
        add_point(scene, lesion, point)
    now = number_points(scene).get(lesion, {})
    if not are_same_points(tuple(now.values()), wanted):  # one from between the others has come back
        for number in now:
            remove_point(scene, lesion, number)
        for point in wanted:
            add_point(scene, lesion, point)


def remove_points_of(scene: slicer.vtkMRMLScene, lesion: str) -> None:
    """Remove the nodes of a lesion's points."""
    for _lesion, _kind, node in point_nodes(scene, lesion):
        remove_node(scene, node)


def name_points(scene: slicer.vtkMRMLScene, names: Mapping[str, str]) -> None:
    """Name the nodes after their lesions.

    Args:
        names: of the lesions, by their keys.
    """
    for lesion, kind, node in point_nodes(scene):
        name = _name_of(names.get(lesion, lesion), kind)
        if node.GetName() != name:
            node.SetName(name)


def kind_being_placed(scene: slicer.vtkMRMLScene) -> tuple[str, PointKind] | None:
    """Return the lesion and the kind of the point that the next click in a view places; None for no point."""
    interaction = scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    if interaction is None or selection is None or interaction.GetCurrentInteractionMode() != interaction.Place:
        return None
    active = selection.GetActivePlaceNodeID()
    return next(((lesion, kind) for lesion, kind, node in point_nodes(scene) if node.GetID() == active), None)


def points_to_text(points: Sequence[CorrectionPoint]) -> str:
    """Return points as the tag of a segment holds them: kind R A S, with a comma between two; empty for none."""
    return ", ".join(" ".join([point.kind.value, *(f"{x:.3f}" for x in point.ras_mm)]) for point in points)


def points_from_text(text: str) -> tuple[CorrectionPoint, ...] | None:
    """Return the points that a tag holds; None where they cannot be read."""
    points = []
    for entry in filter(None, text.split(", ")):
        kind, *numbers = entry.split(" ")
        try:
            r, a, s = map(float, numbers)
            points.append(CorrectionPoint(PointKind(kind), (r, a, s)))
        except ValueError:
            return None
    return tuple(points)


def is_same_point(one: CorrectionPoint, other: CorrectionPoint) -> bool:
    """Return whether two points are of one kind and at one place, as exactly as texts hold it."""
    return one.kind is other.kind and bool(np.abs(np.subtract(one.ras_mm, other.ras_mm)).max() <= POINT_MOVED_MM)


def are_same_points(some: Sequence[CorrectionPoint], others: Sequence[CorrectionPoint]) -> bool:
    """Return whether two lists hold the same points in the same order."""
    return len(some) == len(others) and all(map(is_same_point, some, others))


def _kind_of(node: slicer.vtkMRMLMarkupsFiducialNode) -> PointKind | None:
    """Return the kind of a node's points; None where a scene file says something else."""
    kinds: dict[str | None, PointKind] = {kind.value: kind for kind in PointKind}
    return kinds.get(node.GetAttribute(POINT_KIND))


def _numbered(nodes: Sequence[tuple[PointKind, slicer.vtkMRMLMarkupsFiducialNode]]) -> NumberedPoints:
    points: NumberedPoints = {}
    new = []
    for kind, node in nodes:
        for index in range(node.GetNumberOfControlPoints()):
            if node.GetNthControlPointPositionStatus(index) != slicer.vtkMRMLMarkupsNode.PositionDefined:
                continue
            number = _number_of(node, index)
            if number is None or number in points:  # one that was copied has the number of another
                new.append((kind, node, index))
            else:
                points[number] = CorrectionPoint(kind, _position(node, index))
    for number, (kind, node, index) in enumerate(new, max(points, default=0) + 1):
        with one_update(node):
            node.SetNthControlPointDescription(index, str(number))
            node.SetNthControlPointLabel(index, point_label(kind, number))
        points[number] = CorrectionPoint(kind, _position(node, index))
    return dict(sorted(points.items()))


def _number_of(node: slicer.vtkMRMLMarkupsFiducialNode, index: int) -> int | None:
    text = node.GetNthControlPointDescription(index)
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _position(node: slicer.vtkMRMLMarkupsFiducialNode, index: int) -> PointRas:
    r, a, s = node.GetNthControlPointPositionWorld(index)
    return float(r), float(a), float(s)


def _places_of(
    scene: slicer.vtkMRMLScene, lesion: str, number: int
) -> Iterator[tuple[slicer.vtkMRMLMarkupsFiducialNode, int]]:
    """Yield the node and the index of the point of a lesion with a number."""
    for _lesion, _kind, node in point_nodes(scene, lesion):
        for index in range(node.GetNumberOfControlPoints()):
            if _number_of(node, index) == number:
                yield node, index
                return


def _name_of(name: str, kind: PointKind) -> str:
    text = {PointKind.INCLUDE: _("{lesion}: include"), PointKind.EXCLUDE: _("{lesion}: exclude")}[kind]
    return text.format(lesion=name)


def _make_node(scene: slicer.vtkMRMLScene, lesion: str, kind: PointKind) -> slicer.vtkMRMLMarkupsFiducialNode:
    seed_node = seed_nodes(scene).get(lesion)
    node = slicer.vtkMRMLMarkupsFiducialNode()
    node.SetName(_name_of(seed_node.GetName() if seed_node is not None else lesion, kind))
    node.SetAttribute(POINTS_OF, lesion)
    node.SetAttribute(POINT_KIND, kind.value)
    node.SetControlPointLabelFormat(SIGNS[kind])  # until the point has its number
    scene.AddNode(node)  # with its attributes, so that whoever watches the scene knows what has come
    if seed_node is not None:
        put_under(node, seed_node.GetParentTransformNode())
    display = make_display(node)
    with one_update(display):
        display.SetColor(*POINT_COLOURS[kind])
        display.SetSelectedColor(*POINT_COLOURS[kind])
        display.SetGlyphTypeFromString(GLYPHS[kind])
        display.SetGlyphScale(GLYPH_SCALE)
    return node
