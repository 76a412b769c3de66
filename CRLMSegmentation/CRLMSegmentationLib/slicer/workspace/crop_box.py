"""The cube around the active seed that the network sees, as a box that the user may resize in the views."""

from __future__ import annotations

import numpy as np
import slicer

from ...core.crop_format import CROP_SIZE_LIMITS_MM
from ..scene.crop_box import crop_box, crop_box_size_mm, remove_crop_box, set_crop_box_visibility, show_crop_box
from .lesion_requests import LesionRequests
from .lesion_store import LesionStore

SAME_MM = 0.01


class ShownCrop:
    """Keeps the crop in the scene; `follow` is called at each turn.

    Attributes:
        is_visible: whether it is seen in the views, with its handles; else it is there and hidden.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        self._size_mm: float | None = None
        self.is_visible = False

    def follow(self, requests: LesionRequests, lesion_store: LesionStore) -> None:
        """Show the crop of the active lesion; its size becomes that of requests where the user has resized it."""
        entry = lesion_store.entries.get(lesion_store.active_lesion or "")
        if requests.sees_whole_volume:
            self.hide()
        else:
            requests.crop_size_mm = self.update(requests.crop_size_mm, entry.seed_ras_mm if entry else None)

    def update(self, size_mm: float, seed_ras_mm: np.ndarray | None) -> float:
        """Make the box a cube around a seed; returns its size in mm, another one if the user has resized it."""
        box = crop_box(self._scene)
        if box is not None and self._size_mm is not None:
            now_mm = crop_box_size_mm(box)
            if abs(now_mm - self._size_mm) > SAME_MM:
                size_mm = limited_mm(now_mm)
        if seed_ras_mm is not None:
            show_crop_box(self._scene, seed_ras_mm, size_mm)
            self._size_mm = size_mm
        set_crop_box_visibility(self._scene, self.is_visible)
        return size_mm

    def hide(self) -> None:
        """Remove the box, as for a network that sees the whole volume."""
        remove_crop_box(self._scene)
        self._size_mm = None


def limited_mm(size_mm: float) -> float:
    """Return the nearest size that a crop can have, mm."""
    low, high = CROP_SIZE_LIMITS_MM
    return min(max(low, size_mm), high)
