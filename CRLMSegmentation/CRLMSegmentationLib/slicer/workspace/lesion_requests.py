"""Requests for the segmentation of lesions: those that somebody makes, and those that the workspace makes by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import slicer

from ...core.errors import CrlmError, SeedError
from ...core.i18n import tr as _
from ...segmentation.results import Options
from ...segmentation.session import Session
from ..scene.correction_points import points_in
from ..scene.seeds import seeds_in
from .background_refinement import BackgroundRefinement
from .current_volume import CurrentVolume
from .events import Events, LesionAsked
from .lesion import Lesion, LesionRefinement, LesionState
from .lesion_store import LesionStore
from .resegmentation import Resegmentation
from .result_handler import ResultHandler
from .seed_preview import SeedPreview


class LesionRequests:
    """Requests lesions of the session, each with its seed, its points and the options that are set.

    Attributes:
        auto_segment: segment by itself when a seed or a point has been placed or moved.
        mirroring: average over mirrored copies.
        crop_size_mm: edge of the cube around a seed, where the model is shown one.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        session: Session,
        volume: CurrentVolume,
        lesion_store: LesionStore,
        background_refinement: BackgroundRefinement,
        resegmentation: Resegmentation,
        preview: SeedPreview,
        results: ResultHandler,
        clock: Callable[[], float],
        events: Events,
    ) -> None:
        self._scene, self._session, self._volume, self._lesion_store = scene, session, volume, lesion_store
        self._background_refinement, self._resegmentation = background_refinement, resegmentation
        self._preview, self._results, self._clock, self._events = preview, results, clock, events
        self.auto_segment, self.mirroring = True, False
        self.crop_size_mm = session.model.crop_size_mm

    @property
    def sees_whole_volume(self) -> bool:
        """Whether the model sees the whole volume instead of a cube around the seed."""
        return self._session.model.region == "volume"

    def segment(self, lesions: Sequence[str] | None = None) -> None:
        """Request the segmentation of lesions, by default of all that have a seed.

        Raises:
            SeedError: no seed has been placed.
            VolumeError: there is no volume.
        """
        seeds = seeds_in(self._scene)
        wanted = [lesion for lesion in (seeds if lesions is None else lesions) if lesion in seeds]
        if not wanted:
            raise SeedError(_("no seed has been placed; place one in the middle of the tumour"))
        self._volume.read_again_if_changed()
        for lesion in wanted:
            self._ask_for(lesion, seeds[lesion])

    def event_of(self, lesion: str, seed_ras_mm: np.ndarray) -> LesionAsked:
        """Return the event of asking for a lesion now."""
        volume = self._session.volume
        identity = None if volume is None else volume.identity
        points = points_in(self._scene).get(lesion, ())
        return LesionAsked(lesion, seed_ras_mm, identity, self._session.model.sha256, self.crop_size_mm, points)

    def segment_settled(self) -> None:
        """Request lesions whose seed or points have been placed or moved, once they lie still; call it at each turn."""
        now_s = self._clock()
        if not self.auto_segment or self._volume.node is None:
            return
        for lesion, entry in self._lesion_store.entries.items():
            if entry.seed_ras_mm is not None and entry.has_settled(now_s) and not entry.is_asked:
                self._segment_or_fail(lesion, entry)

    def segment_again(self) -> None:
        """Request what nobody has clicked for: a lesion in a newer volume, or background refinement."""
        lesion = self._resegmentation.next_lesion()
        entry = self._lesion_store.entries.get(lesion or "")
        if lesion is not None and entry is not None and entry.seed_ras_mm is not None:
            self._ask_for(lesion, entry.seed_ras_mm, _sufficient_mm(entry))
        self._background_refinement.update(self._volume.arrived_s)

    def ask_for_preview(self) -> None:
        """Request a preview where a seed or a point is being moved."""
        self._preview.update(self.crop_size_mm, self.auto_segment and not self.sees_whole_volume)

    def _segment_or_fail(self, lesion: str, entry: Lesion) -> None:
        """Request a lesion that nobody has clicked for; if that fails, its row says why."""
        try:
            self.segment([lesion])
        except CrlmError as error:
            entry.is_asked = True
            self._results.fail(lesion, str(error))

    def _ask_for(self, lesion: str, seed_ras_mm: np.ndarray, automatic_mm: float | None = None) -> None:
        """Request the segmentation of a lesion.

        Args:
            automatic_mm: nobody has clicked; at least so large a crop is needed.
        """
        entry = self._lesion_store.entries.setdefault(lesion, Lesion())
        entry.is_asked, entry.is_automatic, entry.asked_at_s = True, automatic_mm is not None, self._clock()
        entry.stage, entry.done, entry.total = "", 0, 0
        size_mm = None if self.sees_whole_volume else max(self.crop_size_mm, automatic_mm or 0.0)
        asked = self.event_of(lesion, seed_ras_mm)
        self._events.emit(asked)
        entry.refinement = LesionRefinement()
        entry.asked_in = self._volume.identity or entry.asked_in
        try:
            first_fold_only = self._background_refinement.enabled and not self.mirroring
            options = Options(size_mm, self.mirroring, first_fold_only)
            self._session.segment(lesion, seed_ras_mm, options, points=asked.points)
            entry.state, entry.reason = LesionState.WAITING, ""
        except CrlmError as error:
            self._results.fail(lesion, str(error))


def _sufficient_mm(entry: Lesion) -> float:
    """Return the crop size that was large enough last time, mm; 0 where that is not known."""
    request = entry.segmentation.result.request if entry.segmentation and entry.segmentation.result else None
    return (request.options.crop_size_mm if request else None) or 0.0
