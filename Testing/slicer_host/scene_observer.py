"""Following a MRML scene from a widget."""

from __future__ import annotations

from collections.abc import Callable

import slicer
import vtk


class SceneObserver:
    """Tells a widget of nodes that come and go, and of names that change; silent while a scene closes or loads."""

    def __init__(self, added: Callable, removed: Callable, refresh: Callable[[], None]) -> None:
        self.scene: slicer.vtkMRMLScene | None = None
        self.leaving: str | None = None
        self._added, self._removed, self._refresh = added, removed, refresh
        self._tags: list[int] = []
        self._names: dict[str, tuple[slicer.vtkMRMLNode, int]] = {}

    def follow(self, scene: slicer.vtkMRMLScene | None) -> None:
        self.release()
        self.scene = scene
        if scene is None:
            return
        handlers = {
            scene.NodeAddedEvent: self._on_added,
            scene.NodeAboutToBeRemovedEvent: self._on_removed,
            scene.EndBatchProcessEvent: self._on_batch,
        }
        self._tags = [scene.AddObserver(event, handler) for event, handler in handlers.items()]
        for node in self.nodes():
            self._watch(node)

    def release(self, *_destroyed: object) -> None:
        """Remove every observer."""
        if self.scene is not None:
            for tag in self._tags:
                self.scene.RemoveObserver(tag)
        for node, tag in self._names.values():
            node.RemoveObserver(tag)
        self._names.clear()
        self.scene, self._tags = None, []

    def nodes(self) -> list[slicer.vtkMRMLNode]:
        found = [self.scene.GetNthNode(index) for index in range(self.scene.GetNumberOfNodes())]
        return [node for node in found if node.GetID() != self.leaving]

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_added(self, _scene: slicer.vtkMRMLScene, _event: str, node: slicer.vtkMRMLNode) -> None:
        if not self.scene.IsBatchProcessing():
            self._watch(node)
            self._added(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_removed(self, _scene: slicer.vtkMRMLScene, _event: str, node: slicer.vtkMRMLNode) -> None:
        known = self._names.pop(node.GetID(), None)
        if known is not None:
            node.RemoveObserver(known[1])
        if not self.scene.IsBatchProcessing():
            self._removed(node)

    def _on_batch(self, _scene: slicer.vtkMRMLScene, _event: str) -> None:
        for node in self.nodes():
            self._watch(node)
        self._refresh()

    def _watch(self, node: slicer.vtkMRMLNode) -> None:
        if node.GetID() in self._names or node.GetHideFromEditors():
            return
        last = [node.GetName()]

        def renamed(changed: slicer.vtkMRMLNode, _event: str) -> None:
            if changed.GetName() != last[0]:
                last[0] = changed.GetName()
                self._refresh()

        self._names[node.GetID()] = (node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, renamed))
