"""The parameter node of the module, bound to the widgets of the panel and applied when it was modified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from ..panel.settings import apply_settings
from ..workspace.models import beginning_of
from ..workspace.workspace import Workspace
from .module_widget import ModuleWidget


class ParameterBinding(VTKObservationMixin):  # type: ignore[misc]  # Slicer has no types
    """Binds one parameter node at a time.

    Attributes:
        parameters: the wrapped node (CRLMSegmentationParameterNode); None while none is bound.
    """

    def __init__(self, module: ModuleWidget) -> None:
        super().__init__()
        self._module = module
        self.parameters: Any = None
        self._tag: Any = None

    def bind(self) -> None:
        """Bind the widgets to the parameter node of the scene."""
        self.release()
        self.parameters = self._module.logic.getParameterNode()
        if str(self.parameters.outputFolder) in ("", "."):
            documents = Path(qt.QStandardPaths.writableLocation(qt.QStandardPaths.DocumentsLocation))
            self.parameters.outputFolder = documents if documents.is_dir() else Path.home()
        self._tag = self.parameters.connectGui(self._module.ui)
        self.addObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.apply)
        self.use_models_crop_size()
        self.apply()

    def release(self) -> None:
        """Leave the parameter node alone from now on."""
        if self.parameters is not None:
            self.removeObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.apply)
            self.parameters.disconnectGui(self._tag)
        self.parameters, self._tag = None, None

    def restore(self) -> None:
        """Put the parameter node back if the user has deleted it: the settings in the panel are still in use."""
        if self.parameters is not None and self.parameters.parameterNode.GetScene() is None:
            slicer.mrmlScene.AddNode(self.parameters.parameterNode)

    def apply(self, caller: object = None, event: object = None) -> None:
        """Apply the settings; called whenever the parameter node was modified, by the panel or by anybody else."""
        opened, views = self._module.logic.opened, self._module.views
        if self.parameters is not None and opened is not None and views is not None:
            apply_settings(self.parameters, opened.workspace, views, opened.recording)

    def use_models_crop_size(self) -> None:
        """Write into the parameter node which model is in use, and the crop size to begin with."""
        workspace = self._module.logic.workspace
        if self.parameters is None or workspace is None:
            return
        key, crop_size_mm = beginning_of(workspace.session.model, self.parameters.model, self.parameters.cropSize)
        self.parameters.model, self.parameters.cropSize = key, crop_size_mm
        self._module.ui.cropSizeSlider.value = (
            crop_size_mm  # while a scene is imported, the node does not tell the panel
        )

    def store_crop_size(self, workspace: Workspace) -> None:
        """Write the crop size into the parameter node where a user has resized the box in the views."""
        if self.parameters is not None and self.parameters.cropSize != workspace.requests.crop_size_mm:
            self.parameters.cropSize = workspace.requests.crop_size_mm
