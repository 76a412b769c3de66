"""The layout for navigation: a large 3D view beside three slice views, dark, following the tip.

Without Qt: Slicer's layout manager (qSlicerLayoutManager) is passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer

from ..scene.nodes import one_update

LAYOUT = 6117
"""Number of the layout among Slicer's; its own end below 1000."""
SPACE, SLICES = "1", ("Red", "Yellow", "Green")
"""Singleton tags of Slicer's own views, which are used rather than new ones."""
SLICES_IN_SPACE = ("Red",)
"""One only: three that cross at the tip would hide the tumour from seven of eight sides."""
BLACK = (0.0, 0.0, 0.0)
FOLLOW_S = 0.1
"""Between two moves of the slices."""
STILL_MM = 0.2
"""A tip that has moved less is at rest, and its slices are not drawn anew."""
NEAR_MM = 20.0
"""A tip that is farther outside the volume is not followed: its slices would be empty."""


def description() -> str:
    """Return the XML that describes the layout to Slicer."""
    space = '<view class="vtkMRMLViewNode" singletontag="{tag}"><property name="viewlabel" action="default">{tag}'
    space = space.format(tag=SPACE) + "</property></view>"
    planes = zip(SLICES, ("Axial", "Sagittal", "Coronal"), ("R", "Y", "G"), ("#F34A33", "#EDD54C", "#6EB04B"))
    slices = "".join(f'<item splitSize="300">{_slice(*plane)}</item>' for plane in planes)
    beside = f'<layout type="vertical" split="true">{slices}</layout>'
    sizes = f'<item splitSize="700">{space}</item><item splitSize="300">{beside}</item>'
    return f'<layout type="horizontal" split="true">{sizes}</layout>'


def _slice(tag: str, orientation: str, label: str, colour: str) -> str:
    return (
        f'<view class="vtkMRMLSliceNode" singletontag="{tag}">'
        f'<property name="orientation" action="default">{orientation}</property>'
        f'<property name="viewlabel" action="default">{label}</property>'
        f'<property name="viewcolor" action="default">{colour}</property></view>'
    )


ViewLook = tuple[tuple[float, ...], tuple[float, ...], int, int, int]
"""Lower and upper background colour, whether the box and the axis labels are shown, whether depth is peeled."""


class RoomLayout:
    """Switches between the layout for navigation and the one before.

    Depth peeling, which puts translucent surfaces in their order, makes a render of four lesions with their margins
    take 718 ms instead of 189 ms by software. Where only margins are translucent, and lie around what is opaque, the
    picture is the same without it: 0.01 % of the pixels differ by more than 10 of 255, none by more than 20.

    Args:
        layout_manager: of the application.
    """

    def __init__(self, layout_manager: Any) -> None:
        self._manager = layout_manager
        self._peels_depth = False
        self._before: int | None = None
        self._look_before = _look_of(slicer.vtkMRMLViewNode()), [0] * len(SLICES)

    @property
    def is_used(self) -> bool:
        """Whether it is shown; not when the user has chosen another layout in Slicer's menu."""
        return bool(self._manager.layout == LAYOUT)

    def toggle(self) -> None:
        """Show the layout for navigation, or go back to the one before."""
        if self.is_used:
            self._leave()
        else:
            self._use()

    def peel_depth(self, is_needed: bool) -> None:
        """Say whether more than margins is translucent, so that their order must be right."""
        if is_needed != self._peels_depth:
            self._peels_depth = is_needed
            if self.is_used:
                self._nodes()[0].SetUseDepthPeeling(int(is_needed))

    def _use(self) -> None:
        node = self._manager.layoutLogic().GetLayoutNode()
        if not node.IsLayoutDescription(LAYOUT):
            node.AddLayoutDescription(LAYOUT, description())
        self._before = self._manager.layout
        self._manager.setLayout(LAYOUT)
        space, slices = self._nodes()
        self._look_before = _look_of(space), [node.GetSliceVisible() for node in slices]
        _set_look(space, (BLACK, BLACK, 0, 0, int(self._peels_depth)))
        for name, node in zip(SLICES, slices):
            node.SetSliceVisible(name in SLICES_IN_SPACE)
        self._manager.resetSliceViews()

    def _leave(self) -> None:
        space, slices = self._nodes()
        default = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
        self._manager.setLayout(default if self._before is None else self._before)
        look, are_visible = self._look_before
        _set_look(space, look)
        for node, is_visible in zip(slices, are_visible):
            node.SetSliceVisible(is_visible)

    def _nodes(self) -> tuple[slicer.vtkMRMLViewNode, list[slicer.vtkMRMLSliceNode]]:
        slices = [self._manager.sliceWidget(name).mrmlSliceNode() for name in SLICES]
        return self._manager.threeDWidget(0).mrmlViewNode(), slices


class Follower:
    """Moves the slices to the tip of the instrument that navigation uses."""

    def __init__(self, layout_manager: Any, scene: slicer.vtkMRMLScene, clock: Callable[[], float]) -> None:
        self._manager, self._scene, self._clock = layout_manager, scene, clock
        self._moved_s = float("-inf")
        self._at_ras_mm: np.ndarray | None = None

    def follow(self, tip_ras_mm: np.ndarray | None, volume: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Move the slices to a tip, at most some ten times a second; call it at each turn.

        Args:
            tip_ras_mm: shape (3,); None while no instrument is valid for navigation.
            volume: that the slices show.
        """
        now_s = self._clock()
        if tip_ras_mm is None or volume is None or now_s - self._moved_s < FOLLOW_S or is_placing(self._scene):
            return
        is_still = self._at_ras_mm is not None and np.linalg.norm(tip_ras_mm - self._at_ras_mm) < STILL_MM
        if is_still or not is_near(tip_ras_mm, volume):
            return
        self._moved_s, self._at_ras_mm = now_s, np.array(tip_ras_mm)
        for name in self._manager.sliceViewNames():
            self._manager.sliceWidget(name).mrmlSliceNode().JumpSlice(*map(float, tip_ras_mm))


def is_placing(scene: slicer.vtkMRMLScene) -> bool:
    """Return whether somebody is about to click a point into a view, which then stays where it is."""
    node = scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    return node is not None and node.GetCurrentInteractionMode() == node.Place


def is_near(tip_ras_mm: np.ndarray, volume: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Return whether a tip is in a volume or close to it."""
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    low, high = np.array(bounds[::2]) - NEAR_MM, np.array(bounds[1::2]) + NEAR_MM
    return bool(np.all((low <= tip_ras_mm) & (tip_ras_mm <= high)))


def _look_of(view: slicer.vtkMRMLViewNode) -> ViewLook:
    """Return background colours, whether box and axis labels are shown, and whether depth is peeled."""
    return (
        view.GetBackgroundColor(),
        view.GetBackgroundColor2(),
        view.GetBoxVisible(),
        view.GetAxisLabelsVisible(),
        view.GetUseDepthPeeling(),
    )


def _set_look(view: slicer.vtkMRMLViewNode, look: ViewLook) -> None:
    below, above, box, labels, peels_depth = look
    with one_update(view):
        view.SetBackgroundColor(*below)
        view.SetBackgroundColor2(*above)
        view.SetBoxVisible(box)
        view.SetAxisLabelsVisible(labels)
        view.SetUseDepthPeeling(peels_depth)
