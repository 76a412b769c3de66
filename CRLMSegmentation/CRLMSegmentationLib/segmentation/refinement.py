"""Refinement of a first result: a larger crop, the full ensemble, and repeats for the consensus surfaces.

    first result, fast -> cut off by the crop? request a larger one, its margin is unsafe meanwhile
                       -> in the background, once nothing else waits: refined (mirrored copies, all folds),
                          then repeated from other seeds and mirrored -> consensus surfaces, confidence

It needs no session and no scene: it is given results and returns the next requests. A new seed or volume makes all
earlier ones void.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from ..core.crop_format import LARGEST_CROP_MM
from ..core.metrics import symmetric_distances_mm
from ..core.point_checks import crop_size_holding
from ..core.postprocessing import TOUCHES_EDGE, TOUCHES_EMPTY, TOUCHES_VOLUME_EDGE, LesionMask
from ..core.reasons import Reason, ReasonCode
from .consensus import Consensus, Repeat, consensus_of, on_one_grid, repeats_of
from .results import Purpose, Request

GROWTH = 1.4
"""Of the crop's edge, when a tumour touches it: its volume grows to 2.7 times."""
CUT_OFF, NOT_INSONIFIED = Reason(ReasonCode.CUT_OFF), Reason(ReasonCode.NOT_INSONIFIED)


@dataclass(frozen=True)
class Change:
    """Mean and largest distance between the surfaces of the first and the refined segmentation, in mm."""

    mean_mm: float
    largest_mm: float

    def __str__(self) -> str:
        return f"refined: the segmentation moved by {self.mean_mm:.1f} mm, {self.largest_mm:.1f} mm at most"


@dataclass(eq=False)
class _RefinementRuns:
    """The runs of one lesion so far: its newest request, and the masks that the consensus is made of."""

    request: Request
    masks: list[LesionMask] = field(default_factory=list)
    waiting: list[Repeat] = field(default_factory=list)
    change: Change | None = None
    consensus: Consensus | None = None


class Refinement:
    """Decides for each lesion what to request next, and gathers the results.

    Args:
        can_refine: the model has several folds, or mirrored copies to average over.
        repeat: make consensus surfaces.

    Attributes:
        repeat: as given; may be changed at any time.
    """

    def __init__(self, can_refine: bool, repeat: bool = True) -> None:
        self.can_refine, self.repeat = can_refine, repeat
        self._courses: dict[str, _RefinementRuns] = {}

    def store(self, request: Request, mask: LesionMask) -> list[Request]:
        """Store the result of a request, and return the requests that follow from it, in their order.

        Results of requests older than the newest ANSWER of the lesion must not be given: their seed or volume is
        another.
        """
        if request.purpose is Purpose.ANSWER or request.lesion not in self._courses:
            self._courses[request.lesion] = _RefinementRuns(request)
        course = self._courses[request.lesion]
        if request.purpose in (Purpose.ANSWER, Purpose.GROWN):
            return self._answered(course, request, mask)
        if request.purpose is Purpose.REFINED:
            course.change = change_of(course.masks[0], mask)
            course.masks = [mask]
            return _grown(request, mask) or self._repeats(course, mask)
        course.masks.append(mask)
        if course.waiting:
            return [self._next_repeat(course)]
        course.consensus = consensus_of(course.masks)
        return []

    def forget(self, lesion: str) -> None:
        """Drop the results of a lesion, since its seed or its volume has changed."""
        self._courses.pop(lesion, None)

    def change_of(self, lesion: str) -> Change | None:
        """Return how far the refinement has moved the surface; None before it has run."""
        return self._courses[lesion].change if lesion in self._courses else None

    def consensus_of(self, lesion: str) -> Consensus | None:
        """Return the consensus surfaces; None before all repeats are done."""
        return self._courses[lesion].consensus if lesion in self._courses else None

    def _answered(self, course: _RefinementRuns, request: Request, mask: LesionMask) -> list[Request]:
        course.request, course.masks, course.consensus, course.change = request, [mask], None, None
        grown = _grown(request, mask)
        if grown or mask.is_empty:
            return grown
        if self.can_refine and not request.options.is_full_ensemble:
            full = replace(request.options, mirroring=True, first_fold_only=False)
            return [replace(request, purpose=Purpose.REFINED, options=full)]
        return self._repeats(course, mask)

    def _repeats(self, course: _RefinementRuns, mask: LesionMask) -> list[Request]:
        if not self.repeat or mask.is_empty:
            return []
        course.waiting = repeats_of(np.array(course.request.seed_ras_mm), mask)
        return [self._next_repeat(course)]

    @staticmethod
    def _next_repeat(course: _RefinementRuns) -> Request:
        """Return one repeat at a time, so that none has to be cancelled when a new seed is placed.

        The points stay where they are; the crop around a moved seed is as wide as they need.
        """
        run, size_mm = course.waiting.pop(0), course.request.options.crop_size_mm
        if size_mm is not None:
            size_mm = crop_size_holding(size_mm, run.seed_ras_mm, course.request.points, largest_mm=math.inf)
        options = replace(
            course.request.options, crop_size_mm=size_mm, mirroring=False, first_fold_only=True, flip=run.flip
        )
        return replace(course.request, seed_ras_mm=run.seed_ras_mm, options=options, purpose=Purpose.REPEATED)


def change_of(before: LesionMask, after: LesionMask) -> Change | None:
    """Return the surface distances of two masks on the grid of one volume; None where one is empty."""
    if before.is_empty or after.is_empty:
        return None
    (first, second), _ = on_one_grid([before, after])
    distances_mm = symmetric_distances_mm(first, second, before.ijk_to_ras)
    return Change(float(distances_mm.mean()), float(distances_mm.max()))


def unreliable_reason_of(mask: LesionMask) -> Reason | None:
    """Return why the border of a segmentation is unreliable, or None."""
    if TOUCHES_EDGE in mask.warnings:
        return CUT_OFF
    return NOT_INSONIFIED if TOUCHES_EMPTY in mask.warnings or TOUCHES_VOLUME_EDGE in mask.warnings else None


def _grown(request: Request, mask: LesionMask) -> list[Request]:
    """Return the same request in the next larger crop, where one is needed and there is one."""
    size_mm = request.options.crop_size_mm
    if TOUCHES_EDGE not in mask.warnings or size_mm is None or size_mm >= LARGEST_CROP_MM:
        return []
    larger_mm = min(LARGEST_CROP_MM, round(GROWTH * size_mm, 1))
    return [replace(request, purpose=Purpose.GROWN, options=replace(request.options, crop_size_mm=larger_mm))]
