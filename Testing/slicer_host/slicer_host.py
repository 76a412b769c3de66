"""The host as a test sees it: install it, open a module, press its buttons, close scenes, look for leaks."""

from __future__ import annotations

import os
import sys
import tempfile
import types
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
from PySide6 import QtCore, QtWidgets

from . import dialogs, errors, event_loop, leaks, pictures, wrappers
from .application import Application, MainWindow
from .errors import HostError
from .immortal_none import keep_none
from .installing import Patches, add_submodules, patch_slicer, patch_util, restore_modules
from .io_manager import read_scene, write_scene
from .modules import LoadableModule, Modules, ScriptedModule
from .qt_module import make_ctk, make_qt
from .rendering import Rendering
from .scenes import module_logics, new_scene
from .settings import Settings
from .wrappers import Wrapper, wrap

PATIENCE_S = 180.0
"""After which something has gone wrong, on a busy machine too."""


class SlicerHost:
    """One run of a pretended 3D Slicer. Use as a context manager, or install() and uninstall().

    messages: every message box that was shown, oldest first.
    answers: what the user will answer to the next questions of slicer.util; True is Yes, OK or Retry.
    dialog_answers: what the next modal dialogs of qt (exec_, QFileDialog.getOpenFileName ...) return.
    """

    def __init__(self) -> None:
        keep_none()
        self.qt_application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-host-")
        self._patches = Patches()
        self._modules_before: dict[str, types.ModuleType] = {}
        self._opened: ScriptedModule | None = None

    def __enter__(self) -> SlicerHost:
        self.install()
        return self

    def __exit__(self, *_raised: object) -> None:
        self.uninstall()

    def install(self) -> None:
        """Put qt, ctk and what slicer-core lacks into place, with a new, empty scene."""
        self._modules_before, self._path_before = dict(sys.modules), list(sys.path)
        errors.recorded.clear()
        wrappers.made.clear()
        dialogs.dialog_answers.clear()
        sys.modules["qt"], sys.modules["ctk"] = make_qt(), make_ctk()
        from . import user_messages

        self.user = user_messages.UserMessages()
        self.messages, self.answers, self.dialog_answers = self.user.shown, self.user.answers, dialogs.dialog_answers
        self.scene, logic = new_scene()
        self._prepare_folders()
        self.application = Application(Path(self._folder.name), self.scene, logic)
        self.modules = Modules()
        self.modules.sampleDataSources = {}
        patch_slicer(self._patches, {"app": wrap(self.application), "mrmlScene": self.scene, "modules": self.modules})
        patch_util(self._patches, self.user.overrides())
        add_submodules(self._patches)
        sys.modules["SampleData"] = user_messages.sample_data(self.modules)
        self._patches.set(sys, "excepthook", errors.excepthook)
        self.main_window = MainWindow()
        self.main_window.moduleSelector().listeners("moduleSelected(QString)").append(self._on_module_selected)
        self._logics = module_logics(self.scene, logic)
        for name, module_logic in self._logics.items():
            self.add_module(name, module_logic)
        lasting = [self.application, self.application.moduleManager(), self.application.layoutManager()]
        lasting += [self.application.coreIOManager(), self.main_window]
        self._before = leaks.baseline(self.scene, lasting, self.rendering.views)

    def uninstall(self) -> None:
        """Unload the module, and leave sys.modules and the package slicer as they were."""
        try:
            self.unload_module()
        finally:
            leaks.end_what_is_left()
            self.application.layoutManager().leave_scene()
            self.scene.Clear(1)
            for module_logic in filter(None, self._logics.values()):
                module_logic.SetMRMLScene(None)  # which keeps the scene alive otherwise
            self.application.applicationLogic().GetColorLogic().SetMRMLScene(None)
            self.main_window.deleteLater()
            self.run_events()
            self._patches.undo()
            restore_modules(self._modules_before)
            for name in ("qt", "ctk", "SampleData", "slicer.i18n", "slicer.parameterNodeWrapper"):
                self._forget(name)
            self._forget("slicer.ScriptedLoadableModule")
            sys.path[:] = self._path_before
            self._folder.cleanup()

    # The module

    def open_module(self, path: Path | str) -> object:
        """Load a scripted module's file, set its panel up and enter it; the answer is the module's widget object."""
        path = Path(path)
        module = ScriptedModule(path.resolve())
        self._register(path.stem, module)
        module.instantiate()
        self.application.emit_own("startupCompleted()")
        self._before = leaks.with_connections_of_now(self._before)
        representation = module.widgetRepresentation()
        self._opened = module
        self.main_window.panel.setWidget(representation)
        self.main_window.resize(520, 900)
        self.main_window.show()
        self.main_window.moduleSelector().selectModule(path.stem)
        self.run_events()
        self.check()
        return representation.self()

    @property
    def panel(self) -> QtWidgets.QWidget:
        """The real Qt widget that holds the module's panel."""
        return self._module().widgetRepresentation()

    @property
    def python_widget(self) -> object:
        """The module's widget object, the new one after a reload."""
        return self.panel.self()

    def enter_module(self) -> None:
        """The user chooses the module: enter() is called."""
        slicer.util.selectModule(self._module().p_name)
        self.check()

    def leave_module(self, to: str = "Data") -> None:
        """The user chooses another module: exit() is called, the panel stays."""
        slicer.util.selectModule(to)
        self.check()

    def reload_module(self) -> object:
        """What the button Reload does; the answer is the new widget object."""
        slicer.util.reloadScriptedModule(self._module().p_name)
        self.run_events()
        self.check()
        return self.python_widget

    def unload_module(self) -> None:
        """cleanup() is called, then the panel is deleted; exit() is not called, as when Slicer quits."""
        if self._opened is None:
            return
        module, self._opened = self._opened, None
        self.application.moduleManager().emit_own("moduleAboutToBeUnloaded(QString)", module.p_name)
        panel = self.main_window.panel.takeWidget()
        if panel is not None:
            panel.deleteLater()
        for name in (f"{module.p_name}Widget", module.p_name.lower()):
            vars(self.modules).pop(name, None)
        sys.modules.pop(module.p_name, None)
        self.application.moduleManager().known.pop(module.p_name.lower(), None)
        slicer.selfTests.pop(module.p_name, None)
        self.run_events()
        self.check()

    def quit(self) -> None:
        """aboutToQuit(), then the module is unloaded."""
        self.application.emit_own("aboutToQuit()")
        self.unload_module()

    def add_module(self, name: str, logic: object | None = None) -> LoadableModule:
        """Pretend that another module is installed, such as "OpenIGTLinkIF"."""
        module = LoadableModule(name, logic)
        self._register(name, module)
        return module

    def remove_module(self, name: str) -> None:
        """Pretend that it is not."""
        vars(self.modules).pop(name.lower(), None)
        self.application.moduleManager().known.pop(name.lower(), None)

    def add_to_slicer(self, name: str, value: object) -> None:
        """Give slicer a class that slicer-core lacks, such as a stand-in for vtkMRMLIGTLConnectorNode."""
        self._patches.set(slicer, name, value)

    @property
    def rendering(self) -> Rendering:
        """When the views render, what that costs, and by which clock."""
        return self.application.layoutManager().rendering

    # The user

    def turn_camera(self) -> None:
        """Drag in the 3D view by one step: its interactor asks for a render."""
        self.application.layoutManager().threeDWidget(0).threeDView().scheduleRender()
        self.check()

    def widget(self, name: str) -> Wrapper:
        """A widget of the panel by its object name, as the module sees it.

        Raises:
            HostError: there is none.
        """
        found = self.panel.findChildren(QtWidgets.QWidget, name)
        if not found:
            raise HostError(f"the panel has no widget named {name}")
        return wrap(found[-1])  # after a reload the old ones are there as well, hidden

    def press(self, name: str) -> None:
        """Click a button.

        Raises:
            HostError: the user could not: it is disabled or hidden; or a slot raised.
        """
        button = self.widget(name)._real
        if not button.isEnabled() or not button.isVisibleTo(self.panel):
            state = "disabled" if button.isVisibleTo(self.panel) else "hidden"
            raise HostError(f"{name} cannot be pressed: it is {state}")
        button.click()
        self.check()

    def place_point(self, position_ras_mm: tuple[float, float, float]) -> None:
        """Click into a view in place mode: the active markups node gets a point; place mode ends unless it persists.

        Raises:
            HostError: nothing is being placed.
        """
        interaction = self.scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
        selection = self.scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
        node = self.scene.GetNodeByID(selection.GetActivePlaceNodeID() or "")
        if node is None or interaction.GetCurrentInteractionMode() != interaction.Place:
            raise HostError("no markups node is in place mode")
        node.AddControlPoint(*position_ras_mm)
        if not interaction.GetPlaceModePersistence():
            interaction.SwitchToViewTransformMode()
        self.check()

    # Time

    def run_events(self) -> None:
        """What is waiting, deferred deletions included."""
        for _ in range(2):
            self.qt_application.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)
            self.qt_application.processEvents()

    def run_for(self, seconds: float) -> None:
        """Run Qt's event loop, Python threads starving as in Slicer."""
        event_loop.run_for(seconds)
        self.check()

    def run_until(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Run it until the condition holds.

        Raises:
            HostError: it does not within the time, or a slot raised.
        """
        holds = event_loop.run_until(condition, timeout_s, on_turn=self.check)
        if not holds:
            raise HostError(f"the condition did not hold within {timeout_s} s")

    def check(self) -> None:
        """Raise what left a slot, timer or observer as an exception; Slicer would only print it."""
        errors.raise_recorded()

    def expecting_errors(self) -> AbstractContextManager[list[BaseException]]:
        """`with` this, exceptions in slots are collected in a list instead of raised."""
        return errors.expecting()

    # The scene

    def close_scene(self) -> None:
        """File, Close scene: StartCloseEvent, everything removed but singletons, EndCloseEvent."""
        self.scene.Clear(0)
        self.check()

    def save_scene(self, path: Path | str) -> None:
        """Save as .mrb or .mrml.

        Raises:
            HostError: it cannot be written.
        """
        if not write_scene(self.scene, Path(path).resolve()):
            raise HostError(f"cannot write {path}")
        self.check()

    def load_scene(self, path: Path | str, clear: bool = True) -> None:
        """Open a saved scene in place of the present one, or import it into it.

        Raises:
            HostError: it cannot be read.
        """
        if not read_scene(self.scene, Path(path).resolve(), clear):
            raise HostError(f"cannot read {path}")
        self.check()

    # Looking

    def leaks(self) -> leaks.Leaks:
        """What the module left behind; look after unload_module(), where everything should be empty."""
        widget = vars(self.modules).get(f"{self._opened.p_name}Widget") if self._opened else None
        return leaks.look(self.scene, self._before, [w for w in (widget, getattr(widget, "logic", None)) if w])

    def screenshot(self, path: Path | str, scale: float = 1.0, width: int = 520) -> None:
        """A picture of the panel, as high as its contents, scale times as many pixels as width says.

        Raises:
            HostError: it cannot be written.
        """
        pictures.take(self.main_window, self.panel, self.run_events, Path(path), scale, width)

    def use_dark_style(self) -> None:
        """Slicer's dark look, as in most operating rooms; until uninstall()."""
        pictures.make_dark(self.qt_application, self._patches)

    # Inside

    def _on_module_selected(self, name: str) -> None:
        panel = self._opened.widgetRepresentation() if self._opened else None
        if panel is not None and name == self._opened.p_name:
            panel.enter()
        elif panel is not None and panel.isEntered():
            panel.exit()

    def _module(self) -> ScriptedModule:
        if self._opened is None:
            raise HostError("no module is open")
        return self._opened

    def _register(self, name: str, module: QtCore.QObject) -> None:
        self.application.moduleManager().known[name.lower()] = module
        setattr(self.modules, name.lower(), wrap(module))

    def _prepare_folders(self) -> None:
        for name in ("temporary", "cache", "home"):
            (Path(self._folder.name) / name).mkdir(exist_ok=True)
        self.scene.GetCacheManager().SetRemoteCacheDirectory(str(Path(self._folder.name) / "cache"))
        Settings.path = str(Path(self._folder.name) / "Slicer.ini")

    def _forget(self, name: str) -> None:
        if name not in self._modules_before:
            sys.modules.pop(name, None)
