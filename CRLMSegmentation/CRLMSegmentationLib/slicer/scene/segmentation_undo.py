"""Undo and redo for the segmentation of a volume."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import slicer

DEPTH = 20
MAX_BYTES = 200e6
"""Of the segmentations that one history remembers; those of the liver's largest tumours take about a megabyte each."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Copy of a segmentation for undo.

    Attributes:
        segmentation: the copy.
        notes: what belongs to it outside the scene.
        size_bytes: of the copy.
    """

    segmentation: slicer.vtkSegmentation
    notes: dict[str, Any] = field(default_factory=dict)
    size_bytes: int = 0


class UndoStack:
    """The last states of one segmentation node, for undo and redo.

    Args:
        max_bytes: of all states together; the oldest are forgotten, the last one is always kept.
    """

    def __init__(self, max_bytes: float = MAX_BYTES) -> None:
        self._past: deque[Snapshot] = deque(maxlen=DEPTH)
        self._future: list[Snapshot] = []
        self._max_bytes = max_bytes

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        return bool(self._future)

    @property
    def size_bytes(self) -> int:
        """Bytes of all states that are remembered."""
        return sum(snapshot.size_bytes for snapshot in (*self._past, *self._future))

    def remember(self, node: slicer.vtkMRMLSegmentationNode, notes: Mapping[str, Any]) -> None:
        """Store the present state, and drop what had been undone; call it before a change."""
        self._past.append(_snapshot(node, notes))
        self._future.clear()
        while len(self._past) > 1 and self.size_bytes > self._max_bytes:
            self._past.popleft()

    def undo(self, node: slicer.vtkMRMLSegmentationNode, notes: Mapping[str, Any]) -> dict[str, Any]:
        """Restore the state before; returns its notes."""
        self._future.append(_snapshot(node, notes))
        return _restore(node, self._past.pop())

    def redo(self, node: slicer.vtkMRMLSegmentationNode, notes: Mapping[str, Any]) -> dict[str, Any]:
        """Restore the state that was undone last; returns its notes."""
        self._past.append(_snapshot(node, notes))
        return _restore(node, self._future.pop())

    def take_back(
        self,
        node: slicer.vtkMRMLSegmentationNode,
        notes: Mapping[str, Any],
        segment_id: str,
        is_wanted: Callable[[slicer.vtkSegment], bool],
    ) -> dict[str, Any] | None:
        """Restore one segment from the newest state in which it is wanted; redo brings the present state back.

        Returns:
            The notes of that state; None where it is remembered in none, and nothing has changed.
        """
        for snapshot in reversed(self._past):
            found = snapshot.segmentation.GetSegment(segment_id)
            if found is not None and is_wanted(found):
                self._future.append(_snapshot(node, notes))
                if snapshot is self._past[-1]:
                    self._past.pop()
                restored = _with_segment(node.GetSegmentation(), segment_id, found)
                node.GetSegmentation().DeepCopy(restored)
                return dict(snapshot.notes)
        return None


def _with_segment(
    segmentation: slicer.vtkSegmentation, segment_id: str, segment: slicer.vtkSegment
) -> slicer.vtkSegmentation:
    """Return a copy of a segmentation with another segment in the place of one."""
    copy, other = slicer.vtkSegmentation(), slicer.vtkSegment()
    copy.DeepCopy(segmentation)
    other.DeepCopy(segment)
    ids = list(copy.GetSegmentIDs())
    following = ids[ids.index(segment_id) + 1] if segment_id in ids[:-1] else ""
    copy.RemoveSegment(segment_id)
    copy.AddSegment(other, segment_id, following)
    return copy


def _snapshot(node: slicer.vtkMRMLSegmentationNode, notes: Mapping[str, Any]) -> Snapshot:
    copy = slicer.vtkSegmentation()
    copy.DeepCopy(node.GetSegmentation())
    return Snapshot(copy, dict(notes), size_of(copy))


def _restore(node: slicer.vtkMRMLSegmentationNode, snapshot: Snapshot) -> dict[str, Any]:
    node.GetSegmentation().DeepCopy(snapshot.segmentation)
    return dict(snapshot.notes)


def size_of(segmentation: slicer.vtkSegmentation) -> int:
    """Return the bytes of the voxels and surfaces of a segmentation; those that segments share count once."""
    names: list[str] = []
    segmentation.GetContainedRepresentationNames(names)
    segments = [segmentation.GetNthSegment(number) for number in range(segmentation.GetNumberOfSegments())]
    parts = (segment.GetRepresentation(name) for segment in segments for name in names)
    sizes = {part.GetAddressAsString(""): part.GetActualMemorySize() for part in parts if part is not None}
    return 1024 * int(sum(sizes.values()))
