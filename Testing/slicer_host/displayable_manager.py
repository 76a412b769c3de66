"""Stand-in for Slicer's displayable managers: they ask a view for a render within the call that changes a node."""

from __future__ import annotations

from collections.abc import Callable

import slicer
import vtk

SPACE = "1"
"""Name of the 3D view."""
Views = frozenset
NONE: Views = frozenset()


class DisplayableManager:
    """Watches the nodes of a scene and asks the views that show them for a render.

    Args:
        schedule: asks views for a render, by their names.
        slices: slice node and composite node of each slice view, by its name.
        view_node: of the 3D view.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        schedule: Callable[[Views], None],
        slices: dict[str, tuple[slicer.vtkMRMLSliceNode, slicer.vtkMRMLSliceCompositeNode]],
        view_node: slicer.vtkMRMLViewNode,
    ) -> None:
        self._scene, self._schedule, self._slices = scene, schedule, slices
        self._all: Views = frozenset([SPACE, *slices])
        self._tags: list[tuple[vtk.vtkObject, int]] = []
        self._nodes: dict[str, tuple[slicer.vtkMRMLNode, int]] = {}
        self._shown: dict[str, Views] = {}
        self._observe(scene, scene.NodeAddedEvent, self._on_added)
        self._observe(scene, scene.NodeAboutToBeRemovedEvent, self._on_removed)
        self._observe(scene, scene.EndBatchProcessEvent, lambda *_: self._ask(self._all))
        self._observe(view_node, vtk.vtkCommand.ModifiedEvent, lambda *_: self._ask(frozenset([SPACE])))
        for name, (node, composite) in slices.items():
            self._observe(node, vtk.vtkCommand.ModifiedEvent, lambda *_, name=name: self._on_slice(name))
            self._observe(composite, vtk.vtkCommand.ModifiedEvent, lambda *_, name=name: self._on_slice(name))

    def release(self) -> None:
        """Remove every observer."""
        for watched, tag in (*self._tags, *self._nodes.values()):
            watched.RemoveObserver(tag)
        self._tags, self._nodes = [], {}

    def _observe(self, watched: vtk.vtkObject, event: int, handler: Callable) -> None:
        self._tags.append((watched, watched.AddObserver(event, handler)))

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_added(self, _scene: slicer.vtkMRMLScene, _event: str, node: slicer.vtkMRMLNode) -> None:
        if node.IsA("vtkMRMLDisplayableNode"):
            tag = node.AddObserver("AnyEvent", lambda *_: self._on_changed(node.GetID(), node))
            self._nodes[node.GetID()] = node, tag
            self._on_changed(node.GetID(), node)
        elif node.IsA("vtkMRMLDisplayNode") and node.GetVisibility():
            self._ask(self._all)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_removed(self, _scene: slicer.vtkMRMLScene, _event: str, node: slicer.vtkMRMLNode) -> None:
        known = self._nodes.pop(node.GetID(), None)
        if known is not None:
            node.RemoveObserver(known[1])
            self._ask(self._shown.pop(node.GetID(), NONE))

    def _on_changed(self, key: str, node: slicer.vtkMRMLDisplayableNode) -> None:
        before, now = self._shown.get(key, NONE), self._shown_in(node)
        self._shown[key] = now
        self._ask(before | now)

    def _on_slice(self, name: str) -> None:
        is_in_space = self._slices[name][0].GetSliceVisible()
        self._ask(frozenset([name, SPACE] if is_in_space else [name]))

    def _shown_in(self, node: slicer.vtkMRMLDisplayableNode) -> Views:
        """Views in which something is drawn of a node."""
        shown: set[str] = set()
        for index in range(node.GetNumberOfDisplayNodes()):
            display = node.GetNthDisplayNode(index)
            if display is None or not display.GetVisibility():
                continue
            if node.IsA("vtkMRMLVolumeNode"):
                shown |= self._views_of_volume(node, display)
                continue
            shown |= {SPACE} if display.GetVisibility3D() else set()
            shown |= set(self._slices) if display.GetVisibility2D() else set()
        return frozenset(shown)

    def _views_of_volume(self, node: slicer.vtkMRMLVolumeNode, display: slicer.vtkMRMLDisplayNode) -> set[str]:
        if display.IsA("vtkMRMLVolumeRenderingDisplayNode"):
            return {SPACE}
        layers = {
            name: (one.GetBackgroundVolumeID(), one.GetForegroundVolumeID(), one.GetLabelVolumeID())
            for name, (_node, one) in self._slices.items()
        }
        return {name for name, ids in layers.items() if node.GetID() in ids}

    def _ask(self, views: Views) -> None:
        if views and not self._scene.IsBatchProcessing():
            self._schedule(views)
