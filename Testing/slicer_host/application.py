"""Stand-in for slicer.app: versions and paths of a Slicer 5.8.1, the rest from the real QApplication."""

from __future__ import annotations

from pathlib import Path

import slicer
from PySide6 import QtCore, QtWidgets

from .io_manager import IOManager
from .layout import LayoutManager
from .modules import ModuleManager
from .settings import Settings
from .stand_in import StandIn, plain, through

VERSION = "5.8.1"
REVISION = "33241"


class MainWindow(StandIn, QtWidgets.QMainWindow):
    """Stand-in for qSlicerMainWindow: the module panel, and a status bar."""

    slicer_class = "qSlicerMainWindow"

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = ModuleSelector(self)
        self.panel = QtWidgets.QScrollArea(self)
        self.panel.setWidgetResizable(True)
        self.panel.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setCentralWidget(self.panel)
        self.statusBar()

    def moduleSelector(self) -> ModuleSelector:
        return self._selector


class ModuleSelector(StandIn, QtWidgets.QToolBar):
    """Stand-in for qSlicerModuleSelectorToolBar."""

    slicer_class = "qSlicerModuleSelectorToolBar"
    own_signals = ("moduleSelected(QString)",)
    p_selectedModule = plain("")

    def selectModule(self, name: str) -> None:
        slicer.app._real.module_requests.append(name)
        if name != self.p_selectedModule:
            self.p_selectedModule = name
            self.emit_own("moduleSelected(QString)", name)


class Application(StandIn, QtCore.QObject):
    """Stand-in for qSlicerApplication."""

    slicer_class = "qSlicerApplication"
    own_signals = ("aboutToQuit()", "startupCompleted()", "mrmlSceneChanged(vtkMRMLScene*)", "renderPaused(bool)")

    def __init__(self, folder: Path, scene: slicer.vtkMRMLScene, logic: slicer.vtkMRMLApplicationLogic) -> None:
        super().__init__()
        self.folder, self._scene, self._logic = folder, scene, logic
        self.testing = False
        self.module_requests: list[str] = []
        self.exit_codes: list[int] = []
        self.translations: dict[str, str] = {}
        self._layouts = LayoutManager(scene, logic)
        self._modules, self._io = ModuleManager(), IOManager()

    p_applicationName = plain("Slicer")
    p_applicationVersion = through(lambda self: VERSION)
    p_majorVersion = through(lambda self: int(VERSION.split(".")[0]))
    p_minorVersion = through(lambda self: int(VERSION.split(".")[1]))
    p_revision = through(lambda self: REVISION)
    p_repositoryRevision = through(lambda self: "11eaf62")
    p_mainApplicationName = through(lambda self: "Slicer")
    p_mainApplicationMajorVersion = p_majorVersion
    p_mainApplicationMinorVersion = p_minorVersion
    p_mainApplicationPatchVersion = through(lambda self: int(VERSION.split(".")[2]))
    p_mainApplicationRevision = p_revision
    p_releaseType = through(lambda self: "Stable")
    p_slicerHome = through(lambda self: str(self.folder / "home"))
    p_slicerSharePath = through(lambda self: "share/Slicer-5.8")
    p_extensionsInstallPath = plain("")
    p_temporaryPath = through(lambda self: str(self.folder / "temporary"))
    p_cachePath = through(lambda self: str(self.folder / "cache"))
    p_startupWorkingPath = through(lambda self: str(self.folder))
    p_defaultScenePath = plain("")
    p_slicerUserSettingsFilePath = through(lambda self: Settings.path)
    p_slicerRevisionUserSettingsFilePath = through(lambda self: Settings.path)
    p_launcherExecutableFilePath = through(lambda self: "")
    p_documentationBaseUrl = through(lambda self: "https://slicer.readthedocs.io/en/5.8/")
    p_documentationVersion = through(lambda self: "5.8")
    p_documentationLanguage = through(lambda self: "en")
    p_applicationLocaleName = through(lambda self: "en_US")
    p_platform = through(lambda self: "linux-amd64")
    p_os = through(lambda self: "linux")
    p_arch = through(lambda self: "amd64")
    p_isInstalled = through(lambda self: True)
    p_intDir = through(lambda self: "")
    p_isCustomMainApplication = through(lambda self: False)

    def applicationLogic(self) -> slicer.vtkMRMLApplicationLogic:
        return self._logic

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return self._scene

    def layoutManager(self) -> LayoutManager:
        return self._layouts

    def moduleManager(self) -> ModuleManager:
        return self._modules

    def coreIOManager(self) -> IOManager:
        return self._io

    ioManager = coreIOManager

    def settings(self) -> Settings:
        return Settings()

    userSettings = revisionUserSettings = settings

    def testingEnabled(self) -> bool:
        return self.testing

    def moduleLogic(self, name: str) -> object | None:
        module = self._modules.module(name)
        return module.logic() if module else None

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.p_documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def setRenderPaused(self, is_paused: bool) -> None:
        """Views are counted, so that each pause needs a resume of its own."""
        self._layouts.setRenderPaused(is_paused)
        self.emit_own("renderPaused(bool)", is_paused)

    def pauseRender(self) -> None:
        self.setRenderPaused(True)

    def resumeRender(self) -> None:
        self.setRenderPaused(False)

    def openNodeModule(self, node: slicer.vtkMRMLNode, *_role: object) -> None:
        self.module_requests.append(node.GetClassName())

    def exit(self, code: int = 0) -> None:
        """Only noted: SlicerHost.quit() does the leaving."""
        self.exit_codes.append(code)

    def quit(self) -> None:
        self.exit(0)

    def restart(self) -> None:
        self.exit(-1)

    def translate(self, context: str, text: str, *more: object) -> str:
        """Host.application.translations is asked first."""
        return self.translations.get(text) or QtCore.QCoreApplication.translate(context, text, *more)

    def __getattr__(self, name: str) -> object:
        """What every QApplication has."""
        if name.startswith(("p_", "__")):
            raise AttributeError(name)
        return getattr(QtWidgets.QApplication.instance(), name)
