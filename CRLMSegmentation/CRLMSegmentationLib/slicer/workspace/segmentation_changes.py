"""Detects manual edits, undo, redo and loading of segmentations from changes in the scene.

The Segment Editor's brushes and its undo look alike to the scene, but segmentations are told apart by their
fingerprint and the result they are made of: one that a lesion has not had is a correction, one that it has had is an
undo. A change counts when the segmentation has rested, so that a brush is not followed at each stroke.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
import slicer

from ...core.box import Box, as_index
from ...core.geometry import part_to_ras, transform_points
from ...core.volume import Volume
from ...segmentation.results import LesionResult
from ..scene.masks import mask_in_volume, mask_of_segment
from ..scene.nodes import local_to_world
from .events import Cause
from .lesion import LesionSegmentation

REST_S = 1.0
ResultKey = tuple[object, ...]
NOTHING: ResultKey = ()
"""No segmentation; of another its fingerprint and what its result was asked by. Results themselves hold volumes."""
MAX_SEGMENTATIONS = 50
"""Of a lesion that are known again; more than can be undone."""


class ChangeKind(Enum):
    CORRECTED = "corrected"
    UNDONE = "undone"
    REDONE = "done again"
    TAKEN_OVER = "taken over"


@dataclass(frozen=True, eq=False)
class SegmentationChange:
    """A changed segmentation of a lesion.

    Attributes:
        segmentation: that is there now, or None.
        is_gone: it can no longer be read, since another is there.
    """

    kind: ChangeKind
    lesion: str
    segmentation: LesionSegmentation | None
    is_gone: bool = False


@dataclass(frozen=True, eq=False)
class _Pending:
    """A segmentation that has not rested since it was put into the scene."""

    segmentation: LesionSegmentation | None
    cause: Cause
    since_s: float


@dataclass(eq=False)
class _EditHistory:
    """The segmentations that a lesion has had, `at` the one that stands, and one that has not rested yet."""

    had: list[ResultKey] = field(default_factory=lambda: [NOTHING])
    at: int = 0
    pending: _Pending | None = None

    def add(self, found: LesionSegmentation | None) -> None:
        del self.had[self.at + 1 :]
        self.had.append(_known_by(found))
        del self.had[:-MAX_SEGMENTATIONS]
        self.at = len(self.had) - 1

    def find(self, found: LesionSegmentation | None) -> int | None:
        """Return the place of a segmentation in the list; the latest one before `at` first, then what was undone."""
        places = [*range(self.at, -1, -1), *range(self.at + 1, len(self.had))]
        return next((place for place in places if self.had[place] == _known_by(found)), None)

    def settle(self, pending: _Pending) -> ChangeKind | None:
        """Let the segmentation that has rested stand; returns what has happened, None where it stood already."""
        place = self.find(pending.segmentation)
        if place == self.at:
            return None
        if place is not None:
            kind = ChangeKind.UNDONE if place < self.at else ChangeKind.REDONE
            self.at = place
            return kind
        kind = _kind_of_unknown(pending)
        self.add(pending.segmentation)
        return kind


class SegmentationChanges:
    """Keeps the segmentations that each lesion has had, and returns changes once they have rested."""

    def __init__(self) -> None:
        self._courses: dict[str, _EditHistory] = {}

    def clear(self) -> None:
        """Forget all; another volume has other segmentations."""
        self._courses.clear()

    def remove(self, lesion: str) -> None:
        """Forget a lesion that was removed."""
        self._courses.pop(lesion, None)

    def replace(self, lesion: str, found: LesionSegmentation) -> SegmentationChange | None:
        """Note the segmentation of a new result, which is no change by hand.

        Returns:
            A correction that the result has overwritten before it had rested; None where there is none.
        """
        course = self._courses.setdefault(lesion, _EditHistory())
        pending, course.pending = course.pending, None
        before = None if pending is None else pending.segmentation
        is_lost = before is not None and course.find(before) is None
        course.add(found)
        return SegmentationChange(ChangeKind.CORRECTED, lesion, before, is_gone=True) if is_lost else None

    def add(self, lesion: str, found: LesionSegmentation | None, cause: Cause, now_s: float) -> None:
        """Note that another segmentation stands in the scene, or none."""
        course = self._courses.setdefault(lesion, _EditHistory())
        if course.pending is not None and course.pending.cause is Cause.LOADED:
            cause = Cause.LOADED  # nobody knows what it was before it was edited
        course.pending = _Pending(found, cause, now_s)

    def rested(self, now_s: float, is_last: bool = False) -> list[SegmentationChange]:
        """Return the changes that have rested by now, each once.

        Args:
            is_last: do not wait until they have rested.
        """
        changes = []
        for lesion, course in self._courses.items():
            pending = course.pending
            if pending is not None and (is_last or now_s - pending.since_s >= REST_S):
                course.pending = None
                kind = course.settle(pending)
                if kind is not None:
                    changes.append(SegmentationChange(kind, lesion, pending.segmentation))
        return changes


def key_of(result: LesionResult) -> ResultKey:
    """Return by what a result is recognized without holding its volume."""
    return result.requested_at_s, result.request


def _known_by(found: LesionSegmentation | None) -> ResultKey:
    if found is None:
        return NOTHING
    return (found.fingerprint, *(() if found.result is None else key_of(found.result)))


def _kind_of_unknown(pending: _Pending) -> ChangeKind:
    """Return what has happened where the lesion has not had the segmentation before."""
    if pending.cause is Cause.UNDONE:
        return ChangeKind.UNDONE
    if pending.cause is Cause.REDONE:
        return ChangeKind.REDONE
    is_loaded = (
        pending.cause is Cause.LOADED and pending.segmentation is not None and pending.segmentation.result is None
    )
    return ChangeKind.TAKEN_OVER if is_loaded else ChangeKind.CORRECTED


def segmentation_in(
    volume: Volume, node: slicer.vtkMRMLSegmentationNode, lesion: str
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Return the voxels of a segmentation, bool, on a part of the grid of a volume, and the index of the first one.

    Only where the segmentation is, since a whole volume takes a tenth of a second.
    """
    mask, mask_to_local = mask_of_segment(node, lesion)
    if not mask.any():
        return np.zeros((0, 0, 0), bool), (0, 0, 0)
    world_to_local = np.linalg.inv(local_to_world(node))
    grid_to_local = world_to_local @ volume.ijk_to_ras
    ijk = transform_points(np.linalg.inv(grid_to_local) @ mask_to_local, Box.of_shape(mask.shape).corners_ijk)
    start = np.clip(np.floor(ijk.min(axis=0)).astype(int) - 1, 0, volume.shape_ijk - 2)  # a single slice is no volume
    stop = np.clip(np.ceil(ijk.max(axis=0)).astype(int) + 2, start + 2, volume.shape_ijk)
    box = Box(as_index(start[::-1]), as_index(stop[::-1]))
    part_to_local = part_to_ras(grid_to_local, box.start_kji)
    part = replace(volume, array=volume.array[box.slices], ijk_to_ras=part_to_local, insonified=None, missing=None)
    return mask_in_volume(node, lesion, part), box.start_kji
