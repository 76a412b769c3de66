"""Writes the events of a workspace into the recording of its session.

Some events are written only once what they tell of has rested: a seed or a point that is dragged, a segmentation that
is painted, a volume that is chosen. `update` writes those that have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ...core.reasons import Reason
from ...core.volume import Volume
from ...igtl.link import LinkState
from ...segmentation.incoming import LinkChanged
from ...segmentation.results import LesionResult, LesionSegmented
from ...tracking.readings import InstrumentState, ReliableReading
from ...tracking.situation import Situation
from ..scene.correction_points import NumberedPoints
from .events import (
    Cause,
    DistancesUpdated,
    LesionAsked,
    LesionRemoved,
    ModelChanged,
    PointRefused,
    PointsChanged,
    ResultShown,
    ResultWithheld,
    SeedMoved,
    SegmentationChanged,
    VolumeLeft,
    VolumeShown,
    WorkspaceEvent,
)
from .lesion import SETTLE_S, LesionSegmentation
from .segmentation_changes import (
    ChangeKind,
    ResultKey,
    SegmentationChange,
    SegmentationChanges,
    key_of,
    segmentation_in,
)
from .workspace import Workspace

if TYPE_CHECKING:  # needs pyigtl, which Slicer may lack
    from ...recording.session_recorder import SessionRecorder

VOLUME_REST_S = 2.0
"""A volume of the scene that stays so long has been chosen; those of a stream are saved where something is found."""
MAX_KNOWN_RESULTS = 1000
SENSOR = "liver sensor"
NEWER_VOLUME, OTHER_MODEL, OTHER_SIZE, ASKED_AGAIN = (
    "a newer volume has come",
    "another model was chosen",
    "another crop size was chosen",
    "it was asked for again",
)


class EventWriter:
    """Writes the events from the beginning of one recording to its end.

    Args:
        workspace: is only read.
        recorder: writes.
        clock: seconds that never go back; that of the workspace.
    """

    def __init__(self, workspace: Workspace, recorder: SessionRecorder, clock: Callable[[], float]) -> None:
        self._workspace, self._recorder, self._clock = workspace, recorder, clock
        self._segmentations = SegmentationChanges()
        self._moved_seeds: dict[str, tuple[float, np.ndarray | None]] = {}
        self._moved_points: dict[str, tuple[float, NumberedPoints]] = {}
        self._new_volume: tuple[float, Volume] | None = None
        self._asked: dict[str, LesionAsked] = {}
        self._results: dict[ResultKey, int] = {}
        self._unreliable_reasons: dict[str, Reason | None] = {}
        self._writers: dict[type, Callable[..., None]] = {
            SeedMoved: self._write_seed_moved,
            PointsChanged: self._write_points_changed,
            PointRefused: lambda event: recorder.note(event.reason, lesion=event.lesion),
            LesionRemoved: self._write_removed,
            LesionAsked: self._write_asked,
            ResultShown: self._write_shown,
            ResultWithheld: lambda event: self._write_result(event.result),
            SegmentationChanged: self._write_changed,
            VolumeShown: self._write_volume,
            VolumeLeft: lambda event: self._segmentations.clear(),
            ModelChanged: lambda event: recorder.use_model(event.model),
            DistancesUpdated: lambda event: self._write_distances(event.situation),
        }

    def begin(self, address: tuple[str, int] | None) -> None:
        """Write what the workspace is like already.

        Args:
            address: of the server, where there is one.
        """
        workspace = self._workspace
        self._recorder.use_model(workspace.session.model)
        if workspace.ready is not None:
            self._recorder.take(workspace.ready)
        if address is not None and workspace.session.link is not None:
            self._recorder.use_link(*address)
        if workspace.link_state is LinkState.CONNECTED:
            self._recorder.take(LinkChanged(LinkState.CONNECTED, ""))
        for lesion, entry in workspace.lesion_store.entries.items():
            if entry.asked_at_s and entry.seed_ras_mm is not None:
                self._asked[lesion] = workspace.requests.event_of(lesion, entry.seed_ras_mm)
            self.write(SeedMoved(lesion, entry.seed_ras_mm, is_settled=entry.is_asked))
            if entry.points:
                self.write(PointsChanged(lesion, entry.points, is_settled=entry.is_asked))
        self.write(VolumeShown(workspace.session.volume))
        for lesion, entry in workspace.lesion_store.entries.items():
            if entry.segmentation is not None:
                self.write(SegmentationChanged(lesion, entry.segmentation, Cause.LOADED))
        self._write_distances(workspace.navigation.situation)

    def write(self, event: WorkspaceEvent) -> None:
        """Write an event, or remember it until it has rested."""
        self._writers.get(type(event), self._recorder.take)(event)

    def update(self, is_last: bool = False) -> None:
        """Write what has rested by now.

        Args:
            is_last: nothing can be waited for any more.
        """
        now_s = self._clock()
        for lesion in [a for a, (since_s, _) in self._moved_seeds.items() if is_last or now_s - since_s >= SETTLE_S]:
            self._write_seed(lesion)
        for lesion in [a for a, (since_s, _) in self._moved_points.items() if is_last or now_s - since_s >= SETTLE_S]:
            self._write_points(lesion)
        if self._new_volume is not None and (is_last or now_s - self._new_volume[0] >= VOLUME_REST_S):
            self._recorder.use_volume(self._new_volume[1])
            self._new_volume = None
        for change in self._segmentations.rested(now_s, is_last):
            self._write_segmentation(change)

    def _write_seed_moved(self, event: SeedMoved) -> None:
        self._moved_seeds[event.lesion] = self._clock(), event.seed_ras_mm
        if event.is_settled:
            self._write_seed(event.lesion)

    def _write_seed(self, lesion: str) -> None:
        """Where it lies now, unless that is recorded already."""
        if lesion not in self._moved_seeds:
            return
        _, seed_ras_mm = self._moved_seeds.pop(lesion)
        if seed_ras_mm is None:
            self._recorder.seed_removed(lesion)
        else:
            self._recorder.seed(lesion, seed_ras_mm, self._workspace.session.volume)

    def _write_points_changed(self, event: PointsChanged) -> None:
        self._moved_points[event.lesion] = self._clock(), event.points
        if event.is_settled:
            self._write_clicks(event.lesion)

    def _write_points(self, lesion: str) -> None:
        """Which points of a lesion there are now, unless that is recorded already."""
        if lesion in self._moved_points:
            _, points = self._moved_points.pop(lesion)
            self._recorder.points(lesion, points)

    def _write_clicks(self, lesion: str) -> None:
        self._write_seed(lesion)
        self._write_points(lesion)

    def _write_removed(self, event: LesionRemoved) -> None:
        self._moved_seeds.pop(event.lesion, None)
        self._moved_points.pop(event.lesion, None)
        self._asked.pop(event.lesion, None)
        self._segmentations.remove(event.lesion)
        self._recorder.seed_removed(event.lesion)

    def _write_asked(self, event: LesionAsked) -> None:
        before = self._asked.get(event.lesion)
        self._asked[event.lesion] = event
        self._write_clicks(event.lesion)
        if before is None or before.points != event.points:
            return
        if np.array_equal(before.seed_ras_mm, event.seed_ras_mm):
            self._recorder.recalculated(event.lesion, _why(before, event))

    def _write_shown(self, event: ResultShown) -> None:
        self._write_result(event.result)
        lost = self._segmentations.replace(event.result.request.lesion, event.segmentation)
        if lost is not None:
            self._write_segmentation(lost)

    def _write_result(self, result: LesionResult) -> None:
        before = self._recorder.results
        self._write_clicks(result.request.lesion)
        self._recorder.take(LesionSegmented(result))
        if self._recorder.results > before:
            self._results[key_of(result)] = self._recorder.results
            if len(self._results) > MAX_KNOWN_RESULTS:
                del self._results[next(iter(self._results))]

    def _write_changed(self, event: SegmentationChanged) -> None:
        """A result that is not in the recording yet, as one from before it began, is taken into it."""
        found = event.segmentation
        if found is not None and found.result is not None and self._is_to_be_written(found.result):
            self._write_result(found.result)
            if not found.corrected:
                self._segmentations.replace(event.lesion, found)
                return
        self._segmentations.add(event.lesion, found, event.cause, self._clock())

    def _is_to_be_written(self, result: LesionResult) -> bool:
        return result.volume.has_voxels and key_of(result) not in self._results

    def _write_volume(self, event: VolumeShown) -> None:
        """One that came over the link is recorded with its messages."""
        volume = None if event.from_link else event.volume
        self._new_volume = None if volume is None else (self._clock(), volume)

    def _write_segmentation(self, change: SegmentationChange) -> None:
        lesion, found = change.lesion, change.segmentation
        result = None if found is None else found.result
        number = None if result is None else self._results.get(key_of(result))
        if change.is_gone:
            self._recorder.corrected(lesion)
            return
        segmentation = self._segmentation_of(lesion, found)
        if change.kind is ChangeKind.CORRECTED:
            self._recorder.corrected(lesion, *segmentation)
        elif change.kind is ChangeKind.TAKEN_OVER:
            self._recorder.taken_over(lesion, *segmentation)
        else:
            mask, volume, offset_kji = segmentation
            again = change.kind is ChangeKind.REDONE
            self._recorder.undone(lesion, number, mask, volume, offset_kji, again=again)

    def _segmentation_of(
        self, lesion: str, found: LesionSegmentation | None
    ) -> tuple[np.ndarray | None, Volume | None, tuple[int, int, int]]:
        """The voxels of a segmentation that no recorded result holds, as the recorder takes them; else None."""
        result = None if found is None else found.result
        if found is None or (result is not None and not found.corrected):
            return None, None, (0, 0, 0)
        volume = self._workspace.session.volume if result is None else result.volume
        is_lost = result is not None and not result.volume.has_voxels and key_of(result) not in self._results
        if volume is None or is_lost:  # its voxels were let go, and no file holds them
            return None, None, (0, 0, 0)
        store = self._workspace.lesion_store
        grid = volume if result is None else volume.moved_to(store.placed_now(volume))  # moved with its segmentation
        mask, offset_kji = segmentation_in(grid, store.segmentation_node, lesion)
        return mask, volume, offset_kji

    def _write_distances(self, situation: Situation) -> None:
        shown = situation.displayed
        if situation.instruments:
            self._write_unreliable(SENSOR, situation.sensor_unreliable_reason)
        for state in situation.instruments:
            # that of the sensor is written once
            if state.unreliable_reason is None or state.unreliable_reason != situation.sensor_unreliable_reason:
                self._write_unreliable(state.instrument.frame, state.unreliable_reason)
        for state, reading in shown.readings:
            self._recorder.tip_distance(*_distance_of(state, reading))
        if shown.nearest is None:
            self._recorder.distance_withheld(shown.withheld, shown.warnings)
        else:
            self._recorder.shown_distance(*_distance_of(*shown.nearest), shown.warnings)

    def _write_unreliable(self, name: str, reason: Reason | None) -> None:
        if self._unreliable_reasons.get(name) != reason:
            self._unreliable_reasons[name] = reason
            self._recorder.unreliable_reason(name, reason)


def _distance_of(state: InstrumentState, reading: ReliableReading) -> tuple[str, float, str, tuple[float, float]]:
    """A distance that is shown, as the recorder takes it."""
    interval = reading.interval
    return reading.lesion, interval.distance_mm, state.instrument.frame, (interval.low_mm, interval.high_mm)


def _why(before: LesionAsked, asked: LesionAsked) -> str:
    if before.volume != asked.volume:
        return NEWER_VOLUME
    if before.model_sha256 != asked.model_sha256:
        return OTHER_MODEL
    return OTHER_SIZE if before.crop_size_mm != asked.crop_size_mm else ASKED_AGAIN
