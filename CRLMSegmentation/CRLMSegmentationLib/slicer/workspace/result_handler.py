"""Handling of results: shown in the scene, noted in the log, described in the rows of the table."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from ...core.errors import CrlmError
from ...core.i18n import tr as _
from ...segmentation.results import CANCELLED, LesionFailed, LesionProgress, LesionResult, Purpose
from .background_refinement import BackgroundRefinement
from .current_volume import CurrentVolume
from .events import Events, ResultWithheld
from .lesion import LesionRefinement, LesionState
from .lesion_store import LesionStore

logger = logging.getLogger(__name__)

ANOTHER_LESION_MM = 5.0
"""A seed farther outside of a lesion is not in it."""
SELF_CHECK = "self-check"
"""Name under which the pre-flight check asks; no lesion of the scene is called like this."""


class ResultHandler:
    """Handles progress, results and failures of the session.

    Args:
        note: adds a line to the log.

    Attributes:
        self_check, self_check_problem: what came of the pre-flight's question.
    """

    def __init__(
        self,
        volume: CurrentVolume,
        lesion_store: LesionStore,
        background_refinement: BackgroundRefinement,
        clock: Callable[[], float],
        note: Callable[[str], None],
        events: Events,
    ) -> None:
        self._volume, self._lesion_store, self._background_refinement = volume, lesion_store, background_refinement
        self._clock, self._note, self._events = clock, note, events
        self.self_check: LesionResult | None = None
        self.self_check_problem = ""

    def handle_progress(self, event: LesionProgress) -> None:
        """Show in the lesion's row how far its segmentation is, unless that runs in the background."""
        entry = self._lesion_store.entries.get(event.lesion)
        if entry is not None and not event.purpose.is_background:
            entry.state = LesionState.RUNNING
            entry.stage, entry.done, entry.total = event.stage, event.done, event.total

    def handle_result(self, result: LesionResult) -> None:
        """Show a result, or keep it for what else is made of it."""
        if result.request.lesion == SELF_CHECK:
            self.self_check = result
        elif not self._show_if_current(result) and not result.request.purpose.is_background:
            self._events.emit(ResultWithheld(result))

    def _show_if_current(self, result: LesionResult) -> bool:
        """Show a result where it still belongs to its lesion; returns whether it was shown."""
        lesion, purpose = result.request.lesion, result.request.purpose
        if self._volume.node is None:
            gone = _("the volume was removed before the answer came; choose a volume and segment again")
            self.fail(lesion, gone)
        elif purpose is Purpose.ANSWER:
            return self._show_answer(result)
        elif not self._is_of_what_is_shown(result):
            logger.info("%s: %s, but its segmentation is another by now", lesion, purpose.value)
            if not purpose.is_background:
                self._rest(lesion)
        elif purpose is Purpose.GROWN:
            self._background_refinement.add(result)
            return self._show(result)
        elif purpose is Purpose.REFINED:
            self._refine(result)
        else:
            self._background_refinement.add(result)
        return False

    def handle_failure(self, event: LesionFailed) -> None:
        """Show in the lesion's row why it was not segmented."""
        if event.lesion is None:
            return
        if event.lesion == SELF_CHECK:
            self.self_check_problem = event.reason
        elif event.purpose.is_background:
            self._note(f"{event.lesion}, in the background: {event.reason}")
        elif event.reason == CANCELLED:
            self._rest(event.lesion)
            self._note(f"{event.lesion}: cancelled")
        else:
            self.fail(event.lesion, event.reason)

    def fail(self, lesion: str, reason: str) -> None:
        """Set a lesion's state to failed, and log the reason."""
        entry = self._lesion_store.entries.get(lesion)
        is_known = entry is not None and entry.is_automatic and entry.last_reason == reason
        if entry is not None:
            entry.state, entry.reason, entry.last_reason = LesionState.FAILED, reason, reason
        if not is_known:  # what fails by itself, with each live volume, is logged once
            self._note(f"{lesion}: {reason}")

    def _rest(self, lesion: str) -> None:
        """Set a lesion's state to done or new, for nothing is under way for it."""
        entry = self._lesion_store.entries.get(lesion)
        if entry is not None:
            entry.state, entry.reason = (LesionState.DONE if entry.segmentation else LesionState.NEW), ""

    def _show_answer(self, result: LesionResult) -> bool:
        """Show the first result of a request; one that nobody clicked for replaces no correction by hand."""
        entry = self._lesion_store.entries.get(result.request.lesion)
        if entry is not None and entry.is_automatic and entry.segmentation and entry.segmentation.corrected:
            entry.state = LesionState.DONE
            self._note(f"{result.request.lesion}: corrected by hand meanwhile, so it stays as it is")
            return False
        self._background_refinement.add(result)
        return self._show(result)

    def _show(self, result: LesionResult) -> bool:
        lesion = result.request.lesion
        entry = self._lesion_store.entries.get(lesion)
        is_clicked = result.request.purpose is Purpose.ANSWER and not (entry and entry.is_automatic)
        try:
            found = self._lesion_store.show(result, is_undoable=is_clicked)
        except CrlmError as error:
            self.fail(lesion, str(error))
            return False
        if found is not None:
            self._add_to_history(result)
            again = ", in a larger crop" if result.request.purpose is Purpose.GROWN else ""
            text = f"{lesion}: {found.volume_ml:.1f} ml in {found.seconds:.1f} s{again}, in {result.volume.identity}"
            self._note(text)
        return found is not None

    def _refine(self, result: LesionResult) -> None:
        lesion = result.request.lesion
        if result.mask.is_empty:
            self._lesion_store.entries[lesion].refinement = LesionRefinement()
            self._note(f"{lesion}: nothing is found when refined; the first segmentation stays, check it")
            return
        self._background_refinement.add(result)
        self._lesion_store.refine(result)
        self._add_to_history(result)
        self._note(f"{lesion}: {self._background_refinement.change_of(lesion)}")

    def _add_to_history(self, result: LesionResult) -> None:
        """Add a sighting to the lesion's history, which begins anew when its seed has been moved out of it."""
        history = self._lesion_store.entries[result.request.lesion].history
        seen = history.sightings
        if seen:
            away_mm = np.linalg.norm(np.array(result.request.seed_ras_mm) - seen[-1].centre_ras_mm)
            if away_mm > max(seen[-1].diameters_mm) / 2 + ANOTHER_LESION_MM:
                history.clear()
        history.add(result.mask, result.volume.identity, self._clock())

    def _is_of_what_is_shown(self, result: LesionResult) -> bool:
        """Return whether a refined result is about the segmentation that is shown, of the same request and volume."""
        entry = self._lesion_store.entries.get(result.request.lesion)
        found = entry.segmentation if entry else None
        if entry is None or found is None or found.result is None or not entry.refinement.is_about(found):
            return False
        if result.request.purpose.is_background and entry.is_stale:
            return False
        return found.result.requested_at_s == result.requested_at_s and found.result.volume is result.volume
