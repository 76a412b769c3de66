"""What the widgets of the panel need of the module's file, which they cannot import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from ...recording.recorded_link import RecordedLink
from ...segmentation.engine.engine import Engine
from ...segmentation.models.package import ModelPackage
from ..views.view_controller import ViewController
from ..workspace.models import Models
from ..workspace.open_workspace import OpenWorkspace
from ..workspace.publisher import Publisher
from ..workspace.recording_control import RecordingControl
from ..workspace.volume_source import VolumeSource
from ..workspace.workspace import Workspace
from .messages import MessageArea

Result = TypeVar("Result")


class ModuleLogic(Protocol):
    """The logic of the module (CRLMSegmentationLogic).

    Attributes:
        opened: the workspace with what is open together with it, also one by one below; None while none is open.
    """

    opened: OpenWorkspace | None
    makeEngine: Callable[[ModelPackage], Engine]  # noqa: N815 - names of Slicer's kind, of the module's file

    def getParameterNode(self) -> Any:  # noqa: N802
        """Return the wrapped parameter node of the scene."""

    @property
    def workspace(self) -> Workspace | None:
        """The session in the scene."""

    @property
    def source(self) -> VolumeSource | None:
        """Where the workspace takes its volumes from."""

    @property
    def publisher(self) -> Publisher | None:
        """Offers results to other programs."""

    @property
    def recording(self) -> RecordingControl | None:
        """Begins and ends the recording of what happens."""

    @property
    def models(self) -> Models:
        """The installed models and the chosen one."""

    @property
    def recordedLink(self) -> RecordedLink | None:  # noqa: N802
        """The recorded case that is played, or None."""

    def note(self, text: str) -> None:
        """Add a line to the log of the workspace."""


class ModuleWidget(Protocol):
    """The panel as a whole (CRLMSegmentationWidget).

    Attributes:
        ui: the widgets, by their names.
        parent: the widget that they stand in.
        views: None while no workspace is open.
    """

    ui: Any
    parent: Any
    logic: ModuleLogic
    messages: MessageArea
    views: ViewController | None

    def do(self, action: Callable[[OpenWorkspace], Result]) -> Result | None:
        """Open the workspace and run an action on it; an error is shown, and None returned."""

    def refresh(self) -> None:
        """Redraw what has changed."""

    def startWorkspace(self) -> Workspace | None:  # noqa: N802
        """Open the workspace if it is not; None when it cannot be opened."""

    def endWorkspace(self) -> None:  # noqa: N802
        """End the workspace with what it has started."""

    def updateTimer(self) -> None:  # noqa: N802
        """Let the timer run while there is something to do."""
