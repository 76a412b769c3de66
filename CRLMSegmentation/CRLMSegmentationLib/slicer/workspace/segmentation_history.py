"""What undo and redo restore: the earlier segmentations of each volume, and what is known of their lesions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import slicer

from ..scene.segmentation_undo import UndoStack
from .current_volume import CurrentVolume
from .lesion import Lesion, LesionSegmentation, segmentation_of, voxels_changed_at

Segmentations = dict[str, LesionSegmentation]
"""By lesion."""


class SegmentationHistory:
    """Remembers the segmentations of the current volume, without the voxels of the volumes, to save memory.

    Args:
        node_of: returns the segmentation node of the current volume.
        entries: the lesions as they are.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        volume: CurrentVolume,
        node_of: Callable[[], slicer.vtkMRMLSegmentationNode | None],
        entries: Mapping[str, Lesion],
    ) -> None:
        self._scene, self._volume, self._node_of, self._entries = scene, volume, node_of, entries
        self._stacks: dict[str, tuple[slicer.vtkMRMLSegmentationNode, UndoStack]] = {}

    @property
    def can_undo(self) -> bool:
        stack = self._stack
        return stack is not None and stack.can_undo

    @property
    def can_redo(self) -> bool:
        stack = self._stack
        return stack is not None and stack.can_redo

    def remember(self) -> None:
        """Store the present segmentations; call it before a change."""
        stack = self._stack
        if stack is not None:
            stack.remember(self._node_of(), self._segmentations())

    def undo(self) -> Segmentations | None:
        """Restore the state before in the scene; returns what was known of its lesions, None where there is none."""
        stack = self._stack
        if stack is None or not stack.can_undo:
            return None
        return self._restored(stack.undo(self._node_of(), self._segmentations()))

    def redo(self) -> Segmentations | None:
        """Restore the state that was undone last; returns the same as `undo`."""
        stack = self._stack
        if stack is None or not stack.can_redo:
            return None
        return self._restored(stack.redo(self._node_of(), self._segmentations()))

    def take_back(self, lesion: str, is_wanted: Callable[[slicer.vtkSegment], bool]) -> LesionSegmentation | None:
        """Restore one lesion as in the newest state in which it is wanted; None where it is in none."""
        stack, node = self._stack, self._node_of()
        if stack is None or node is None:
            return None
        notes = stack.take_back(node, self._segmentations(), lesion, is_wanted)
        if notes is None:
            return None
        return self._restored(notes).get(lesion) or segmentation_of(node, lesion)

    def forget_deleted(self) -> None:
        """Forget the history of segmentations that were deleted."""
        for key in [key for key, (node, _stack) in self._stacks.items() if node.GetScene() is not self._scene]:
            del self._stacks[key]

    @property
    def _stack(self) -> UndoStack | None:
        node = self._node_of()
        if node is None:
            return None
        known, stack = self._stacks.get(node.GetID(), (None, None))
        if known is not node:  # another node of the same ID, once the scene has been cleared
            stack = UndoStack()
            self._stacks[node.GetID()] = node, stack
        return stack

    def _segmentations(self) -> Segmentations:
        return {
            lesion: self._without_voxels(entry.segmentation)
            for lesion, entry in self._entries.items()
            if entry.segmentation
        }

    def _restored(self, remembered: Segmentations) -> Segmentations:
        """Return the segmentations that stand in the scene again, with voxels where their volume is the current one."""
        node = self._node_of()
        if node is None:
            return {}
        return {
            lesion: replace(self._with_voxels(found), changed_at=voxels_changed_at(node, lesion))
            for lesion, found in remembered.items()
            if node.GetSegmentation().GetSegment(lesion) is not None
        }

    def _without_voxels(self, found: LesionSegmentation) -> LesionSegmentation:
        if found.result is None:
            return found
        volume = self._volume.without_voxels(found.result.volume)
        return replace(found, result=replace(found.result, volume=volume))

    def _with_voxels(self, found: LesionSegmentation) -> LesionSegmentation:
        current = self._volume.volume
        if found.result is None or current is None or found.result.volume.identity != current.identity:
            return found
        return replace(found, result=replace(found.result, volume=current))
