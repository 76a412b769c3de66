"""Stand-ins for the layout manager and its views: real MRML view nodes and slice logics; nothing is really drawn."""

from __future__ import annotations

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .displayable_manager import SPACE, DisplayableManager
from .errors import HostError
from .rendering import AbstractView, Rendering
from .stand_in import StandIn, through

SLICES = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


class SliceView(AbstractView):
    """Stand-in for qMRMLSliceView."""

    slicer_class = "qMRMLSliceView"

    def __init__(
        self, name: str, logic: slicer.vtkMRMLSliceLogic, rendering: Rendering, parent: QtWidgets.QWidget
    ) -> None:
        super().__init__(name, rendering, parent)
        self._logic = logic

    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self._logic.GetSliceNode()


class SliceController(StandIn, QtWidgets.QWidget):
    """Stand-in for qMRMLSliceControllerWidget."""

    slicer_class = "qMRMLSliceControllerWidget"

    def __init__(self, logic: slicer.vtkMRMLSliceLogic, parent: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        self._logic = logic

    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self._logic.GetSliceNode()

    def setSliceVisible(self, on: bool) -> None:
        self._logic.GetSliceNode().SetSliceVisible(on)

    def setSliceOffsetValue(self, offset_mm: float) -> None:
        self._logic.SetSliceOffset(offset_mm)

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class SliceWidget(StandIn, QtWidgets.QWidget):
    """Stand-in for qMRMLSliceWidget around a real slice logic."""

    slicer_class = "qMRMLSliceWidget"

    def __init__(
        self, name: str, logic: slicer.vtkMRMLSliceLogic, rendering: Rendering, parent: QtWidgets.QWidget
    ) -> None:
        super().__init__(parent)
        self._logic = logic
        self._view, self._controller = SliceView(name, logic, rendering, self), SliceController(logic, self)

    def sliceLogic(self) -> slicer.vtkMRMLSliceLogic:
        return self._logic

    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> slicer.vtkMRMLSliceCompositeNode:
        return self._logic.GetSliceCompositeNode()

    def sliceView(self) -> SliceView:
        return self._view

    def sliceController(self) -> SliceController:
        return self._controller

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class ThreeDView(AbstractView):
    """Stand-in for qMRMLThreeDView."""

    slicer_class = "qMRMLThreeDView"

    def __init__(self, node: slicer.vtkMRMLViewNode, rendering: Rendering, parent: QtWidgets.QWidget) -> None:
        super().__init__(SPACE, rendering, parent)
        self._node = node
        self.resets = 0

    def mrmlViewNode(self) -> slicer.vtkMRMLViewNode:
        return self._node

    def resetFocalPoint(self) -> None:
        self.resets += 1
        self.scheduleRender()

    resetCamera = resetFocalPoint


class ThreeDWidget(StandIn, QtWidgets.QWidget):
    """Stand-in for qMRMLThreeDWidget."""

    slicer_class = "qMRMLThreeDWidget"

    def __init__(self, node: slicer.vtkMRMLViewNode, rendering: Rendering, parent: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        self._view = ThreeDView(node, rendering, self)

    def threeDView(self) -> ThreeDView:
        return self._view

    def mrmlViewNode(self) -> slicer.vtkMRMLViewNode:
        return self._view.mrmlViewNode()


class LayoutManager(StandIn, QtCore.QObject):
    """Stand-in for qSlicerLayoutManager: three slice views and a 3D view, whatever the layout."""

    slicer_class = "qSlicerLayoutManager"
    own_signals = ("layoutChanged()", "layoutChanged(int)", "selectModule(QString)")

    def __init__(self, scene: slicer.vtkMRMLScene, application_logic: slicer.vtkMRMLApplicationLogic) -> None:
        super().__init__()
        self._scene = scene
        self.rendering = Rendering()
        self._viewport = QtWidgets.QWidget()
        self._layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
        self._logics = vtk.vtkCollection()
        self._slices = {
            name: SliceWidget(name, self._slice_logic(name), self.rendering, self._viewport) for name in SLICES
        }
        application_logic.SetSliceLogics(self._logics)
        self._three_d = ThreeDWidget(self._view_node(), self.rendering, self._viewport)
        nodes = {name: (one.mrmlSliceNode(), one.mrmlSliceCompositeNode()) for name, one in self._slices.items()}
        self._manager = DisplayableManager(scene, self._schedule, nodes, self._three_d.mrmlViewNode())
        self._layout_logic = slicer.vtkMRMLLayoutLogic()
        self._layout_logic.SetMRMLScene(scene)
        self._layout_logic.GetLayoutNode().SetViewArrangement(self._layout)

    p_layout = through(lambda self: self._layout, lambda self, layout: self.setLayout(layout))
    p_threeDViewCount = through(lambda self: 1)
    p_tableViewCount = through(lambda self: 0)
    p_plotViewCount = through(lambda self: 0)

    def layoutLogic(self) -> slicer.vtkMRMLLayoutLogic:
        return self._layout_logic

    def setLayout(self, layout: int) -> None:
        """The layout logic reads its description.

        Raises:
            HostError: nobody has described it.
        """
        node = self._layout_logic.GetLayoutNode()
        if not node.IsLayoutDescription(layout):
            raise HostError(f"layout {layout} was not described by AddLayoutDescription")
        if layout != self._layout:
            self._layout = layout
            node.SetViewArrangement(layout)
            self.emit_own("layoutChanged(int)", layout)
            self.emit_own("layoutChanged()")

    def leave_scene(self) -> None:
        """Before the scene is cleared with its singletons, which the logic does not survive."""
        self._manager.release()
        self._layout_logic.SetMRMLScene(None)

    def sliceViewNames(self) -> list[str]:
        return list(self._slices)

    def sliceWidget(self, name: str) -> SliceWidget | None:
        return self._slices.get(name)

    def threeDWidget(self, which: int | str) -> ThreeDWidget | None:
        return self._three_d if which in (0, "View1") else None

    def mrmlSliceLogics(self) -> vtk.vtkCollection:
        return self._logics

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return self._scene

    def activeMRMLThreeDViewNode(self) -> slicer.vtkMRMLViewNode:
        return self._three_d.mrmlViewNode()

    def viewport(self) -> QtWidgets.QWidget:
        return self._viewport

    def resetThreeDViews(self) -> None:
        self._three_d.threeDView().resetFocalPoint()

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def setRenderPaused(self, is_paused: bool) -> None:
        for view in self.rendering.views:
            view.setRenderPaused(is_paused)

    def pauseRender(self) -> None:
        self.setRenderPaused(True)

    def resumeRender(self) -> None:
        self.setRenderPaused(False)

    def _schedule(self, views: frozenset[str]) -> None:
        for view in self.rendering.views:
            if view.name in views:
                view.scheduleRender()

    def _slice_logic(self, name: str) -> slicer.vtkMRMLSliceLogic:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLScene(self._scene)
        node = logic.AddSliceNode(name)
        node.SetOrientation(SLICES[name])
        node.SetMappedInLayout(1)
        self._logics.AddItem(logic)
        return logic

    def _view_node(self) -> slicer.vtkMRMLViewNode:
        node = slicer.vtkMRMLViewNode()
        node.SetSingletonTag("1")
        node.SetName("View1")
        node.SetLayoutName("1")
        return self._scene.AddNode(node)
