"""What a user places: seeds and correction points, in the views or at the tip of a tracked instrument."""

from __future__ import annotations

import numpy as np
import slicer

from ...core.errors import SeedError
from ...core.i18n import tr as _
from ...core.points import CorrectionPoint, PointKind
from ...core.reasons import Reason, translated
from ..scene.nodes import DEVICE, remove_node, tip_of
from ..scene.seeds import free_colour, free_lesion_name, seed_nodes, show_seed
from .lesion_points import LesionPoints
from .lesion_store import LesionStore
from .link_devices import LinkDevices
from .navigation import Navigation


class Clicks:
    """Places and removes seeds and points.

    Args:
        link_devices: writes poses that wait for the views, before a tip is read.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        lesion_store: LesionStore,
        points: LesionPoints,
        navigation: Navigation,
        link_devices: LinkDevices,
    ) -> None:
        self._scene, self._lesion_store, self._points = scene, lesion_store, points
        self._navigation, self._link_devices = navigation, link_devices

    def add_seed(self, seed_ras_mm: np.ndarray | None = None) -> slicer.vtkMRMLMarkupsFiducialNode:
        """Add a lesion with its seed; without a position the user places it."""
        lesion = free_lesion_name(self._scene)
        self._lesion_store.active_lesion = lesion
        return show_seed(self._scene, lesion, seed_ras_mm, free_colour(self._scene))

    def add_seed_at_tip(self, tool: slicer.vtkMRMLLinearTransformNode | None) -> slicer.vtkMRMLMarkupsFiducialNode:
        """Add a lesion with its seed at the tip of a tracked tool.

        Args:
            tool: None for the only pointer that is tracked.

        Raises:
            SeedError: no tool, or several, or its pose cannot be relied on at this moment.
        """
        return self.add_seed(self._tip_of(tool, _("no seed can be placed with '{tool}' now: {reason}")))

    def add_point(self, kind: PointKind, ras_mm: np.ndarray) -> None:
        """Add a correction point to the selected lesion, world RAS mm.

        Raises:
            SeedError: no lesion is selected, or the point cannot be obeyed, see `core.point_checks`.
            ModelError: the model takes no points.
        """
        self._points.check_model()
        r, a, s = map(float, ras_mm)
        self._points.add(self.selected_lesion(), CorrectionPoint(kind, (r, a, s)))

    def add_point_at_tip(self, kind: PointKind, tool: slicer.vtkMRMLLinearTransformNode | None) -> None:
        """Add a correction point to the selected lesion at the tip of a tracked tool; see both above.

        Raises:
            SeedError, ModelError: as there.
        """
        self.lesion_to_correct()
        self.add_point(kind, self._tip_of(tool, _("no point can be placed with '{tool}' now: {reason}")))

    def lesion_to_correct(self) -> str:
        """Return the lesion that the next point goes to.

        Raises:
            SeedError: no lesion is selected, or its seed has not been placed.
            ModelError: the model takes no points.
        """
        self._points.check_model()
        lesion = self.selected_lesion()
        self._points.check_seed(lesion)
        return lesion

    def undo_point(self) -> None:
        """Remove the point of the selected lesion that was placed last.

        Raises:
            SeedError: no lesion is selected, or it has no points.
        """
        self._points.undo(self.selected_lesion())

    def selected_lesion(self) -> str:
        """Return the lesion that points go to: the one that was touched last, or the only one.

        Raises:
            SeedError: there are none, or several and none is selected.
        """
        self._lesion_store.update_seeds()  # one that was added just now
        lesions = self._lesion_store.entries
        if self._lesion_store.active_lesion in lesions:
            return str(self._lesion_store.active_lesion)
        if len(lesions) == 1:
            return next(iter(lesions))
        if not lesions:
            raise SeedError(_("there is no lesion to correct; place a seed in the middle of the tumour first"))
        raise SeedError(_("no lesion is selected; choose the one to correct in the table of lesions"))

    def remove_seed(self, lesion: str) -> None:
        """Remove a lesion with its segmentation and points; undo brings all back."""
        node = seed_nodes(self._scene).get(lesion)
        if node is not None:
            remove_node(self._scene, node)

    def rename_lesion(self, lesion: str, name: str) -> None:
        """Give a lesion another name; an empty one changes nothing."""
        node = seed_nodes(self._scene).get(lesion)
        if node is not None and name.strip():
            node.SetName(name.strip())

    def _tip_of(self, tool: slicer.vtkMRMLLinearTransformNode | None, refusal: str) -> np.ndarray:
        """Return where the tip of a tool is, world RAS mm; raise SeedError with a refusal where nobody knows."""
        if tool is None:
            return self._navigation.pointer_tip_ras_mm()
        tip_ras_mm = self._navigation.tip_of_device(tool.GetAttribute(DEVICE) or "")
        if isinstance(tip_ras_mm, Reason):
            told = refusal.format(tool=tool.GetName(), reason=translated(tip_ras_mm))
            raise SeedError(_("{refusal}; hold it within the tracker's field").format(refusal=told))
        self._link_devices.show_transforms()  # a pose may be waiting for the views
        return tip_of(tool) if tip_ras_mm is None else tip_ras_mm
