"""What the panel of 3D Slicer uses of this library, imported once it is opened: that takes nearly a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import slicer

from ...segmentation.engine import worker_engine
from ...segmentation.engine.engine import Engine
from ...segmentation.models.package import ModelPackage, model_or_default
from ...segmentation.session import Session
from ..dependencies import lacks_needed_package, missing
from ..views.distance_window import DistanceWindow
from ..views.margin_alarm import write_sound
from ..views.navigation_texts import distance_of
from ..views.view_controller import ViewController
from ..workspace.application import correct, slicers_python, start_placing
from ..workspace.models import Models, beginning_of
from ..workspace.preflight import Preflight
from ..workspace.publisher import Publisher
from ..workspace.save import save
from ..workspace.session_recording import SessionRecording
from ..workspace.volume_source import VolumeSource
from ..workspace.workspace import Workspace
from . import model_texts, texts
from .install import install_missing
from .lesion_table import TOUCH_PX, LesionTable
from .panel_view import distance_view, panel_view
from .sections import Sections, checks_title
from .settings import apply_settings
from .status_strip import StripWidgets, status_strip

__all__ = [
    "TOUCH_PX",
    "DistanceWindow",
    "LesionTable",
    "Models",
    "Preflight",
    "Publisher",
    "Sections",
    "SessionRecording",
    "StripWidgets",
    "ViewController",
    "VolumeSource",
    "apply_settings",
    "beginning_of",
    "checks_title",
    "correct",
    "distance_of",
    "distance_view",
    "install_missing",
    "lacks_needed_package",
    "make_worker",
    "missing",
    "model_texts",
    "open_workspace",
    "panel_view",
    "save",
    "slicers_python",
    "start_placing",
    "status_strip",
    "texts",
    "write_sound",
]


def make_worker(model: ModelPackage) -> Engine:
    """Start nnU-Net in a process of its own, run by Slicer's Python."""
    return worker_engine.WorkerEngine(model, python=slicers_python())


def open_workspace(
    models: Models, make_engine: Callable[[ModelPackage], Engine], wanted: Path | str | None = None
) -> Workspace:
    """Load a model, start its worker, and return a workspace that shows its results in Slicer's scene.

    Args:
        make_engine: makes an engine for a model package.
        wanted: folder or key of a model; the chosen one by default.

    Raises:
        CrlmError: there is no model, or no Python.
    """
    model = models.package() if wanted is None else model_or_default(wanted)
    return Workspace(slicer.mrmlScene, Session(make_engine(model), model), slicers_python())
