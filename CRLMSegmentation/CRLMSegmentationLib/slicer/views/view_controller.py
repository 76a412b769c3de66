"""Control of the views while navigating: slices that follow the tip, distance annotation, margin alarm."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..workspace.workspace import Workspace
from .corner_annotation import CornerAnnotation
from .layout import Follower, RoomLayout
from .lesion_focus import LesionFocus
from .margin_alarm import MarginAlarm
from .navigation_texts import UnreliableTimer, distance_of
from .render_times import RenderTimes
from .volume_rendering import VolumeRendering


class ViewController:
    """Shows in the views what `workspace.navigation` measures.

    Args:
        layout_manager: of the application (qSlicerLayoutManager).
        rendering_logic: vtkSlicerVolumeRenderingLogic.

    Attributes:
        follows_tip: whether slices follow the tip.
        shows_number: whether the distance stands in the 3D view.
        layout, rendering, unreliable_reasons: what the panel's buttons and texts need.
    """

    def __init__(
        self,
        workspace: Workspace,
        layout_manager: Any,
        rendering_logic: Any,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspace, self._manager = workspace, layout_manager
        self.follows_tip = self.shows_number = True
        self.layout, self.rendering = RoomLayout(layout_manager), VolumeRendering(rendering_logic)
        self.unreliable_reasons = UnreliableTimer(clock)
        self._alarm = MarginAlarm(workspace, clock)
        self._render_times = RenderTimes(layout_manager, workspace.render_limiter.note_render, clock)
        self._follower = Follower(layout_manager, workspace.scene, clock)
        self._corner: CornerAnnotation | None = None
        self._focus = LesionFocus(workspace, layout_manager)

    @property
    def is_navigating(self) -> bool:
        """Whether the slices follow a tip at this moment."""
        return self.follows_tip and self._workspace.navigation.focus_ras_mm is not None

    def go_to_lesion(self, lesion: str) -> None:
        """Centre the views on a lesion, unless the slices follow a tip."""
        if not self.is_navigating:
            self._focus.go_to(lesion)

    def update(self) -> str:
        """Update the views; call it after each turn of the workspace.

        Returns:
            The margin that the tip has just come into, "outer" or "inner"; empty otherwise.
        """
        volume = self._workspace.volume.node
        self._render_times.update()
        if self._workspace.may_draw:
            if self.follows_tip:
                self._follower.follow(self._workspace.navigation.focus_ras_mm, volume)
            self._show_number()
        self._focus.update(self.is_navigating)
        self.rendering.update(volume)
        self.unreliable_reasons.update(self._workspace.navigation.situation)
        return self._alarm.update()

    def end(self) -> None:
        """Remove what was added to the views."""
        if self._corner is not None:
            self._corner.clear()
        self._render_times.end()
        self._focus.end()

    def _show_number(self) -> None:
        """Update the distance in the 3D view; without instruments it shows none."""
        if self._manager.threeDViewCount == 0:
            self._corner = None
            return
        if self._corner is None:
            self._corner = CornerAnnotation(self._manager.threeDWidget(0).threeDView())
        if self.shows_number and self._workspace.navigation.situation.instruments:
            lags = self._workspace.render_limiter.lagging_per_s is not None
            self._corner.show(distance_of(self._workspace), lags)
        else:
            self._corner.clear()
