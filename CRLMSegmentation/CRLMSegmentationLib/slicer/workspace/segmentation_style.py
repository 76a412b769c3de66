"""How segmentations are shown: the opacity of their surfaces, and their contours with or without filling."""

from __future__ import annotations

from .lesion_store import LesionStore


class SegmentationStyle:
    """Styles the segmentation of the current volume once, so that a user may change it in the scene afterwards."""

    def __init__(self, lesion_store: LesionStore) -> None:
        self._lesion_store = lesion_store
        self._wanted: tuple[float, bool] | None = None
        self._styled_id: str | None = None

    def set(self, opacity: float, outline_only: bool) -> None:
        """Set the style from now on: the opacity of surfaces from 0 to 1, in 2D only their edge."""
        self._wanted, self._styled_id = (opacity, outline_only), None
        self.apply()

    def apply(self) -> None:
        """Style the segmentation of the current volume, unless that was done already."""
        node = self._lesion_store.segmentation_node
        display = node.GetDisplayNode() if node else None
        if display is not None and self._wanted is not None and display.GetID() != self._styled_id:
            opacity, outline_only = self._wanted
            display.SetOpacity3D(opacity)
            display.SetVisibility2DFill(not outline_only)
            self._styled_id = display.GetID()
