"""Parts of the application 3D Slicer that the workspace uses: place mode, Segment Editor, its Python."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import slicer

from ...core.errors import CrlmError, SeedError
from ...core.i18n import tr as _
from ...core.points import PointKind
from ..scene.correction_points import point_node
from ..scene.seeds import seed_nodes, seed_of
from .workspace import Workspace


def start_placing(workspace: Workspace) -> None:
    """Let the user click the next seed into the views; one that was not placed yet is used first."""
    waiting = [node for node in seed_nodes(workspace.scene).values() if seed_of(node) is None]
    place_into(waiting[0] if waiting else workspace.add_seed())


def start_placing_point(workspace: Workspace, kind: PointKind) -> None:
    """Let the user click a correction point of the selected lesion into the views.

    Raises:
        SeedError: no lesion is selected, or its seed has not been placed.
        ModelError: the model takes no points.
    """
    place_into(point_node(workspace.scene, workspace.clicks.lesion_to_correct(), kind))


def place_into(node: slicer.vtkMRMLMarkupsFiducialNode) -> None:
    """Let the next click in a view place a point of a node."""
    logic = slicer.app.applicationLogic()
    selection, interaction = logic.GetSelectionNode(), logic.GetInteractionNode()
    selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
    selection.SetActivePlaceNodeID(node.GetID())
    interaction.SetPlaceModePersistence(0)
    interaction.SetCurrentInteractionMode(interaction.Place)


def correct(workspace: Workspace, lesion: str | None) -> None:
    """Open the Segment Editor on a lesion.

    Raises:
        SeedError: it has no segmentation yet.
    """
    node = workspace.lesion_store.segmentation_node
    if node is None or lesion is None or node.GetSegmentation().GetSegment(lesion) is None:
        raise SeedError(_("there is no segmentation to correct; segment the lesion first"))
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.util.getModuleWidget("SegmentEditor").editor
    editor.setSegmentationNode(node)
    editor.setSourceVolumeNode(workspace.volume.node)
    editor.setCurrentSegmentID(lesion)


def slicers_python() -> str:
    """Return the path of PythonSlicer, which runs Slicer's packages outside the application.

    Raises:
        CrlmError: there is none.
    """
    home = Path(slicer.app.slicerHome)
    beside = home / "bin" / ("PythonSlicer.exe" if sys.platform == "win32" else "PythonSlicer")
    found = shutil.which("PythonSlicer") or (str(beside) if beside.is_file() else sys.executable)
    if not found:
        raise CrlmError(_("PythonSlicer was not found beside {home}; install Slicer again").format(home=home))
    return found
