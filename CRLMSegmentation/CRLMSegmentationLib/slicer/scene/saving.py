"""Scenes and segmentations on disk, as 3D Slicer opens them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import slicer

from ...core.errors import CrlmError
from .nodes import local_to_world, make_storage, remove_node


def save_segmentation(node: slicer.vtkMRMLSegmentationNode, path: Path | str) -> None:
    """Write a segmentation as .seg.nrrd, in world RAS: parent transforms are worked in.

    Raises:
        CrlmError: the name does not end in .seg.nrrd, or the file cannot be written.
        GeometryError: it lies under a transform that is not linear.
    """
    path = Path(path)
    if not path.name.endswith(".seg.nrrd"):
        raise CrlmError(f"a segmentation is saved as .seg.nrrd, got {path.name}")
    _check_folder(path)
    with _in_world(node) as placed:
        storage = slicer.vtkMRMLSegmentationStorageNode()
        storage.SetFileName(str(path))
        if not storage.WriteData(placed):
            raise CrlmError(f"cannot write {path}; check the free space and the permissions of its folder")


def save_scene_bundle(scene: slicer.vtkMRMLScene, path: Path | str) -> None:
    """Write the whole scene into one .mrb file that 3D Slicer opens.

    Raises:
        CrlmError: the name does not end in .mrb, or the file cannot be written.
    """
    path = Path(path).resolve()
    if path.suffix != ".mrb":
        raise CrlmError(f"a scene is saved as .mrb, got {path.name}")
    _check_folder(path)
    path.unlink(missing_ok=True)
    for node in _storable_nodes(scene):
        make_storage(node)
    if not scene.WriteToMRB(str(path), None) or not path.is_file():
        raise CrlmError(f"cannot write {path}; check the free space and the permissions of its folder")


@contextmanager
def _in_world(node: slicer.vtkMRMLSegmentationNode) -> Iterator[slicer.vtkMRMLSegmentationNode]:
    """Yield the node itself, or a temporary copy of it with its parent transforms hardened."""
    parent = node.GetParentTransformNode()
    if parent is None:
        yield node
        return
    local_to_world(node)
    scene = node.GetScene()
    copy = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    try:
        copy.GetSegmentation().DeepCopy(node.GetSegmentation())
        copy.SetAndObserveTransformNodeID(parent.GetID())
        copy.HardenTransform()
        yield copy
    finally:
        remove_node(scene, copy)


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise CrlmError(f"the folder {path.parent} does not exist; make it first")


def _storable_nodes(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLStorableNode]:
    nodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
    return [n for n in nodes if n.IsA("vtkMRMLStorableNode") and n.GetSaveWithScene()]
