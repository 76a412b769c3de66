"""The events of a workspace, and the protocol of those that listen to them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol, Union

import numpy as np

from ...core.points import CorrectionPoint
from ...core.volume import Volume, VolumeIdentity
from ...segmentation.incoming import LinkChanged, Noticed, Refused
from ...segmentation.models.package import ModelPackage
from ...segmentation.results import LesionFailed, LesionResult, ModelReady
from ...tracking.situation import Situation
from ..scene.correction_points import NumberedPoints
from .lesion import LesionSegmentation


class Cause(Enum):
    """Why the segmentation of a lesion has changed other than by a new result."""

    EDITED = "edited"
    DELETED = "deleted"
    UNDONE = "undone"
    REDONE = "redone"
    LOADED = "loaded"


@dataclass(frozen=True, eq=False)
class SeedMoved:
    """A seed was placed, moved or taken away (None); world RAS mm, shape (3,). A dragged seed moves many times.

    Attributes:
        is_settled: it will not be dragged any further, as one that was loaded with a scene.
    """

    lesion: str
    seed_ras_mm: np.ndarray | None
    is_settled: bool = False


@dataclass(frozen=True, eq=False)
class PointsChanged:
    """The correction points of a lesion were placed, moved or removed. A dragged point moves many times.

    Attributes:
        points: all that the lesion has now, by their numbers.
        is_settled: they will not be dragged any further, as those that were loaded with a scene.
    """

    lesion: str
    points: NumberedPoints
    is_settled: bool = False


@dataclass(frozen=True)
class PointRefused:
    """A correction point was removed at once, or put back to where it had been dragged from, for a reason."""

    lesion: str
    point: CorrectionPoint
    reason: str


@dataclass(frozen=True)
class LesionRemoved:
    """A lesion was removed together with its seed."""

    lesion: str


@dataclass(frozen=True, eq=False)
class LesionAsked:
    """A lesion is about to be segmented.

    Attributes:
        volume: in which, None where there is none.
        crop_size_mm: as set in the panel.
    """

    lesion: str
    seed_ras_mm: np.ndarray
    volume: VolumeIdentity | None
    model_sha256: str
    crop_size_mm: float
    points: tuple[CorrectionPoint, ...] = ()


@dataclass(frozen=True, eq=False)
class ResultShown:
    """A result was drawn, the first one of a request or a refined one; its timings include the drawing."""

    result: LesionResult
    segmentation: LesionSegmentation


@dataclass(frozen=True, eq=False)
class ResultWithheld:
    """A result that somebody waited for was not drawn, because its lesion or volume is gone or was corrected."""

    result: LesionResult


@dataclass(frozen=True, eq=False)
class SegmentationChanged:
    """Another segmentation of a lesion stands in the scene, or none (None), and it is not a new result."""

    lesion: str
    segmentation: LesionSegmentation | None
    cause: Cause


@dataclass(frozen=True, eq=False)
class VolumeShown:
    """A volume has become the current one, or was moved; None when it was taken away.

    Attributes:
        from_link: it was received over the link just now.
    """

    volume: Volume | None
    from_link: bool = False


@dataclass(frozen=True)
class VolumeLeft:
    """Lesions of another volume node are shown from now on."""


@dataclass(frozen=True, eq=False)
class ModelChanged:
    """Another model segments from now on."""

    model: ModelPackage


@dataclass(frozen=True, eq=False)
class DistancesUpdated:
    """Distances were measured again; `situation.displayed` says which are shown and which are withheld."""

    situation: Situation


WorkspaceEvent = Union[
    SeedMoved,
    PointsChanged,
    PointRefused,
    LesionRemoved,
    LesionAsked,
    ResultShown,
    ResultWithheld,
    SegmentationChanged,
    VolumeShown,
    VolumeLeft,
    ModelChanged,
    DistancesUpdated,
    LinkChanged,
    ModelReady,
    LesionFailed,
    Refused,
    Noticed,
]


class EventListener(Protocol):
    """Receives each event of a workspace at the moment at which it happens; must not raise."""

    def handle(self, event: WorkspaceEvent) -> None:
        """Receive an event."""


class Events:
    """Passes events on to the listeners that have subscribed."""

    def __init__(self) -> None:
        self._listeners: tuple[EventListener, ...] = ()

    def subscribe(self, listener: EventListener) -> None:
        """Pass all events on to a listener from now on; to one that has subscribed already, only once."""
        if listener not in self._listeners:
            self._listeners = (*self._listeners, listener)

    def unsubscribe(self, listener: EventListener) -> None:
        """Pass no more events on to a listener."""
        self._listeners = tuple(each for each in self._listeners if each is not listener)

    def emit(self, event: WorkspaceEvent) -> None:
        """Pass an event on to all listeners."""
        for listener in self._listeners:
            listener.handle(event)
