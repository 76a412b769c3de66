"""Stand-in for qMRMLNodeComboBox on a real scene."""

from __future__ import annotations

import slicer
from PySide6 import QtWidgets

from .scene_observer import SceneObserver
from .stand_in import StandIn, plain, through


class QMRMLNodeComboBox(StandIn, QtWidgets.QWidget):
    """Stand-in for qMRMLNodeComboBox: lists the nodes of some classes and follows the scene.

    The actions of the real menu (create, rename, delete) are methods only; `addMenuAction` keeps its action.
    """

    slicer_class = "qMRMLNodeComboBox"
    own_signals = (
        *("currentNodeChanged(bool)", "currentNodeChanged(vtkMRMLNode*)", "currentNodeIDChanged(QString)"),
        *("currentNodeRenamed(QString)", "nodeAboutToBeEdited(vtkMRMLNode*)", "nodeAboutToBeRemoved(vtkMRMLNode*)"),
        *("nodeActivated(vtkMRMLNode*)", "nodeAdded(vtkMRMLNode*)", "nodeAddedByUser(vtkMRMLNode*)"),
    )

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._combo = QtWidgets.QComboBox(self)
        self._combo.setPlaceholderText("Select")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._combo)
        self._scene = SceneObserver(self._node_added, self._node_removed, self._refresh)
        self._attributes: dict[tuple[str, str], str | None] = {}
        self._requested: str | None = None
        self._told: str | None = None
        self._combo.currentIndexChanged.connect(self._announce)
        self._combo.activated.connect(lambda _i: self.emit_own("nodeActivated(vtkMRMLNode*)", self.currentNode()))
        self.destroyed.connect(self._scene.release)
        self.setEnabled(False)

    p_nodeTypes = plain((), changed="_refresh")
    p_hideChildNodeTypes = plain((), changed="_refresh")
    p_showHidden = plain(False, changed="_refresh")
    p_showChildNodeTypes = plain(True, changed="_refresh")
    p_noneEnabled = plain(False, changed="_refresh")
    p_noneDisplay = plain("None", changed="_refresh")
    p_addEnabled = plain(True)
    p_removeEnabled = plain(True)
    p_editEnabled = plain(False)
    p_renameEnabled = plain(False)
    p_baseName = plain("")
    p_interactionNodeSingletonTag = plain("")
    p_selectNodeUponCreation = plain(True)
    p_sizeAdjustPolicy = plain(0)
    p_currentNodeID = through(
        lambda self: self._id_at(self._combo.currentIndex()), lambda self, i: self.setCurrentNodeID(i)
    )
    p_currentNodeId = p_currentNodeID

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        if scene is self._scene.scene:
            return
        self._scene.follow(scene)
        self._refresh()
        if self._requested is not None:
            self.setCurrentNodeID(self._requested)
            self._requested = None
        self.setEnabled(scene is not None)

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self._scene.scene

    def currentNode(self) -> slicer.vtkMRMLNode | None:
        node_id = self.p_currentNodeID
        return self._scene.scene.GetNodeByID(node_id) if self._scene.scene and node_id else None

    def setCurrentNode(self, node: slicer.vtkMRMLNode | str | None) -> None:
        """A node that is not listed selects nothing.

        Raises:
            ValueError: it is neither a node nor an identifier.
        """
        if node is not None and not isinstance(node, (str, slicer.vtkMRMLNode)):
            raise ValueError(f"setCurrentNode(vtkMRMLNode*) got {type(node).__name__}")
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node else "")

    def setCurrentNodeID(self, node_id: str | None) -> None:
        if self._scene.scene is None:
            self._requested = node_id
            return
        index = self._combo.findData(node_id or "")
        self._combo.setCurrentIndex(index if index >= 0 else 0 if self.p_noneEnabled else -1)

    def setCurrentNodeIndex(self, index: int) -> None:
        self._combo.setCurrentIndex(index + int(self.p_noneEnabled))

    def nodeCount(self) -> int:
        return self._combo.count() - int(self.p_noneEnabled and self._scene.scene is not None)

    def nodeFromIndex(self, index: int) -> slicer.vtkMRMLNode | None:
        return self._scene.scene.GetNodeByID(self._id_at(index + int(self.p_noneEnabled)))

    def addAttribute(self, node_type: str, name: str, value: object = None) -> None:
        self._attributes[node_type, name] = None if value is None else str(value)
        self._refresh()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes.pop((node_type, name), None)
        self._refresh()

    def addNode(self, node_type: str | None = None) -> slicer.vtkMRMLNode | None:
        """What the user's "Create new" does."""
        node_type = node_type or next(iter(self.p_nodeTypes), None)
        if self._scene.scene is None or node_type not in self.p_nodeTypes:
            return None
        name = self._scene.scene.GenerateUniqueName(self.p_baseName) if self.p_baseName else ""
        node = self._scene.scene.AddNewNodeByClass(node_type, name)
        for (attributed, attribute), value in self._attributes.items():
            if attributed == node_type and value is not None:
                node.SetAttribute(attribute, value)
        self._refresh()
        if self.p_selectNodeUponCreation:
            self.setCurrentNode(node)
        self.emit_own("nodeAddedByUser(vtkMRMLNode*)", node)
        return node

    def removeCurrentNode(self) -> None:
        """What the user's "Delete current" does."""
        node = self.currentNode()
        if node is not None:
            self._scene.scene.RemoveNode(node)

    def addMenuAction(self, action: object) -> None:
        self.__dict__.setdefault("_actions", []).append(action)

    def emitCurrentNodeChanged(self) -> None:
        node = self.currentNode()
        self.emit_own("currentNodeChanged(vtkMRMLNode*)", node)
        self.emit_own("currentNodeChanged(bool)", node is not None)
        self.emit_own("currentNodeIDChanged(QString)", node.GetID() if node else "")

    def _id_at(self, index: int) -> str:
        return self._combo.itemData(index) or "" if index >= 0 else ""

    def _accepts(self, node: slicer.vtkMRMLNode) -> bool:
        if node.GetHideFromEditors() and not self.p_showHidden:
            return False
        exact = not self.p_showChildNodeTypes
        kind = next((t for t in self.p_nodeTypes if (node.GetClassName() == t if exact else node.IsA(t))), None)
        if kind is None or any(node.IsA(hidden) for hidden in self.p_hideChildNodeTypes):
            return False
        wanted = {name: value for (typed, name), value in self._attributes.items() if typed == kind}
        return all(
            node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name))
            for name, value in wanted.items()
        )

    def _refresh(self) -> None:
        """Read the scene again, and keep the current node where it still is."""
        before = self.p_currentNodeID
        self._combo.blockSignals(True)
        self._combo.clear()
        if self._scene.scene is not None:
            if self.p_noneEnabled:
                self._combo.addItem(self.p_noneDisplay, "")
            for node in filter(self._accepts, self._scene.nodes()):
                self._combo.addItem(node.GetName(), node.GetID())
        index = self._combo.findData(before) if before else -1
        self._combo.setCurrentIndex(index if index >= 0 else self._fallback(before))
        self._combo.blockSignals(False)
        self._announce()

    def _fallback(self, lost: str) -> int:
        """After the current node is gone: None where it is offered, else the last node, as the real box does."""
        if self.p_noneEnabled:
            return 0
        return self._combo.count() - 1 if lost else -1

    def _announce(self, _index: int = 0) -> None:
        if self.p_currentNodeID != self._told:
            first, self._told = self._told is None, self.p_currentNodeID
            if not (first and not self._told):
                self.emitCurrentNodeChanged()

    def _node_added(self, node: slicer.vtkMRMLNode) -> None:
        if self._accepts(node):
            self._refresh()
            self.emit_own("nodeAdded(vtkMRMLNode*)", node)

    def _node_removed(self, node: slicer.vtkMRMLNode) -> None:
        if self._combo.findData(node.GetID()) >= 0:
            self.emit_own("nodeAboutToBeRemoved(vtkMRMLNode*)", node)
            self._scene.leaving = node.GetID()
            self._refresh()
            self._scene.leaving = None
