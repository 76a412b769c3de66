"""What is asked of the network after the first answer, and what becomes of the answers.

    first answer, fast -> cut off by the crop? ask again with a larger one, its margin is unsafe meanwhile
                       -> in the background, once nothing else waits: refined (mirrored copies, all folds),
                          then repeated from other seeds and mirrored -> consensus surfaces, confidence

Knows no session and no scene: takes results, says what to ask next. A new seed or volume makes all of it void.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..core.metrics import symmetric_distances_mm
from ..core.postprocessing import TOUCHES_EDGE, TOUCHES_EMPTY, TOUCHES_VOLUME_EDGE, LesionMask
from ..core.status import Reason, Status
from .consensus import Consensus, Repeat, consensus_of, on_one_grid, repeats_of
from .results import Purpose

GROWTH = 1.4
"""Of the crop's edge, when a tumour touches it: its volume grows to 2.7 times."""
LARGEST_CROP_MM = 200.0
"""Longer than any metastasis, and than most volumes; beyond it a crop is mostly air."""
CUT_OFF, NOT_SWEPT = Status(Reason.CUT_OFF), Status(Reason.NOT_SWEPT)


@dataclass(frozen=True)
class Ask:
    """One run of the network.

    Attributes:
        crop_size_mm: None for the whole volume.
        thorough: all folds and mirrored copies; else the first fold alone.
        flip: array axes along which the crop is turned round.
    """

    lesion: str
    purpose: Purpose
    seed_ras_mm: tuple[float, float, float]
    crop_size_mm: float | None
    thorough: bool = False
    flip: tuple[int, ...] = ()


@dataclass(frozen=True)
class Change:
    """How far the refined outline lies from the first one: mean and largest distance of their surfaces."""

    mean_mm: float
    largest_mm: float

    def __str__(self) -> str:
        return f"refined: the outline moved by {self.mean_mm:.1f} mm, {self.largest_mm:.1f} mm at most"


@dataclass(eq=False)
class _Course:
    """Where one lesion stands."""

    ask: Ask
    masks: list[LesionMask] = field(default_factory=list)
    waiting: list[Repeat] = field(default_factory=list)
    change: Change | None = None
    consensus: Consensus | None = None


class Refinement:
    """Keeps the course of each lesion.

    Args:
        can_refine: the model has several folds, or mirrored copies to average over.
        repeat: make consensus surfaces.

    Attributes:
        repeat: as given; may be changed at any time.
    """

    def __init__(self, can_refine: bool, repeat: bool = True) -> None:
        self.can_refine, self.repeat = can_refine, repeat
        self._courses: dict[str, _Course] = {}

    def take(self, ask: Ask, mask: LesionMask) -> list[Ask]:
        """Take an answer and say what to ask next, in this order.

        What was asked before the newest ANSWER of its lesion must not come here: its seed or volume is another.
        """
        if ask.purpose is Purpose.ANSWER or ask.lesion not in self._courses:
            self._courses[ask.lesion] = _Course(ask)
        course = self._courses[ask.lesion]
        if ask.purpose in (Purpose.ANSWER, Purpose.GROWN):
            return self._answered(course, ask, mask)
        if ask.purpose is Purpose.REFINED:
            course.change = change_of(course.masks[0], mask)
            course.masks = [mask]
            return _grown(ask, mask) or self._repeats(course, ask, mask)
        course.masks.append(mask)
        if course.waiting:
            return [self._next_repeat(course)]
        course.consensus = consensus_of(course.masks)
        return []

    def forget(self, lesion: str) -> None:
        """Its seed or its volume is another now."""
        self._courses.pop(lesion, None)

    def change_of(self, lesion: str) -> Change | None:
        """What refining has changed; None before it has been done."""
        return self._courses[lesion].change if lesion in self._courses else None

    def consensus_of(self, lesion: str) -> Consensus | None:
        """The consensus surfaces; None before all runs are there."""
        return self._courses[lesion].consensus if lesion in self._courses else None

    def _answered(self, course: _Course, ask: Ask, mask: LesionMask) -> list[Ask]:
        course.ask, course.masks, course.consensus, course.change = ask, [mask], None, None
        grown = _grown(ask, mask)
        if grown or mask.is_empty:
            return grown
        if self.can_refine and not ask.thorough:
            return [replace(ask, purpose=Purpose.REFINED, thorough=True)]
        return self._repeats(course, ask, mask)

    def _repeats(self, course: _Course, ask: Ask, mask: LesionMask) -> list[Ask]:
        if not self.repeat or mask.is_empty:
            return []
        course.waiting = repeats_of(np.array(course.ask.seed_ras_mm), mask)
        return [self._next_repeat(course)]

    @staticmethod
    def _next_repeat(course: _Course) -> Ask:
        """One after the other, so that nothing has to be called back when the lesion is clicked anew."""
        run = course.waiting.pop(0)
        return replace(course.ask, purpose=Purpose.REPEATED, seed_ras_mm=run.seed_ras_mm, flip=run.flip, thorough=False)


def change_of(before: LesionMask, after: LesionMask) -> Change | None:
    """How far two outlines on the grid of one volume lie apart; None where one of them is empty."""
    if before.is_empty or after.is_empty:
        return None
    arrays, _ = on_one_grid([before, after])
    distances_mm = symmetric_distances_mm(*arrays, before.ijk_to_ras)
    return Change(float(distances_mm.mean()), float(distances_mm.max()))


def unreliable_reason_of(mask: LesionMask) -> Status | None:
    """Why the border of an outline is not to be relied on, or None."""
    if TOUCHES_EDGE in mask.warnings:
        return CUT_OFF
    return NOT_SWEPT if TOUCHES_EMPTY in mask.warnings or TOUCHES_VOLUME_EDGE in mask.warnings else None


def _grown(ask: Ask, mask: LesionMask) -> list[Ask]:
    """The same in the next larger crop, where one is needed and there is one."""
    if TOUCHES_EDGE not in mask.warnings or ask.crop_size_mm is None or ask.crop_size_mm >= LARGEST_CROP_MM:
        return []
    larger_mm = min(LARGEST_CROP_MM, round(GROWTH * ask.crop_size_mm, 1))
    return [replace(ask, purpose=Purpose.GROWN, crop_size_mm=larger_mm)]
