"""Preview of the segmentation while a seed or a point is moved: one pass of the network, shown and not measured."""

from __future__ import annotations

import numpy as np
import slicer

from ...core.errors import CrlmError
from ...core.geometry import part_to_ras
from ...core.volume import Volume
from ...segmentation.results import LesionResult, Options
from ...segmentation.session import Session
from ...tracking.surfaces import surface_of_mask
from ..scene.correction_points import NumberedPoints
from ..scene.guidance import remove_preview, show_preview
from ..scene.seeds import seed_nodes, shown_colour
from .lesion import Lesion
from .lesion_store import BUSY, LesionStore


class SeedPreview:
    """Asks for previews and shows them, until the segmentation itself has come.

    One preview is asked for at a time, with seed and points where they are then: none queue up behind a hand that is
    faster than the network. What the user waits for goes first.
    """

    def __init__(self, scene: slicer.vtkMRMLScene, session: Session, lesion_store: LesionStore) -> None:
        self._scene, self._session, self._lesion_store = scene, session, lesion_store
        self._asked: tuple[str, np.ndarray, NumberedPoints, Volume] | None = None
        self._result: LesionResult | None = None
        self._shown: LesionResult | None = None
        remove_preview(scene)  # of a workspace that was in this scene before

    def update(self, crop_size_mm: float, is_wanted: bool) -> None:
        """Ask for the next preview where a seed or a point has moved. Call it at each turn.

        Args:
            crop_size_mm: edge of the crop.
            is_wanted: False where seeds are segmented only when somebody asks.
        """
        volume = self._session.volume
        if volume is None or self._session.busy or self._session.is_previewing or not is_wanted:
            return
        for lesion, entry in self._lesion_store.entries.items():
            if _is_moving(entry) and not self._has_asked(lesion, entry):
                self._ask(lesion, np.array(entry.seed_ras_mm), entry.points, volume, crop_size_mm)
                return

    def handle_result(self, result: LesionResult) -> None:
        """Keep a preview until the views have time for it."""
        self._result = result

    def show(self) -> None:
        """Show the newest preview while its seed is being moved or segmented, and take away any other."""
        result = self._result
        entry = None if result is None else self._lesion_store.entries.get(result.request.lesion)
        if result is None or entry is None or not self._is_current(result, entry) or result.mask.is_empty:
            self._result = None
            if self._shown is not None:
                remove_preview(self._scene)
                self._shown = None
        elif result is not self._shown:
            self._draw(result)

    def _draw(self, result: LesionResult) -> None:
        mask = result.mask
        surface = surface_of_mask(mask.part, part_to_ras(result.volume.ijk_to_ras, mask.offset_kji))
        show_preview(self._scene, surface, shown_colour(seed_nodes(self._scene)[result.request.lesion]))
        self._shown = result

    def _is_current(self, result: LesionResult, entry: Lesion) -> bool:
        is_awaited = _is_moving(entry) or entry.state in BUSY
        return is_awaited and result.volume is self._session.volume

    def _has_asked(self, lesion: str, entry: Lesion) -> bool:
        if self._asked is None or entry.seed_ras_mm is None:
            return False
        asked_lesion, seed_ras_mm, points, volume = self._asked
        is_same_place = lesion == asked_lesion and np.array_equal(seed_ras_mm, entry.seed_ras_mm)
        return is_same_place and points == entry.points and volume is self._session.volume

    def _ask(
        self, lesion: str, seed_ras_mm: np.ndarray, points: NumberedPoints, volume: Volume, crop_size_mm: float
    ) -> None:
        self._asked = lesion, seed_ras_mm, points, volume
        options = Options(crop_size_mm, first_fold_only=True)
        try:
            self._session.preview(lesion, seed_ras_mm, options, tuple(points.values()))
        except CrlmError:  # dragged out of the volume: nothing to be seen there, and told when it is let go
            self._result = None


def _is_moving(entry: Lesion) -> bool:
    return entry.seed_ras_mm is not None and not entry.is_asked
