"""The settings of the parameter node, applied to the workspace, the views and the recording."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ..views.view_controller import ViewController
from ..workspace.recording_control import RecordingControl
from ..workspace.workspace import Workspace
from .panel_view import margins_of

BYTES_PER_GB = 1e9


class ModuleSettings(Protocol):
    """The parameters that hold for the whole module, as the parameter node names and stores them.

    Attributes:
        cropSize: mm.
        opacity: of surfaces, 0 to 1.
        innerMargin, outerMargin: mm, 0 for none.
        secondLooks: refine in the background.
        followVolumes: segment again in each new volume.
        outputFolder: in which recordings are made.
        diskBudget, memoryLimit: GB; a memory limit of 0 is half of the machine's memory.
    """

    cropSize: float  # noqa: N815 - names of saved parameters
    autoSegment: bool  # noqa: N815
    mirroring: bool
    opacity: float
    outlineOnly: bool  # noqa: N815
    outputFolder: Path  # noqa: N815
    innerMargin: float  # noqa: N815
    outerMargin: float  # noqa: N815
    showMargins: bool  # noqa: N815
    showShells: bool  # noqa: N815
    secondLooks: bool  # noqa: N815
    followVolumes: bool  # noqa: N815
    followTip: bool  # noqa: N815
    showNumber: bool  # noqa: N815
    record: bool
    diskBudget: float  # noqa: N815
    memoryLimit: float  # noqa: N815


def apply_settings(
    settings: ModuleSettings, workspace: Workspace, views: ViewController, recording: RecordingControl
) -> None:
    """Apply all settings; call it when the parameter node says that it was modified."""
    workspace.requests.auto_segment, workspace.requests.mirroring = settings.autoSegment, settings.mirroring
    workspace.requests.crop_size_mm = settings.cropSize
    workspace.style.set(settings.opacity, settings.outlineOnly)
    workspace.background_refinement.enabled = settings.secondLooks
    workspace.resegmentation.enabled = settings.followVolumes
    workspace.memory.set_limit_gb(settings.memoryLimit)
    navigation = workspace.navigation
    navigation.margins_mm = margins_of(settings.innerMargin, settings.outerMargin)
    navigation.shows_margins, navigation.shows_consensus = settings.showMargins, settings.showShells
    views.layout.peel_depth(settings.opacity < 1 or settings.showShells)
    views.follows_tip, views.shows_number = settings.followTip, settings.showNumber
    recording.is_wanted, recording.budget_bytes = settings.record, BYTES_PER_GB * settings.diskBudget
    recording.parent = Path(settings.outputFolder)
