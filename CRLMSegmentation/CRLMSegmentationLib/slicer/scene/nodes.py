"""The nodes that this project makes: found again by attributes, removed with all their parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
import slicer
import vtk

from ...core.errors import GeometryError, JsonError
from ...core.json_fields import ANY_TEXT, NUMBER, TEXT, check_object
from ...core.json_files import LINE_LIMITS, parse_json
from ...core.volume import VolumeIdentity

PREFIX = "CRLMSegmentation."
KEY = PREFIX + "Key"
"""Under this attribute a node keeps the name it was made with, so that a user may rename it."""
DEVICE = PREFIX + "Device"
TIMESTAMP = PREFIX + "Timestamp"
PART_OF = PREFIX + "PartOf"
"""Attribute of the display and storage nodes that this project makes: the key of the node that they belong to."""
VOLUME_IDENTITY = PREFIX + "VolumeIdentity"
IDENTITY = {"device": ANY_TEXT, "timestamp_s": NUMBER, "geometry_sha256": TEXT, "content_sha256": TEXT}
"""What the text under this attribute holds; a scene file may come from anywhere."""


_ids: dict[tuple[str, str], str] = {}
"""Where a node was found last, by class and key: several are looked for at each turn, and a search reads them all."""
MAX_IDS = 4096


def find_node(scene: slicer.vtkMRMLScene, class_name: str, key: str) -> slicer.vtkMRMLNode | None:
    """Return the node of a class that this project made under a key, or None."""
    known = scene.GetNodeByID(_ids.get((class_name, key), ""))
    if known is not None and _is_made_as(known, class_name, key):
        return known
    found = next((node for node in nodes_of_class(scene, class_name) if _is_made_as(node, class_name, key)), None)
    if found is not None:
        if len(_ids) >= MAX_IDS:
            _ids.clear()
        _ids[class_name, key] = found.GetID()
    return found


def make_node(scene: slicer.vtkMRMLScene, class_name: str, key: str) -> slicer.vtkMRMLNode:
    """Make a node, named and marked with its key."""
    node = scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(key))
    node.SetAttribute(KEY, key)
    return node


def make_display(node: slicer.vtkMRMLDisplayableNode) -> slicer.vtkMRMLDisplayNode:
    """Give a node its default display node, which is removed together with it; return the display node."""
    node.CreateDefaultDisplayNodes()
    for index in range(node.GetNumberOfDisplayNodes()):
        node.GetNthDisplayNode(index).SetAttribute(PART_OF, node.GetAttribute(KEY) or node.GetName())
    return node.GetDisplayNode()


def make_hidden_display(node: slicer.vtkMRMLModelNode) -> slicer.vtkMRMLModelDisplayNode:
    """Give a model a display node that shows nothing yet, so that no view is drawn for it; return the display node."""
    display = slicer.vtkMRMLModelDisplayNode()
    display.SetVisibility(False)
    display.SetAttribute(PART_OF, node.GetAttribute(KEY) or node.GetName())
    node.GetScene().AddNode(display)
    node.SetAndObserveDisplayNodeID(display.GetID())
    return display


def make_storage(node: slicer.vtkMRMLStorableNode) -> None:
    """Give a node its default storage node, which is removed together with it; one that has one keeps that."""
    if node.GetStorageNode() is None:
        node.AddDefaultStorageNode()
        if node.GetStorageNode() is not None:
            node.GetStorageNode().SetAttribute(PART_OF, node.GetAttribute(KEY) or node.GetName())


def remove_node(scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLNode) -> None:
    """Remove a node with its display and storage nodes, which `vtkMRMLScene.RemoveNode` leaves behind."""
    parts: list[slicer.vtkMRMLNode] = []
    if node.IsA("vtkMRMLDisplayableNode"):
        parts += [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        parts += [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for part in parts:
        if part is not None and part.GetScene() is scene and _owner_of(part) is None:
            scene.RemoveNode(part)


def remove_leftovers(scene: slicer.vtkMRMLScene) -> None:
    """Remove display and storage nodes of this project whose node somebody has deleted."""
    for class_name in ("vtkMRMLDisplayNode", "vtkMRMLStorageNode"):
        for part in nodes_of_class(scene, class_name):
            if part.GetAttribute(PART_OF) and _owner_of(part) is None:
                scene.RemoveNode(part)


def is_referred_to(node: slicer.vtkMRMLNode) -> bool:
    """Return whether any node other than a segmentation refers to a node."""
    scene, own_id = node.GetScene(), node.GetID()
    numbers = range(scene.GetNumberOfNodeReferences())
    others = [scene.GetNthReferencingNode(n) for n in numbers if scene.GetNthReferencedID(n) == own_id]
    return any(other is not None and not other.IsA("vtkMRMLSegmentationNode") for other in others)


def _is_made_as(node: slicer.vtkMRMLNode, class_name: str, key: str) -> bool:
    return bool(node.GetClassName() == class_name and node.GetAttribute(KEY) == key)


def _owner_of(part: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode | None:
    return part.GetDisplayableNode() if part.IsA("vtkMRMLDisplayNode") else part.GetStorableNode()


@contextmanager
def one_update(node: slicer.vtkMRMLNode) -> Iterator[None]:
    """Announce all changes made inside to the views at once, at the end."""
    was_modifying = node.StartModify()
    try:
        yield
    finally:
        node.EndModify(was_modifying)


def put_under(node: slicer.vtkMRMLTransformableNode, parent: slicer.vtkMRMLTransformNode | None) -> None:
    """Make a transform the parent of a node; None puts it into the world."""
    node.SetAndObserveTransformNodeID(parent.GetID() if parent else None)


def place(node: slicer.vtkMRMLTransformNode, matrix: np.ndarray) -> bool:
    """Set a transform's matrix to its parent, a 4x4 in mm; returns whether it was another one.

    MRML announces an equal matrix too, and each view that shows something below the transform would be drawn anew.
    """
    before = vtk.vtkMatrix4x4()
    node.GetMatrixTransformToParent(before)
    if np.array_equal(to_array(before), matrix):
        return False
    node.SetMatrixTransformToParent(to_vtk_matrix(matrix))
    return True


def local_to_world(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """Return the 4x4 from the coordinates that a node stores (mm) to world RAS, through all its parents.

    Raises:
        GeometryError: one of the parents is not linear, so no matrix can say it.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise GeometryError(
            f"'{node.GetName()}' lies under the non-linear transform '{parent.GetName()}'; "
            "harden the transform or move the node out of it"
        )
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return to_array(matrix)


def nodes_of_class(scene: slicer.vtkMRMLScene, class_name: str) -> list[slicer.vtkMRMLNode]:
    """Return all nodes of a class, in the order of the scene."""
    return [scene.GetNthNodeByClass(index, class_name) for index in range(scene.GetNumberOfNodesByClass(class_name))]


def tip_of(tool: slicer.vtkMRMLLinearTransformNode) -> np.ndarray:
    """Return the origin of a tool's own frame, world RAS mm, shape (3,)."""
    matrix = vtk.vtkMatrix4x4()
    tool.GetMatrixTransformToWorld(matrix)
    return to_array(matrix)[:3, 3]


def to_vtk_matrix(matrix: np.ndarray) -> vtk.vtkMatrix4x4:
    """Convert a 4x4 array to a vtkMatrix4x4."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=np.float64).ravel().tolist())
    return result


def to_array(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """Convert a vtkMatrix4x4 to an array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def identity_to_text(identity: VolumeIdentity) -> str:
    """JSON; bars and semicolons are escaped because .seg.nrrd and MRML separate their entries with them."""
    return json.dumps(asdict(identity)).replace("|", "\\u007c").replace(";", "\\u003b")


def identity_from_text(text: str | None) -> VolumeIdentity | None:
    """Read the identity that an attribute or tag holds; None where there is none that can be read."""
    try:
        fields = parse_json(text or "", LINE_LIMITS)
        check_object(fields, IDENTITY, only_these=True)
    except JsonError:
        return None
    return VolumeIdentity(**fields)
