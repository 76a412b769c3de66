"""Stand-ins for the qMRML and qSlicer widgets that hold a scene."""

from __future__ import annotations

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .ctk_widgets import CtkSliderWidget
from .stand_in import StandIn, plain, through

SCENE_CHANGED = "mrmlSceneChanged(vtkMRMLScene*)"


class QMRMLWidget(StandIn, QtWidgets.QWidget):
    """Stand-in for qMRMLWidget: a widget that knows the scene and tells its children."""

    slicer_class = "qMRMLWidget"
    own_signals = (SCENE_CHANGED,)
    scene: slicer.vtkMRMLScene | None = None

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        if scene is not self.scene:
            self.scene = scene
            self.emit_own(SCENE_CHANGED, scene)

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self.scene


class QSlicerWidget(QMRMLWidget):
    """Stand-in for qSlicerWidget."""

    slicer_class = "qSlicerWidget"


class QMRMLSliderWidget(CtkSliderWidget):
    """Stand-in for qMRMLSliderWidget; it takes no units from the scene."""

    slicer_class = "qMRMLSliderWidget"
    scene: slicer.vtkMRMLScene | None = None
    p_quantity = plain("")
    p_unitAwareProperties = plain(0)
    p_orientation = plain(1)

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        self.scene = scene

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self.scene

    def setQuantity(self, quantity: str) -> None:
        self.p_quantity = quantity


class QMRMLSegmentsTableView(StandIn, QtWidgets.QWidget):
    """Stand-in for qMRMLSegmentsTableView: the names of the segments, and which are selected."""

    slicer_class = "qMRMLSegmentsTableView"
    own_signals = (
        SCENE_CHANGED,
        "segmentAboutToBeModified(QString)",
        "selectionChanged(QItemSelection,QItemSelection)",
    )
    scene: slicer.vtkMRMLScene | None = None

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._list = QtWidgets.QListWidget(self)
        QtWidgets.QVBoxLayout(self).addWidget(self._list)
        self._node: slicer.vtkMRMLSegmentationNode | None = None
        self._tags: list[tuple[object, int]] = []
        model = self._list.selectionModel()
        model.selectionChanged.connect(lambda on, off: self.emit_own(self.own_signals[2], on, off))
        self.destroyed.connect(lambda *_: self._release())
        self.p_selectionMode = 3

    p_segmentCount = through(lambda self: self._list.count())
    p_selectionMode = through(
        lambda self: self._list.selectionMode().value, lambda self, mode: self.setSelectionMode(mode)
    )
    p_headerVisible = plain(True)
    p_visibilityColumnVisible = plain(True)
    p_colorColumnVisible = plain(True)
    p_opacityColumnVisible = plain(True)
    p_statusColumnVisible = plain(False)
    p_layerColumnVisible = plain(False)
    p_readOnly = plain(False)
    p_filterBarVisible = plain(False)
    p_textFilter = plain("")
    p_jumpToSelectedSegmentEnabled = plain(False)
    p_useTerminologySelector = plain(True)
    p_useTerminologySelectorSettingsKey = plain("")
    p_terminologySelectorOptionVisible = plain(False)
    p_terminologySelectorAutoDisable = plain(True)

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        self.scene = scene
        self.emit_own(SCENE_CHANGED, scene)

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self.scene

    def segmentationNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        return self._node

    def setSegmentationNode(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        self._release()
        self._node = node
        if node is not None:
            events = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified")
            for name in events:
                event = getattr(slicer.vtkSegmentation, name)
                self._tags.append((node, node.AddObserver(event, lambda *_: self._refresh())))
        self._refresh()

    def selectedSegmentIDs(self) -> list[str]:
        return [item.data(QtCore.Qt.ItemDataRole.UserRole) for item in self._list.selectedItems()]

    def setSelectedSegmentIDs(self, segment_ids: list[str]) -> None:
        for row in range(self._list.count()):
            item = self._list.item(row)
            item.setSelected(item.data(QtCore.Qt.ItemDataRole.UserRole) in segment_ids)

    def clearSelection(self) -> None:
        self._list.clearSelection()

    def displayedSegmentIDs(self) -> list[str]:
        return [self.segmentIDForRow(row) for row in range(self._list.count())]

    def segmentIDForRow(self, row: int) -> str:
        return self._list.item(row).data(QtCore.Qt.ItemDataRole.UserRole)

    def rowForSegmentID(self, segment_id: str) -> int:
        return self.displayedSegmentIDs().index(segment_id) if segment_id in self.displayedSegmentIDs() else -1

    def setSelectionMode(self, mode: int) -> None:
        self._list.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode(int(mode)))

    def _refresh(self) -> None:
        selected = self.selectedSegmentIDs()
        self._list.clear()
        segmentation = self._node.GetSegmentation() if self._node else None
        for index in range(segmentation.GetNumberOfSegments() if segmentation else 0):
            segment_id = segmentation.GetNthSegmentID(index)
            item = QtWidgets.QListWidgetItem(segmentation.GetSegment(segment_id).GetName(), self._list)
            item.setData(QtCore.Qt.ItemDataRole.UserRole, segment_id)
        self.setSelectedSegmentIDs(selected)

    def _release(self) -> None:
        for node, tag in self._tags:
            node.RemoveObserver(tag)
        self._tags.clear()


class QSlicerMarkupsPlaceWidget(StandIn, QtWidgets.QWidget):
    """Stand-in for qSlicerMarkupsPlaceWidget: place mode through the scene's real interaction and selection nodes.

    Nothing places points by itself, there being no views: SlicerHost.place_point() does what a click would do.
    """

    slicer_class = "qSlicerMarkupsPlaceWidget"
    own_signals = ("activeMarkupsFiducialPlaceModeChanged(bool)", "activeMarkupsPlaceModeChanged(bool)", SCENE_CHANGED)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._button = QtWidgets.QToolButton(self)
        self._button.setText("Place")
        self._button.setCheckable(True)
        self._delete = QtWidgets.QToolButton(self)
        row = QtWidgets.QHBoxLayout(self)
        row.addWidget(self._button)
        row.addWidget(self._delete)
        self._scene: slicer.vtkMRMLScene | None = None
        self._node: slicer.vtkMRMLMarkupsNode | None = None
        self._interaction: slicer.vtkMRMLInteractionNode | None = None
        self._tags: list[tuple[object, int]] = []
        self._was_placing = False
        self._button.toggled.connect(self.setPlaceModeEnabled)
        self.destroyed.connect(lambda *_: self._release())

    p_buttonsVisible = plain(True)
    p_deleteAllControlPointsOptionVisible = plain(True)
    p_deleteAllMarkupsOptionVisible = plain(True)
    p_unsetLastControlPointOptionVisible = plain(False)
    p_unsetAllControlPointsOptionVisible = plain(False)
    p_placeMultipleMarkups = plain(0)
    p_nodeColor = plain(None)
    p_defaultNodeColor = plain(None)
    p_currentNodeActive = through(lambda self: self._active(), lambda self, on: self.setCurrentNodeActive(on))
    p_placeModeEnabled = through(lambda self: self._placing(), lambda self, on: self.setPlaceModeEnabled(on))
    p_placeModePersistency = through(
        lambda self: bool(self._interaction and self._interaction.GetPlaceModePersistence()),
        lambda self, on: self.setPlaceModePersistency(on),
    )
    ShowPlaceMultipleMarkupsOption, HidePlaceMultipleMarkupsOption = 0, 1
    ForcePlaceSingleMarkup, ForcePlaceMultipleMarkups = 2, 3

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        self._release()
        self._scene = scene
        self._interaction = scene.GetNodeByID("vtkMRMLInteractionNodeSingleton") if scene else None
        for node in (self._interaction, self.selectionNode()):
            if node is not None:
                self._tags.append((node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update())))
        if self._interaction is not None:
            event = slicer.vtkMRMLInteractionNode.InteractionModeChangedEvent
            self._tags.append((self._interaction, self._interaction.AddObserver(event, lambda *_: self._update())))
        self.emit_own(SCENE_CHANGED, scene)

    def setCurrentNode(self, node: slicer.vtkMRMLMarkupsNode | None) -> None:
        self._node = node
        self._update()

    def currentNode(self) -> slicer.vtkMRMLMarkupsNode | None:
        return self._node if self._node is not None and self._node.GetScene() is not None else None

    currentMarkupsNode = currentNode

    def interactionNode(self) -> slicer.vtkMRMLInteractionNode | None:
        return self._interaction

    def selectionNode(self) -> slicer.vtkMRMLSelectionNode | None:
        return self._scene.GetNodeByID("vtkMRMLSelectionNodeSingleton") if self._scene else None

    def placeButton(self) -> QtWidgets.QToolButton:
        return self._button

    def deleteButton(self) -> QtWidgets.QToolButton:
        return self._delete

    def setCurrentNodeActive(self, on: bool) -> None:
        node, selection = self.currentNode(), self.selectionNode()
        if node is None or selection is None:
            return
        if on:
            selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
            selection.SetActivePlaceNodeID(node.GetID())
        elif self._active():
            selection.SetActivePlaceNodeID(None)

    def setPlaceModeEnabled(self, on: bool) -> None:
        if self._interaction is None or self.currentNode() is None:
            return
        if on:
            self.setCurrentNodeActive(True)
            self.setPlaceModePersistency(int(self.p_placeMultipleMarkups) == self.ForcePlaceMultipleMarkups)
            self._interaction.SetCurrentInteractionMode(self._interaction.Place)
        elif self._placing():
            self._interaction.SetCurrentInteractionMode(self._interaction.ViewTransform)

    def setPlaceModePersistency(self, on: bool) -> None:
        if self._interaction is not None:
            self._interaction.SetPlaceModePersistence(int(on))

    def setPlaceMultipleMarkups(self, option: int) -> None:
        self.p_placeMultipleMarkups = option

    def setButtonsVisible(self, on: bool) -> None:
        self.p_buttonsVisible = on

    def deleteLastPoint(self) -> None:
        node = self.currentNode()
        if node is not None and node.GetNumberOfControlPoints():
            node.RemoveNthControlPoint(node.GetNumberOfControlPoints() - 1)

    def deleteAllPoints(self) -> None:
        if self.currentNode() is not None:
            self.currentNode().RemoveAllControlPoints()

    def _active(self) -> bool:
        node, selection = self.currentNode(), self.selectionNode()
        return bool(node and selection and selection.GetActivePlaceNodeID() == node.GetID())

    def _placing(self) -> bool:
        mode = self._interaction.GetCurrentInteractionMode() if self._interaction else None
        return self._active() and mode == self._interaction.Place

    def _update(self) -> None:
        placing = self._placing()
        with QtCore.QSignalBlocker(self._button):
            self._button.setChecked(placing)
        if placing != self._was_placing:
            self._was_placing = placing
            self.emit_own("activeMarkupsFiducialPlaceModeChanged(bool)", placing)
            self.emit_own("activeMarkupsPlaceModeChanged(bool)", placing)

    def _release(self) -> None:
        for node, tag in self._tags:
            node.RemoveObserver(tag)
        self._tags.clear()
