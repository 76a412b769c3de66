"""Slices and 3D view go to a lesion when it is found or chosen, and to a new volume once; without Qt."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from ..scene.nodes import nodes_of_class, one_update
from ..workspace.events import (
    LesionRemoved,
    ResultShown,
    SegmentationChanged,
    VolumeLeft,
    VolumeShown,
    WorkspaceEvent,
)
from ..workspace.lesion import LesionSegmentation
from ..workspace.workspace import Workspace
from .layout import is_placing

LESIONS_IN_VIEW = 3.0
"""So many times the largest diameter of a lesion fit into a view."""
LEAST_WIDTH_MM = 60.0
"""Of what a view shows, so that a small lesion keeps its surroundings."""
UNSEGMENTED_MM = 30.0
"""Stands in for the diameter of a lesion that was not segmented yet."""
CAMERA_CLASS = "vtkMRMLCameraNode"


class LesionFocus:
    """Moves the views to what is new; whoever navigates with slices that follow the tip is left alone.

    It listens to the events of the workspace, and moves the views in `update`: once a turn, whatever has happened.

    Args:
        layout_manager: of the application (qSlicerLayoutManager).
    """

    def __init__(self, workspace: Workspace, layout_manager: Any) -> None:
        self._workspace, self._manager = workspace, layout_manager
        self._found: set[str] = set()
        self._new_lesion: str | None = None
        self._has_left_volume = True
        self._has_new_volume = False
        workspace.events.subscribe(self)

    def handle(self, event: WorkspaceEvent) -> None:
        """Note what is new, as an `EventListener`."""
        if isinstance(event, VolumeLeft):
            self._has_left_volume = True
            self._found.clear()
        elif isinstance(event, VolumeShown) and event.volume is not None:  # also one that has come again, or was moved
            self._has_new_volume = self._has_new_volume or self._has_left_volume
            self._has_left_volume = False
        elif isinstance(event, ResultShown):
            self._note_segmentation(event.result.request.lesion, event.segmentation)
        elif isinstance(event, SegmentationChanged):
            self._note_segmentation(event.lesion, event.segmentation)
        elif isinstance(event, LesionRemoved):
            self._note_segmentation(event.lesion, None)

    def update(self, is_navigating: bool) -> None:
        """Go to a lesion that was found for the first time, or to another volume; call it at each turn.

        Args:
            is_navigating: the slices follow a tip, and are not to be moved.
        """
        volume = self._workspace.volume.node
        lesion, self._new_lesion = self._new_lesion, None
        has_new_volume, self._has_new_volume = self._has_new_volume, False
        if is_navigating:
            return
        if has_new_volume and volume is not None:
            self._look_at(*_place_of(volume))
        if lesion is not None and not is_placing(self._workspace.scene):
            self.go_to(lesion)

    def end(self) -> None:
        """Listen no longer."""
        self._workspace.events.unsubscribe(self)

    def go_to(self, lesion: str) -> None:
        """Centre slices and 3D view on a lesion, or on its seed while it has no segmentation."""
        place = self._place_of_lesion(lesion)
        if place is None:
            return
        centre_ras_mm, diameter_mm = place
        width_mm = max(LEAST_WIDTH_MM, LESIONS_IN_VIEW * diameter_mm)
        for name in self._manager.sliceViewNames():
            _centre_slice(self._manager.sliceWidget(name).mrmlSliceNode(), centre_ras_mm, width_mm)
        self._look_at(centre_ras_mm, width_mm)

    def _note_segmentation(self, lesion: str, found: LesionSegmentation | None) -> None:
        """Note the segmentation of a lesion; what was loaded with a scene is nothing to go to."""
        if found is None:
            self._found.discard(lesion)
            self._new_lesion = None if self._new_lesion == lesion else self._new_lesion
        elif lesion not in self._found:
            self._found.add(lesion)
            self._new_lesion = lesion if found.result is not None else self._new_lesion

    def _place_of_lesion(self, lesion: str) -> tuple[np.ndarray, float] | None:
        """Return the centre of a lesion in world RAS, mm, and its largest diameter."""
        store = self._workspace.lesion_store
        entry, node = store.entries.get(lesion), store.segmentation_node
        if entry is None:
            return None
        if (
            entry.segmentation is not None
            and node is not None
            and node.GetSegmentation().GetSegment(lesion) is not None
        ):
            centre = node.GetSegmentCenterRAS(lesion)
            if centre is not None:
                return np.array(centre), max(entry.segmentation.diameters_mm)
        return None if entry.seed_ras_mm is None else (entry.seed_ras_mm, UNSEGMENTED_MM)

    def _look_at(self, centre_ras_mm: np.ndarray, width_mm: float) -> None:
        """Turn the camera of the first 3D view to a point, from its present direction."""
        if self._manager.threeDViewCount == 0:
            return
        name = self._manager.threeDWidget(0).mrmlViewNode().GetLayoutName()
        for camera in nodes_of_class(self._workspace.scene, CAMERA_CLASS):
            if camera.GetLayoutName() == name:
                _aim(camera, centre_ras_mm, width_mm)


def _place_of(volume: slicer.vtkMRMLScalarVolumeNode) -> tuple[np.ndarray, float]:
    """Return the centre of a volume in world RAS, mm, and its diagonal."""
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    return (low + high) / 2, float(np.linalg.norm(high - low))


def _centre_slice(node: slicer.vtkMRMLSliceNode, centre_ras_mm: np.ndarray, width_mm: float) -> None:
    """Move a slice to a point, in its middle, and show so many mm along its shorter side."""
    width, height, depth = node.GetFieldOfView()
    scale = width_mm / min(width, height)
    with one_update(node):
        node.SetFieldOfView(width * scale, height * scale, depth)
        node.JumpSliceByCentering(*map(float, centre_ras_mm))


def _aim(camera: slicer.vtkMRMLCameraNode, centre_ras_mm: np.ndarray, width_mm: float) -> None:
    direction = np.subtract(camera.GetPosition(), camera.GetFocalPoint())
    length_mm = float(np.linalg.norm(direction))
    direction = direction / length_mm if length_mm > 0 else np.array([0.0, 1.0, 0.0])
    away_mm = width_mm / 2 / np.tan(np.radians(camera.GetViewAngle()) / 2)
    with one_update(camera):
        camera.SetFocalPoint([float(x) for x in centre_ras_mm])
        camera.SetPosition([float(x) for x in centre_ras_mm + away_mm * direction])
        camera.ResetClippingRange()
