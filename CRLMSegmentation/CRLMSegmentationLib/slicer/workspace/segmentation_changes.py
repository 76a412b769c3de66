"""What users do to outlines, seen from the lesion store: corrected, undone, done again, taken over with a scene.

Brushes and undo leave no message, but outlines are told apart by their fingerprint and the result they are made of:
one that a lesion has not had is a correction, one that it has had is an undo. A change counts when the outline has
rested, so that a brush is not followed at each stroke.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
import slicer

from ...core.box import Box, as_index
from ...core.geometry import part_to_ras, transform_points
from ...core.volume import Volume
from ..scene.masks import mask_in_volume, mask_of_segment
from ..scene.nodes import local_to_world
from .lesion import Found
from .lesion_store import LesionStore

REST_S = 1.0
NOTHING: tuple = ()
"""No outline; of another its fingerprint and what its result was asked by. Results themselves hold large volumes."""
MAX_OUTLINES = 50
"""Of a lesion that are known again; more than can be undone."""


class Kind(Enum):
    CORRECTED = "corrected"
    UNDONE = "undone"
    REDONE = "done again"
    TAKEN_OVER = "taken over"


@dataclass(frozen=True, eq=False)
class OutlineChange:
    """Attributes: found: what stands now, or None; is_gone: it can no longer be read, something else stands there."""

    kind: Kind
    lesion: str
    found: Found | None
    is_gone: bool = False


@dataclass(eq=False)
class _Course:
    """The outlines that a lesion has had, `at` the one that stands; `changed_at_s` while it has not rested."""

    had: list[tuple] = field(default_factory=lambda: [NOTHING])
    at: int = 0
    found: Found | None = None
    changed_at_s: float | None = None

    def add(self, found: Found) -> None:
        del self.had[self.at + 1 :]
        self.had.append(_known_by(found))
        del self.had[:-MAX_OUTLINES]
        self.at = len(self.had) - 1

    def find(self, found: Found | None) -> int | None:
        """When the lesion has had it, the latest time first; what had been undone comes last."""
        places = [*range(self.at, -1, -1), *range(self.at + 1, len(self.had))]
        return next((place for place in places if self.had[place] == _known_by(found)), None)


class OutlineChanges:
    """Looks at a lesion store.

    Args:
        is_answer: whether an outline is that of a result that has come since the last look.
    """

    def __init__(self, lesion_store: LesionStore, is_answer: Callable[[Found], bool]) -> None:
        self._lesion_store, self._is_answer = lesion_store, is_answer
        self._courses: dict[str, _Course] = {}

    def forget(self) -> None:
        """Another volume has other outlines."""
        self._courses.clear()

    def look(self, now_s: float, is_last: bool = False) -> list[OutlineChange]:
        """What has changed, and has rested since.

        Args:
            is_last: do not wait until it has rested.
        """
        entries = self._lesion_store.entries
        for lesion in [lesion for lesion in self._courses if lesion not in entries]:
            del self._courses[lesion]
        return [change for lesion in entries for change in self._look_at(lesion, now_s, is_last)]

    def _look_at(self, lesion: str, now_s: float, is_last: bool) -> Iterator[OutlineChange]:
        course, found = self._courses.setdefault(lesion, _Course()), self._lesion_store.entries[lesion].found
        if found is not course.found:
            before, course.found = course.found, found
            if found is not None and self._is_answer(found):
                yield from self._lost(lesion, course, before)
                course.add(found)
                course.changed_at_s = None
                return
            course.changed_at_s = now_s
        if course.changed_at_s is not None and (is_last or now_s - course.changed_at_s >= REST_S):
            course.changed_at_s = None
            yield from self._settled(lesion, course)

    def _settled(self, lesion: str, course: _Course) -> Iterator[OutlineChange]:
        found = course.found
        place = course.find(found)
        if place == course.at:
            return
        if place is not None:
            kind = Kind.UNDONE if place < course.at else Kind.REDONE
            course.at = place
        else:
            kind = _kind_of_unknown(found, is_first=course.had == [NOTHING])
            course.add(found)
        yield OutlineChange(kind, lesion, found)

    @staticmethod
    def _lost(lesion: str, course: _Course, before: Found | None) -> Iterator[OutlineChange]:
        """A correction that an answer has overwritten before it had rested."""
        if course.changed_at_s is not None and before is not None and course.find(before) is None:
            yield OutlineChange(Kind.CORRECTED, lesion, before, is_gone=True)


def _known_by(found: Found | None) -> tuple:
    if found is None:
        return NOTHING
    result = found.result
    return (found.fingerprint, *(() if result is None else (result.requested_at_s, result.request)))


def _kind_of_unknown(found: Found, is_first: bool) -> Kind:
    if found.result is None and is_first:
        return Kind.TAKEN_OVER
    is_as_found = found.result is not None and not found.corrected  # its lesion was removed and has come back
    return Kind.UNDONE if is_as_found else Kind.CORRECTED


def outline_in(
    volume: Volume, node: slicer.vtkMRMLSegmentationNode, lesion: str
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """An outline as it stands in the scene: bool, a part of the grid of the volume, and the index of its first voxel.

    Only where the outline is, since a whole volume takes a tenth of a second.
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
    part = replace(volume, array=volume.array[box.slices], ijk_to_ras=part_to_local, swept=None, missing=None)
    return mask_in_volume(node, lesion, part), box.start_kji
