"""Undo and redo of what the lesions of a volume looked like."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import slicer

DEPTH = 20


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Attributes: segmentation: a copy; notes: what belongs to it outside the scene."""

    segmentation: slicer.vtkSegmentation
    notes: dict[str, Any] = field(default_factory=dict)


class History:
    """The last states of one segmentation node; a new one forgets what had been undone."""

    def __init__(self) -> None:
        self._past: deque[Snapshot] = deque(maxlen=DEPTH)
        self._future: list[Snapshot] = []

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        return bool(self._future)

    def remember(self, node: slicer.vtkMRMLSegmentationNode, notes: Mapping[str, Any]) -> None:
        """Keep the state as it is; call it before a change."""
        self._past.append(_snapshot(node, notes))
        self._future.clear()

    def undo(self, node: slicer.vtkMRMLSegmentationNode, notes: Mapping[str, Any]) -> dict[str, Any]:
        """Bring the state before back; returns its notes."""
        self._future.append(_snapshot(node, notes))
        return _restore(node, self._past.pop())

    def redo(self, node: slicer.vtkMRMLSegmentationNode, notes: Mapping[str, Any]) -> dict[str, Any]:
        """Bring back what was undone last; returns its notes."""
        self._past.append(_snapshot(node, notes))
        return _restore(node, self._future.pop())


def _snapshot(node: slicer.vtkMRMLSegmentationNode, notes: Mapping[str, Any]) -> Snapshot:
    copy = slicer.vtkSegmentation()
    copy.DeepCopy(node.GetSegmentation())
    return Snapshot(copy, dict(notes))


def _restore(node: slicer.vtkMRMLSegmentationNode, snapshot: Snapshot) -> dict[str, Any]:
    node.GetSegmentation().DeepCopy(snapshot.segmentation)
    return dict(snapshot.notes)
