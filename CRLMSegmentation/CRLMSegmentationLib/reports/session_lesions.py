"""What became of each lesion in a recorded session, read from its events."""

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
    """An outline that stood from a moment on.

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
class LesionStory:
    """Attributes:
    seed_ras_mm: where its seed lay last.
    removed: when its seed was removed, None while it is there.
    outlines: in their order; the last one stands, unless `is_without`.
    failure: of the last attempt, where it has failed.
    nearest: the moment at which a tip was nearest.
    """

    lesion: str
    seed_ras_mm: Sequence[float] | None = None
    removed: SessionEvent | None = None
    outlines: list[Outline] = field(default_factory=list)
    is_without: bool = True
    failure: SessionEvent | None = None
    nearest: SessionEvent | None = None

    @property
    def outline(self) -> Outline | None:
        """The one that stands at the end."""
        return None if self.is_without else self.outlines[-1]

    def add(self, outline: Outline) -> None:
        self.outlines.append(outline)
        self.is_without, self.failure = False, None

    def look_at_tip(self, event: SessionEvent) -> None:
        distance_mm = event.about.get("distance_mm")
        if distance_mm is not None and (self.nearest is None or distance_mm < self.nearest.about["distance_mm"]):
            self.nearest = event


def stories_of(events: Iterable[SessionEvent]) -> dict[str, LesionStory]:
    """Each lesion's, in the order in which they came up."""
    stories: dict[str, LesionStory] = {}
    results: dict[Any, Mapping[str, Any]] = {}
    for event in events:
        about, lesion = event.about, event.about.get("lesion")
        if event.event == kinds.RESULT:
            results[about.get("number")] = about
        if isinstance(lesion, str):
            _tell(stories.setdefault(lesion, LesionStory(lesion)), event, results)
    return stories


def _tell(story: LesionStory, event: SessionEvent, results: Mapping[Any, Mapping[str, Any]]) -> None:
    kind, about = event.event, event.about
    if kind in kinds.SEEDS:
        story.seed_ras_mm, story.removed = about.get("seed_ras_mm"), None
    elif kind == kinds.SEED_REMOVED:
        story.removed = event
    elif kind == kinds.RESULT:
        if is_volume(about.get("volume")):
            story.add(Outline(event, how_of(about), about, about))
    elif kind in kinds.OUTLINES:
        _change(story, event, results.get(about.get("result")))
    elif kind == kinds.FAILED and about.get("reason") != CANCELLED and about.get("purpose") not in WAITING:
        story.failure = event
    elif kind in (kinds.TIP, kinds.TIP_DISTANCE):
        story.look_at_tip(event)


def _change(story: LesionStory, event: SessionEvent, result: Mapping[str, Any] | None) -> None:
    about = event.about
    if is_volume(about.get("volume")):
        story.add(Outline(event, HOW[event.event], about, result))
    elif event.event == kinds.CORRECTED:  # it was overwritten before it could be read
        return
    elif result is not None and is_volume(result.get("volume")):
        story.add(Outline(event, HOW[event.event], result, result))
    else:
        story.is_without = True


def how_of(result: Mapping[str, Any]) -> str:
    """How a result came about, from its line."""
    return REFINED if result.get("purpose") == Purpose.REFINED.value else HOW[kinds.RESULT]


def is_volume(reference: object) -> bool:
    """Whether it tells of a volume, and not only which one it was."""
    return isinstance(reference, dict) and {"shape", "content_sha256", "geometry_sha256"} <= set(reference)


def key_of(volume: Mapping[str, Any]) -> VolumeKey:
    """By which the volume of an event is known: the same moment, voxels and place."""
    return volume.get("timestamp_s"), volume["content_sha256"], volume["geometry_sha256"]


@dataclass(frozen=True, eq=False)
class Sighting:
    """A lesion in one volume, and how far it has moved and grown since the one before; None for the first."""

    outline: Outline
    shift_mm: float | None
    change: float | None


def sightings_of(story: LesionStory) -> list[Sighting]:
    """The last outline in each volume in turn, empty ones excepted."""
    last: list[Outline] = []
    for outline in story.outlines:
        if outline.is_empty or outline.about.get("centre_ras_mm") is None:
            continue
        if last and last[-1].volume_key == outline.volume_key:
            last.pop()
        last.append(outline)
    return [_sighting(before, outline) for before, outline in zip([None, *last], last)]


def _sighting(before: Outline | None, outline: Outline) -> Sighting:
    if before is None:
        return Sighting(outline, None, None)
    moved_mm = np.subtract(outline.about["centre_ras_mm"], before.about["centre_ras_mm"])
    change = outline.about["volume_ml"] / before.about["volume_ml"] - 1
    return Sighting(outline, float(np.linalg.norm(moved_mm)), change)


def refined_pair(story: LesionStory) -> tuple[Outline, Outline] | None:
    """The last first answer and what refining has made of it, in the same volume and from the same seed."""
    found = [outline for outline in story.outlines if outline.about is outline.result]
    for place in range(len(found) - 1, 0, -1):
        before, after = found[place - 1], found[place]
        same = before.volume_key == after.volume_key and before.about["seed_ras_mm"] == after.about["seed_ras_mm"]
        if after.how == REFINED and before.how != REFINED and same:
            return None if before.is_empty or after.is_empty else (before, after)
    return None
