"""Stand-in for Slicer's IO manager: scenes, volumes and segmentations by the real MRML readers and writers."""

from __future__ import annotations

from pathlib import Path

import slicer
import vtk
from PySide6 import QtCore

from .errors import HostGapError
from .stand_in import StandIn

_READABLE = {"SegmentationFile": "vtkMRMLSegmentationNode", "MarkupsFile": "vtkMRMLMarkupsFiducialNode"} | {
    "ModelFile": "vtkMRMLModelNode",
    "TransformFile": "vtkMRMLLinearTransformNode",
    "TextFile": "vtkMRMLTextNode",
}


class IOManager(StandIn, QtCore.QObject):
    """Stand-in for qSlicerCoreIOManager; it does not guess a file's type."""

    slicer_class = "qSlicerCoreIOManager"
    own_signals = ("newFileLoaded(qSlicerIO::IOProperties)", "fileSaved(qSlicerIO::IOProperties)")

    def saveNodes(self, kind: str, properties: dict, messages: object = None) -> bool:
        path = Path(properties["fileName"])
        if kind == "SceneFile":
            return write_scene(slicer.mrmlScene, path, messages)
        return _write_node(slicer.mrmlScene.GetNodeByID(properties["nodeID"]), path)

    def loadNodes(self, kind: str, properties: dict, loaded: vtk.vtkCollection, messages: object = None) -> bool:
        """By type; a node that cannot be read leaves nothing in the scene.

        Raises:
            HostGapError: a type that Slicer knows and this host does not.
        """
        path = Path(properties["fileName"])
        if kind == "SceneFile":
            return read_scene(slicer.mrmlScene, path, properties.get("clear", True))
        if kind == "VolumeFile":
            node = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), properties.get("name", path.stem))
        elif kind in _READABLE:
            node = _read_node(_READABLE[kind], path, properties.get("name", path.name.partition(".")[0]))
        else:
            raise HostGapError(f"the host does not load files of the type {kind}")
        if node is not None:
            loaded.AddItem(node)
        return node is not None

    def fileWriterFileType(self, node: slicer.vtkMRMLNode) -> str:
        return f"{node.GetNodeTagName()}File"

    def fileType(self, path: str) -> str:
        raise HostGapError(f"the host does not guess the type of {path}; name it")


def write_scene(scene: slicer.vtkMRMLScene, path: Path, messages: object = None) -> bool:
    """Save as .mrb or .mrml."""
    if path.suffix == ".mrb":
        for index in range(scene.GetNumberOfNodes()):
            node = scene.GetNthNode(index)
            if node.IsA("vtkMRMLStorableNode") and node.GetSaveWithScene() and node.GetStorageNode() is None:
                node.AddDefaultStorageNode()
        return bool(scene.WriteToMRB(str(path), None, messages)) and path.is_file()
    scene.SetURL(str(path))
    return bool(scene.Commit(str(path)))


def read_scene(scene: slicer.vtkMRMLScene, path: Path, clear: bool) -> bool:
    """Open (clear) or import a .mrb or .mrml, with the events that Slicer's reader fires."""
    if path.suffix == ".mrb":
        return bool(scene.ReadFromMRB(str(path), clear))
    scene.SetURL(str(path))
    return bool(scene.Connect() if clear else scene.Import())


def _write_node(node: slicer.vtkMRMLStorableNode, path: Path) -> bool:
    if node.GetStorageNode() is None:
        node.AddDefaultStorageNode()
    storage = node.GetStorageNode()
    storage.SetFileName(str(path))
    return bool(storage.WriteData(node))


def _read_node(kind: str, path: Path, name: str) -> slicer.vtkMRMLStorableNode | None:
    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(path))
    if node.GetStorageNode().ReadData(node):
        return node
    slicer.mrmlScene.RemoveNode(node)
    return None
