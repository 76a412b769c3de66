"""A small scripted module for the host's own tests: a parameter node, a timer, a process, observers."""

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Mode(Enum):
    FAST = "fast"
    EXACT = "exact"


@parameterNodeWrapper
class SampleParameterNode:
    volume: slicer.vtkMRMLScalarVolumeNode
    size: Annotated[float, WithinRange(5.0, 90.0)] = 40.0
    follow: bool = True
    mode: Mode = Mode.EXACT
    hostName: str = "localhost"
    port: Annotated[int, WithinRange(1, 65535), Default(18944)]
    case: Path
    names: list[str]


class Sample(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Sample")
        self.parent.categories = ["Testing"]


class SampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.ticks = 0
        self._parameterNode: Optional[SampleParameterNode] = None
        self._guiTag = None
        self.shortcut = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/Sample.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = SampleLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.startButton.connect("clicked(bool)", self.onStart)
        self.ui.failButton.clicked.connect(self.onFail)
        self.timer = qt.QTimer()
        self.timer.setInterval(5)
        self.timer.connect("timeout()", self.onTick)
        self.initializeParameterNode()

    def cleanup(self):
        self.timer.stop()
        self.logic.stop()
        self.removeShortcut()
        self.disconnectGui()
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()
        self.shortcut = qt.QShortcut(qt.QKeySequence("F9"), slicer.util.mainWindow())
        self.shortcut.connect("activated()", lambda: self.onStart(False))

    def exit(self):
        self.removeShortcut()
        self.disconnectGui()

    def removeShortcut(self):
        if self.shortcut is not None:
            self.shortcut.setParent(None)
            self.shortcut.deleteLater()
            self.shortcut = None

    def onSceneStartClose(self, caller, event):
        self.disconnectGui()
        self._parameterNode = None

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered():
            self.initializeParameterNode()

    def initializeParameterNode(self):
        self.disconnectGui()
        self._parameterNode = self.logic.getParameterNode()
        self._guiTag = self._parameterNode.connectGui(self.ui)

    def disconnectGui(self):
        if self._parameterNode and self._guiTag is not None:
            self._parameterNode.disconnectGui(self._guiTag)
        self._guiTag = None

    def onStart(self, checked):
        self.ui.statusLabel.text = _("Running {name}").format(name="sample")
        self.timer.start()
        self.logic.start()

    def onFail(self):
        with slicer.util.tryWithErrorDisplay(_("It failed"), waitCursor=True):
            raise RuntimeError("on purpose")

    def onTick(self):
        self.ticks += 1
        self.ui.progressBar.value = min(self.ticks, self.ui.progressBar.maximum)


class SampleLogic(ScriptedLoadableModuleLogic):
    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self.process = None
        self.received = b""

    def getParameterNode(self):
        return SampleParameterNode(super().getParameterNode())

    def start(self):
        self.process = qt.QProcess()
        self.process.connect("readyReadStandardOutput()", self.onOutput)
        self.process.start(sys.executable, ["-c", "import sys; sys.stdout.write(sys.stdin.readline())"])
        self.process.write(qt.QByteArray(b"hello\n"))

    def onOutput(self):
        self.received += self.process.readAllStandardOutput().data()

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.waitForFinished(1000)


class SampleTest(ScriptedLoadableModuleTest):
    def test_matrix(self):
        self.assertEqual(vtk.vtkMatrix4x4().GetElement(0, 0), 1.0)
