"""What the module's file uses of this library, imported once the panel is made: that takes nearly a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import slicer

from ...segmentation.engine.engine import Engine
from ...segmentation.models.package import ModelPackage, model_or_default
from ...segmentation.session import Session
from ..views.view_controller import ViewController
from ..workspace.application import slicers_python
from ..workspace.models import Models
from ..workspace.open_workspace import OpenWorkspace
from ..workspace.workspace import Workspace
from .actions import Actions
from .appearance import prepare_tables, set_icons
from .checks_section import ChecksSection
from .display import Display
from .distance_window_button import DistanceWindowButton
from .messages import MessageArea
from .model_section import ModelSection, wanted_precision
from .parameter_binding import ParameterBinding
from .server_section import make_chosen_engine
from .shortcuts import Shortcuts
from .sounds import AlarmSounds

__all__ = [
    "Actions",
    "AlarmSounds",
    "ChecksSection",
    "Display",
    "DistanceWindowButton",
    "MessageArea",
    "ModelSection",
    "Models",
    "ParameterBinding",
    "Shortcuts",
    "ViewController",
    "make_worker",
    "open_workspace",
    "prepare_tables",
    "set_icons",
]


def make_worker(model: ModelPackage) -> Engine:
    """Return the engine of a model by the application's settings: a process of its own here, or a server."""
    return make_chosen_engine(model, wanted_precision())


def open_workspace(
    models: Models, make_engine: Callable[[ModelPackage], Engine], wanted: Path | str | None = None
) -> OpenWorkspace:
    """Load a model, start its worker, and return a workspace that shows its results in Slicer's scene.

    Args:
        make_engine: makes an engine for a model package.
        wanted: folder or key of a model; the chosen one by default.

    Raises:
        CrlmError: there is no model, or no Python.
    """
    model = models.package() if wanted is None else model_or_default(wanted)
    return OpenWorkspace.of(Workspace(slicer.mrmlScene, Session(make_engine(model), model), slicers_python()))
