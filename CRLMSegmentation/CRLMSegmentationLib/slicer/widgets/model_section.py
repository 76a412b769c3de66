"""The section Model: the choice of a model, and the import of others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt

from ...core.i18n import tr as _
from ..panel.model_texts import ModelView, model_view
from ..workspace.application import slicers_python
from ..workspace.open_workspace import OpenWorkspace
from ..workspace.workspace import Workspace
from .module_widget import ModuleWidget
from .server_section import ServerSection

FULL_PRECISION_KEY = "CRLMSegmentation/fullPrecision"
"""In the application's settings: "1" to compute in float32 whatever is the fastest."""
Choices = list[tuple[str, str, str, bool]]
"""Text, key, tooltip and usability of each entry of the combo box."""


def wanted_precision() -> str:
    """Return the precision that was chosen for this computer: "auto" or "float32", see `WorkerEngine`."""
    return "float32" if qt.QSettings().value(FULL_PRECISION_KEY, "0") == "1" else "auto"


class ModelSection:
    """Lets the user choose and import models.

    Args:
        on_used: is called when another model is in use.
    """

    def __init__(self, module: ModuleWidget, on_used: Callable[[], None]) -> None:
        self._module, self._on_used = module, on_used
        self._shown: tuple[Choices, str] | None = None
        ui = module.ui
        ui.modelComboBox.connect("activated(int)", self._choose)
        ui.fullPrecisionCheckBox.checked = wanted_precision() == "float32"
        ui.fullPrecisionCheckBox.connect("toggled(bool)", self._choose_precision)
        ui.channelsCheckBox.connect("toggled(bool)", lambda *_: module.refresh())
        self._server = ServerSection(module, self._use_engine_again)
        ui.importFileButton.clicked.connect(self._import_file)
        ui.importFolderButton.clicked.connect(self._import_folder)
        ui.importAgainButton.clicked.connect(self._import_again)
        ui.cancelImportButton.clicked.connect(self._cancel_import)

    def use(self, key: str) -> None:
        """Use a model from now on; it is stored in the settings of the application."""
        logic = self._module.logic
        try:
            if logic.models.use(key, logic.workspace, logic.makeEngine):
                self._on_used()
            self.show_notice()
        except Exception as error:
            self._module.messages.show_error(error)
        self._shown = None  # the box shows what was clicked, not what came of it
        self._module.refresh()

    def show_notice(self) -> None:
        """Show once what the user has to know about the model in use."""
        logic = self._module.logic
        notice, logic.models.notice = logic.models.notice, ""
        if notice:
            logic.note(notice)
            self._module.messages.show(notice)

    def poll_import(self) -> None:
        """Use a model as soon as it has been imported; call it at each turn."""
        models = self._module.logic.models
        if not models.is_importing:
            return
        try:
            key = models.poll_import()
            if key is not None:
                self._module.messages.show(_("{model} is installed.").format(model=key))
                self.use(key)
        except Exception as error:
            self._module.messages.show_error(error)
        self._module.updateTimer()

    def forget(self) -> None:
        """Show everything again at the next refresh."""
        self._shown = None

    def refresh(self, workspace: Workspace | None) -> ModelView:
        """Fill the combo box where its entries have changed; returns what the other widgets are to show."""
        view = model_view(workspace, self._module.logic.models, self._module.ui.channelsCheckBox.checked)
        if self._shown != (view.choices, view.chosen):
            self._shown = view.choices, view.chosen
            self._fill(view.choices, view.chosen)
        return view

    def _fill(self, choices: Choices, chosen: str) -> None:
        box = self._module.ui.modelComboBox
        box.clear()
        for index, (text, key, tip, is_usable) in enumerate(choices):
            box.addItem(text, key)
            box.setItemData(index, tip, qt.Qt.ToolTipRole)
            if not is_usable:
                box.setItemData(index, 0, qt.Qt.UserRole - 1)  # in this role Qt keeps the flags of an item
        box.setCurrentIndex(box.findData(chosen))

    def _choose(self, index: int) -> None:
        self.use(self._module.ui.modelComboBox.itemData(index))
        self._module.startWorkspace()

    def _choose_precision(self, is_full: bool) -> None:
        """Start the worker again in the other precision; what it computes at the moment is given up."""
        qt.QSettings().setValue(FULL_PRECISION_KEY, "1" if is_full else "0")
        self._use_engine_again()

    def _use_engine_again(self) -> None:
        """Make the engine anew, by the settings as they are now."""
        if self._module.logic.workspace is not None:
            self._module.do(self._restart_worker)
        self._module.refresh()

    def _restart_worker(self, opened: OpenWorkspace) -> None:
        model = opened.workspace.session.model
        opened.workspace.use_model(self._module.logic.makeEngine(model), model)

    def _import_file(self, *_args: object) -> None:
        kinds = _("Models (*.zip);;All files (*)")
        self._begin_import(qt.QFileDialog.getOpenFileName(self._module.parent, _("Import a model"), "", kinds))

    def _import_folder(self, *_args: object) -> None:
        self._begin_import(qt.QFileDialog.getExistingDirectory(self._module.parent, _("Import a model")))

    def _import_again(self, *_args: object) -> None:
        models = self._module.logic.models
        self._begin_import(models.importing, models.asked_channels)

    def _cancel_import(self, *_args: object) -> None:
        self._module.logic.models.cancel_import()
        self._module.updateTimer()
        self._module.refresh()

    def _begin_import(self, path: Path | str | None, channels: tuple[str, ...] = ()) -> None:
        if not path:
            return
        try:
            self._module.logic.models.begin_import(Path(path), slicers_python(), channels)
        except Exception as error:
            self._module.messages.show_error(error)
        self._module.ui.channelsCheckBox.checked = False
        self._module.updateTimer()
        self._module.refresh()
