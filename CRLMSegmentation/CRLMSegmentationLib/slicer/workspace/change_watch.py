"""Looks at a workspace after each of its turns, and tells a session recorder what has changed.

A hundred times a second: what has been seen before is compared by identity, and nothing is done where that is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.status import Status
from ...core.volume import Volume, VolumeIdentity
from ...igtl.link import Link, LinkState
from ...segmentation.incoming import LinkChanged, PictureArrived, TransformArrived, VolumeArrived
from ...segmentation.models.package import ModelPackage
from ...segmentation.results import LesionFailed, LesionProgress, LesionResult, LesionSegmented
from ...segmentation.session import Event
from ...tracking.situation import InstrumentState, Reading, Situation
from .lesion import Found, LesionEntry
from .result_handler import SELF_CHECK
from .segmentation_changes import Kind, OutlineChange, OutlineChanges, outline_in
from .workspace import SETTLE_S, Workspace

if TYPE_CHECKING:  # needs pyigtl, which Slicer may lack
    from ...recording.session_recorder import SessionRecorder

VOLUME_REST_S = 2.0
"""A volume of the scene that stays so long has been chosen; those of a stream are saved where something is found."""
MAX_KNOWN_RESULTS = 1000
UNEVENTFUL = (TransformArrived, PictureArrived, VolumeArrived, LesionProgress)
SENSOR = "liver sensor"
NEWER_VOLUME, OTHER_MODEL, OTHER_SIZE, ASKED_AGAIN = (
    "a newer volume has come",
    "another model was chosen",
    "another crop size was chosen",
    "it was asked for again",
)


@dataclass(frozen=True, eq=False)
class _Asked:
    """How a lesion was asked for last."""

    at_s: float
    seed_ras_mm: np.ndarray | None
    volume: VolumeIdentity | None
    model_sha256: str
    crop_size_mm: float | None


class ChangeWatch:
    """Keeps what it has seen, from the beginning of one recording to its end.

    Args:
        recorder: is told.
        clock: seconds that never go back; that of the workspace.
    """

    def __init__(self, workspace: Workspace, recorder: SessionRecorder, clock: Callable[[], float]) -> None:
        self._workspace, self._recorder, self._clock = workspace, recorder, clock
        self._outlines = OutlineChanges(workspace.lesion_store, self._is_answer)
        self._model: ModelPackage | None = None
        self._link: Link | None = None
        self._node_id = _id_of(workspace)
        self._volume: Volume | None = None
        self._volume_since_s: float | None = None
        self._seeds: dict[str, tuple[np.ndarray | None, float | None]] = {}
        self._asked: dict[str, _Asked] = {}
        self._results: dict[tuple, int] = {}
        self._unseen_results: set[tuple] = set()
        self._situation: Situation | None = None
        self._unreliable_reasons: dict[str, Status] = {}

    def begin(self, address: tuple[str, int] | None) -> None:
        """Tell what the workspace is like already.

        Args:
            address: of the server, where there is one.
        """
        workspace = self._workspace
        self._look_at_model()
        if workspace.ready is not None:
            self._recorder.take(workspace.ready)
        if address is not None and workspace.session.link is not None:
            self._recorder.use_link(*address)
        self._link = workspace.session.link
        if workspace.link_state is LinkState.CONNECTED:
            self._recorder.take(LinkChanged(LinkState.CONNECTED, ""))
        for lesion, entry in workspace.lesion_store.entries.items():
            self._asked[lesion] = self._asking_of(entry)
        self.look(())

    def look(self, events: Sequence[Event], is_last: bool = False) -> None:
        """Tell what has happened in a turn.

        Args:
            is_last: there is no further turn, so that nothing can be waited for.
        """
        now_s = self._clock()
        self._look_at_model()
        self._look_at_link()
        self._look_at_seeds(now_s, is_last)
        self._look_at_asking()
        for event in events:
            if not isinstance(event, UNEVENTFUL):
                self._take(event)
        self._look_at_volume(events, now_s, is_last)
        self._look_at_outlines(now_s, is_last)
        self._look_at_instruments()

    def _look_at_model(self) -> None:
        model = self._workspace.session.model
        if model is not self._model:
            self._model = model
            self._recorder.use_model(model)

    def _look_at_link(self) -> None:
        """A link that is left tells nothing any more."""
        link = self._workspace.session.link
        if link is not self._link:
            if self._link is not None:
                self._recorder.take(LinkChanged(LinkState.CLOSED, "disconnected"))
            self._link = link

    def _look_at_seeds(self, now_s: float, is_last: bool) -> None:
        entries, seen = self._workspace.lesion_store.entries, self._seeds
        for lesion in [lesion for lesion in seen if lesion not in entries]:
            del seen[lesion]
            self._asked.pop(lesion, None)
            self._recorder.seed_removed(lesion)
        for lesion, entry in entries.items():
            seed, since_s = seen.get(lesion, (None, None))
            if entry.seed_ras_mm is not seed:
                seed, since_s = entry.seed_ras_mm, now_s
            seen[lesion] = (seed, since_s)
            if since_s is not None and (is_last or entry.is_asked or now_s - since_s >= SETTLE_S):
                self._record_seed(lesion)

    def _record_seed(self, lesion: str) -> None:
        """Where it lies now, unless that is recorded already."""
        seed_ras_mm, since_s = self._seeds.get(lesion, (None, None))
        if since_s is None:
            return
        self._seeds[lesion] = (seed_ras_mm, None)
        if seed_ras_mm is None:
            self._recorder.seed_removed(lesion)
        else:
            self._recorder.seed(lesion, seed_ras_mm, self._workspace.session.volume)

    def _look_at_asking(self) -> None:
        for lesion, entry in self._workspace.lesion_store.entries.items():
            before = self._asked.get(lesion)
            if before is None and not entry.asked_at_s:
                continue
            if before is None or before.at_s != entry.asked_at_s:
                asked = self._asked[lesion] = self._asking_of(entry)
                is_again = before is not None and before.at_s > 0
                if is_again and np.array_equal(before.seed_ras_mm, asked.seed_ras_mm):
                    self._recorder.recalculated(lesion, _why(before, asked))

    def _asking_of(self, entry: LesionEntry) -> _Asked:
        workspace = self._workspace
        volume = workspace.session.volume
        identity = None if volume is None else volume.identity
        return _Asked(
            entry.asked_at_s, entry.seed_ras_mm, identity, workspace.session.model.sha256, workspace.crop_size_mm
        )

    def _take(self, event: Event) -> None:
        if isinstance(event, LesionSegmented):
            self._take_result(event)
        elif not (isinstance(event, LesionFailed) and event.lesion == SELF_CHECK):
            self._recorder.take(event)

    def _take_result(self, event: LesionSegmented) -> None:
        """As it stands in the lesion store, with the time that it took to be shown.

        Of a background refinement only what is shown.
        """
        result = event.result
        entry = self._workspace.lesion_store.entries.get(result.request.lesion)
        shown = entry.found.result if entry is not None and entry.found is not None else None
        if shown is not None and shown.mask is result.mask:
            self._record(LesionSegmented(shown))
        elif result.request.lesion != SELF_CHECK and not result.request.purpose.is_background:
            self._record(event)

    def _record(self, event: LesionSegmented) -> None:
        before = self._recorder.results
        self._record_seed(event.result.request.lesion)
        self._recorder.take(event)
        if self._recorder.results > before:
            key = _key(event.result)
            self._results[key] = self._recorder.results
            self._unseen_results.add(key)
            if len(self._results) > MAX_KNOWN_RESULTS:
                del self._results[next(iter(self._results))]

    def _look_at_volume(self, events: Sequence[Event], now_s: float, is_last: bool) -> None:
        """One that came over the link is recorded with its messages."""
        volume = self._workspace.session.volume
        if volume is not self._volume:
            has_come = any(isinstance(event, VolumeArrived) and event.volume is volume for event in events)
            self._volume, self._volume_since_s = volume, None if has_come or volume is None else now_s
        if self._volume_since_s is not None and (is_last or now_s - self._volume_since_s >= VOLUME_REST_S):
            self._volume_since_s = None
            self._recorder.use_volume(volume)
        node_id = _id_of(self._workspace)
        if node_id != self._node_id:
            self._node_id = node_id
            self._outlines.forget()

    def _look_at_outlines(self, now_s: float, is_last: bool) -> None:
        for change in self._outlines.look(now_s, is_last):
            self._record_outline(change)

    def _is_answer(self, found: Found) -> bool:
        """A result that is not in the recording yet, as one from before it began, is taken into it."""
        if found.result is None or (not found.result.volume.has_voxels and _key(found.result) not in self._results):
            return False
        key = _key(found.result)
        if key not in self._results:
            self._record(LesionSegmented(found.result))
        is_new = key in self._unseen_results
        self._unseen_results.discard(key)
        return is_new and not found.corrected

    def _record_outline(self, change: OutlineChange) -> None:
        lesion, found = change.lesion, change.found
        result = None if found is None or found.result is None else found.result
        number = None if result is None else self._results.get(_key(result))
        if change.is_gone:
            self._recorder.corrected(lesion)
            return
        volume = self._workspace.session.volume if result is None else result.volume
        outline: tuple = (None, None)
        if volume is not None and not volume.has_voxels and _key(result) not in self._results:
            volume = None  # its voxels were let go, and no file holds them
        if volume is not None and found is not None and (result is None or found.corrected):
            lesion_store = self._workspace.lesion_store
            grid = (
                volume if result is None else volume.moved_to(lesion_store.placed_now(volume))
            )  # moved with its outline
            mask, offset_kji = outline_in(grid, lesion_store.segmentation_node, lesion)
            outline = (mask, volume, offset_kji)
        if change.kind is Kind.CORRECTED:
            self._recorder.corrected(lesion, *outline)
        elif change.kind is Kind.TAKEN_OVER:
            self._recorder.taken_over(lesion, *outline)
        else:
            self._recorder.undone(lesion, number, *outline, again=change.kind is Kind.REDONE)

    def _look_at_instruments(self) -> None:
        situation = self._workspace.navigation.situation
        if situation is self._situation:
            return
        self._situation = situation
        shown = situation.displayed
        if situation.instruments:
            self._note_unreliable(SENSOR, situation.sensor_unreliable_reason)
        for state in situation.instruments:
            if (
                state.unreliable_reason is None or state.unreliable_reason != situation.sensor_unreliable_reason
            ):  # that of the sensor is told once
                self._note_unreliable(state.instrument.frame, state.unreliable_reason)
        for state, reading in shown.readings:
            self._recorder.tip_distance(*_distance_of(state, reading))
        if shown.nearest is None:
            self._recorder.distance_withheld(shown.withheld, shown.cautions)
        else:
            self._recorder.shown_distance(*_distance_of(*shown.nearest), shown.cautions)

    def _note_unreliable(self, name: str, status: Status | None) -> None:
        if self._unreliable_reasons.get(name) != status:
            self._unreliable_reasons[name] = status
            self._recorder.unreliable_reason(name, status)


def _distance_of(state: InstrumentState, reading: Reading) -> tuple[str, float, str, tuple[float, float]]:
    """As the recorder takes a distance that is given."""
    interval = reading.interval
    return reading.lesion, interval.distance_mm, state.instrument.frame, (interval.low_mm, interval.high_mm)


def _key(result: LesionResult) -> tuple:
    return result.requested_at_s, result.request


def _id_of(workspace: Workspace) -> str | None:
    node = workspace.volume.node
    return None if node is None else node.GetID()


def _why(before: _Asked, asked: _Asked) -> str:
    if before.volume != asked.volume:
        return NEWER_VOLUME
    if before.model_sha256 != asked.model_sha256:
        return OTHER_MODEL
    return OTHER_SIZE if before.crop_size_mm != asked.crop_size_mm else ASKED_AGAIN
