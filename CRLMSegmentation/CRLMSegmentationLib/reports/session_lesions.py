"""Reads the history of each lesion from the events of a recorded session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..recording import session_events as kinds
from ..recording.session_events import SessionEvent
from ..segmentation.results import CANCELLED, Purpose

HOW = {
    kinds.RESULT: "segmented",
    kinds.CORRECTED: "corrected by hand",
    kinds.UNDONE: "brought back by undo",
    kinds.REDONE: "brought back by redo",
    kinds.TAKEN_OVER: "taken over with a scene",
}
VolumeKey = tuple[Any, str, str]
REFINED = "refined in the background"
WAITING = tuple(purpose.value for purpose in Purpose if purpose.is_background)
"""What nobody waits for; where it fails, the answer stands."""


@dataclass(frozen=True, eq=False)
class Outline:
    """A segmentation of a lesion that was current from a moment on.

    Attributes:
        about: with `volume`, `mask`, `volume_ml`, `diameters_mm`, `centre_ras_mm`, see `recording.session_recorder`.
        result: the line of the result that it is or was made of; None where it was loaded.
    """

    event: SessionEvent
    how: str
    about: Mapping[str, Any]
    result: Mapping[str, Any] | None

    @property
    def is_empty(self) -> bool:
        return not self.about.get("volume_ml")

    @property
    def volume_key(self) -> VolumeKey:
        return key_of(self.about["volume"])


@dataclass(eq=False)
class RecordedLesion:
    """The history of one lesion in a session.

    Attributes:
        seed_ras_mm: the last position of its seed.
        removed: when its seed was removed; None while it is there.
        segmentations: its segmentations in their order; the last one is current, unless `is_without`.
        failure: of the last attempt, where it has failed.
        nearest: the event at which a tip was nearest.
    """

    lesion: str
    seed_ras_mm: Sequence[float] | None = None
    removed: SessionEvent | None = None
    segmentations: list[Outline] = field(default_factory=list)
    is_without: bool = True
    failure: SessionEvent | None = None
    nearest: SessionEvent | None = None

    @property
    def segmentation(self) -> Outline | None:
        """The current segmentation at the end; None without one."""
        return None if self.is_without else self.segmentations[-1]

    def add(self, segmentation: Outline) -> None:
        self.segmentations.append(segmentation)
        self.is_without, self.failure = False, None

    def update_nearest(self, event: SessionEvent) -> None:
        distance_mm = event.about.get("distance_mm")
        if distance_mm is not None and (self.nearest is None or distance_mm < self.nearest.about["distance_mm"]):
            self.nearest = event


def histories_of(events: Iterable[SessionEvent]) -> dict[str, RecordedLesion]:
    """Return the history of each lesion, in the order in which they first occur."""
    histories: dict[str, RecordedLesion] = {}
    results: dict[Any, Mapping[str, Any]] = {}
    for event in events:
        about, lesion = event.about, event.about.get("lesion")
        if event.event == kinds.RESULT:
            results[about.get("number")] = about
        if isinstance(lesion, str):
            _apply(histories.setdefault(lesion, RecordedLesion(lesion)), event, results)
    return histories


def _apply(history: RecordedLesion, event: SessionEvent, results: Mapping[Any, Mapping[str, Any]]) -> None:
    kind, about = event.event, event.about
    if kind in kinds.SEEDS:
        history.seed_ras_mm, history.removed = about.get("seed_ras_mm"), None
    elif kind == kinds.SEED_REMOVED:
        history.removed = event
    elif kind == kinds.RESULT:
        if is_volume(about.get("volume")):
            history.add(Outline(event, how_of(about), about, about))
    elif kind in kinds.SEGMENTATIONS:
        _change(history, event, results.get(about.get("result")))
    elif kind == kinds.FAILED and about.get("reason") != CANCELLED and about.get("purpose") not in WAITING:
        history.failure = event
    elif kind in (kinds.TIP, kinds.TIP_DISTANCE):
        history.update_nearest(event)


def _change(history: RecordedLesion, event: SessionEvent, result: Mapping[str, Any] | None) -> None:
    about = event.about
    if is_volume(about.get("volume")):
        history.add(Outline(event, HOW[event.event], about, result))
    elif event.event == kinds.CORRECTED:  # it was overwritten before it could be read
        return
    elif result is not None and is_volume(result.get("volume")):
        history.add(Outline(event, HOW[event.event], result, result))
    else:
        history.is_without = True


def how_of(result: Mapping[str, Any]) -> str:
    """Return how a result was made, from its event."""
    return REFINED if result.get("purpose") == Purpose.REFINED.value else HOW[kinds.RESULT]


def is_volume(reference: object) -> bool:
    """Return whether a reference describes a volume, and does not only identify it."""
    return isinstance(reference, dict) and {"shape", "content_sha256", "geometry_sha256"} <= set(reference)


def key_of(volume: Mapping[str, Any]) -> VolumeKey:
    """Return what identifies the volume of an event: time, voxels and place."""
    return volume.get("timestamp_s"), volume["content_sha256"], volume["geometry_sha256"]


@dataclass(frozen=True, eq=False)
class LesionChange:
    """A lesion in one volume, with shift and growth since the volume before; None for the first."""

    segmentation: Outline
    shift_mm: float | None
    change: float | None


def sightings_of(history: RecordedLesion) -> list[LesionChange]:
    """Return the last segmentation in each volume in turn, without empty ones."""
    last: list[Outline] = []
    for segmentation in history.segmentations:
        if segmentation.is_empty or segmentation.about.get("centre_ras_mm") is None:
            continue
        if last and last[-1].volume_key == segmentation.volume_key:
            last.pop()
        last.append(segmentation)
    return [_sighting(before, segmentation) for before, segmentation in zip([None, *last], last)]


def _sighting(before: Outline | None, segmentation: Outline) -> LesionChange:
    if before is None:
        return LesionChange(segmentation, None, None)
    moved_mm = np.subtract(segmentation.about["centre_ras_mm"], before.about["centre_ras_mm"])
    change = segmentation.about["volume_ml"] / before.about["volume_ml"] - 1
    return LesionChange(segmentation, float(np.linalg.norm(moved_mm)), change)


def refined_pair(history: RecordedLesion) -> tuple[Outline, Outline] | None:
    """Return the last result that was refined, and its refinement, in one volume and from one seed and its points."""
    found = [segmentation for segmentation in history.segmentations if segmentation.about is segmentation.result]
    for place in range(len(found) - 1, 0, -1):
        before, after = found[place - 1], found[place]
        same = before.volume_key == after.volume_key and _clicks_of(before) == _clicks_of(after)
        if after.how == REFINED and before.how != REFINED and same:
            return None if before.is_empty or after.is_empty else (before, after)
    return None


def _clicks_of(segmentation: Outline) -> tuple[Any, Any]:
    """Return the seed and the correction points, as recorded; earlier versions have recorded no points."""
    return segmentation.about["seed_ras_mm"], segmentation.about.get("points", [])
