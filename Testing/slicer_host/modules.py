"""Stand-ins for what Slicer keeps of a module: slicer.modules, module objects, their widgets, the module manager."""

from __future__ import annotations

import importlib.util
import sys
import types
from functools import cache
from pathlib import Path

from PySide6 import QtCore, QtWidgets

from .errors import HostError
from .mrml_widgets import QSlicerWidget
from .stand_in import StandIn, plain, through
from .wrappers import wrap


class Modules:
    """Stand-in for slicer.modules: an attribute for each module, AttributeError for the rest."""

    def __getattr__(self, name: str) -> object:
        raise AttributeError(f"module 'modules' has no attribute '{name}'")


class LoadableModule(StandIn, QtCore.QObject):
    """Stand-in for a C++ module: its name and its real logic."""

    slicer_class = "qSlicerAbstractModule"

    def __init__(self, name: str, logic: object | None = None) -> None:
        super().__init__()
        self.module_name, self._logic = name, logic
        self._widget: QtWidgets.QWidget | None = None

    p_name = through(lambda self: self.module_name)
    p_title = through(lambda self: self.module_name)
    p_path = through(lambda self: "")
    p_categories = through(lambda self: ())
    p_dependencies = through(lambda self: ())
    p_hidden = through(lambda self: False)

    def logic(self) -> object | None:
        return self._logic

    def widgetRepresentation(self) -> QtWidgets.QWidget:
        if self._widget is None:
            self._widget = QSlicerWidget()
        return self._widget


class ScriptedModule(StandIn, QtCore.QObject):
    """Stand-in for qSlicerScriptedLoadableModule: made from a module's unchanged .py file."""

    slicer_class = "qSlicerScriptedLoadableModule"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path
        self.python_self: object = None
        self._widget: ScriptedModuleWidget | None = None

    p_name = through(lambda self: self.source.stem)
    p_path = through(lambda self: str(self.source))
    p_title = plain("")
    p_categories = plain(())
    p_contributors = plain(())
    p_dependencies = plain(())
    p_associatedNodeTypes = plain(())
    p_helpText = plain("")
    p_acknowledgementText = plain("")
    p_hidden = plain(False)
    p_index = plain(-1)
    p_icon = plain(None)
    p_extensions = plain(None)
    p_widgetRepresentationCreationEnabled = plain(True)

    def instantiate(self) -> None:
        """Load the source and make its module class.

        Raises:
            HostError: the file has no class of its own name.
        """
        module = load_source(self.source)
        if not hasattr(module, self.source.stem):
            raise HostError(f"{self.source.name} has no class {self.source.stem}")
        self.python_self = getattr(module, self.source.stem)(wrap(self))

    def logic(self) -> None:
        """A scripted module's C++ logic is of no use to Python."""

    def widgetRepresentation(self) -> ScriptedModuleWidget:
        if self._widget is None or not _is_alive(self._widget):
            self._widget = self.createNewWidgetRepresentation()
        return self._widget

    def createNewWidgetRepresentation(self) -> ScriptedModuleWidget:
        import slicer

        widget = ScriptedModuleWidget(self)
        widget.setPythonSource(str(self.source))
        widget.setup()
        widget.setMRMLScene(slicer.mrmlScene)
        return widget

    def pythonSource(self) -> str:
        return str(self.source)


class ScriptedModuleWidget(QSlicerWidget):
    """Stand-in for qSlicerScriptedLoadableModuleWidget: the panel, and the way to the module's own widget class."""

    slicer_class = "qSlicerScriptedLoadableModuleWidget"

    def __init__(self, module: ScriptedModule) -> None:
        super().__init__()
        self._module = module
        self._python: object = None
        self._entered = False
        self.setObjectName(f"{module.source.stem}ModuleWidget")
        QtWidgets.QVBoxLayout(self)

    def setPythonSource(self, _path: str) -> bool:
        import slicer

        name = f"{self._module.source.stem}Widget"
        module = sys.modules.get(self._module.source.stem) or load_source(self._module.source)
        self._python = getattr(module, name)(wrap(self))
        setattr(slicer.modules, name, self._python)
        return True

    def self(self) -> object:
        return self._python

    def setup(self) -> None:
        self._python.setup()

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._python, "enter"):
            self._python.enter()

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._python, "exit"):
            self._python.exit()

    def isEntered(self) -> bool:
        return self._entered

    def module(self) -> ScriptedModule:
        return self._module

    def reload(self) -> None:
        """The real one makes and sets up the new widget class; neither exit nor enter is called."""
        self.setPythonSource(str(self._module.source))
        self.setup()


class FactoryManager(StandIn, QtCore.QObject):
    """Stand-in for qSlicerModuleFactoryManager."""

    slicer_class = "qSlicerModuleFactoryManager"

    def __init__(self, known: dict[str, QtCore.QObject]) -> None:
        super().__init__()
        self._known = known

    def loadedModuleNames(self) -> list[str]:
        return [module.p_name for module in self._known.values()]

    instantiatedModuleNames = registeredModuleNames = loadedModuleNames

    def isLoaded(self, name: str) -> bool:
        return name in self.loadedModuleNames()


class ModuleManager(StandIn, QtCore.QObject):
    """Stand-in for qSlicerModuleManager."""

    slicer_class = "qSlicerModuleManager"
    own_signals = ("moduleLoaded(QString)", "moduleAboutToBeUnloaded(QString)", "moduleUnloaded(QString)")

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, QtCore.QObject] = {}
        self._factory = FactoryManager(self.known)

    def factoryManager(self) -> FactoryManager:
        return self._factory

    def module(self, name: str) -> QtCore.QObject | None:
        return self.known.get(name.lower())

    def modulesNames(self) -> list[str]:
        return self._factory.loadedModuleNames()


def load_source(path: Path) -> object:
    """Import a module's file under its own name, as Slicer does; its folder comes onto sys.path."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    exec(_compiled(path, path.stat().st_mtime_ns), vars(module))
    return module


@cache
def _compiled(path: Path, _changed_ns: int) -> types.CodeType:
    """What a file of bytecode is for; not everybody lets Python write one."""
    return compile(path.read_bytes(), path, "exec")


def _is_alive(widget: QtWidgets.QWidget) -> bool:
    import shiboken6

    return shiboken6.isValid(widget)
