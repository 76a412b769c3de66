"""What becomes of the answers of the network: outlines in the scene, lines of the log, words in the rows."""

from __future__ import annotations

from collections.abc import Callable

from ..core.i18n import tr as _
from ..navigation.lesion_history import LesionHistory
from ..navigation.refinement import Purpose
from ..session import CANCELLED, LesionFailed, LesionProgress, LesionResult
from .current_volume import CurrentVolume
from .ledger import LesionLedger
from .lesions import LesionState
from .second_looks import SecondLooks

KNOWN_ANSWER = "known answer"
"""Name under which the pre-flight check asks; no lesion of the scene is called like this."""


class Answers:
    """Takes what the session tells of lesions.

    Args:
        note: adds a line to the log.

    Attributes:
        known_answer, known_answer_problem: what came of the pre-flight's question.
    """

    def __init__(
        self,
        volume: CurrentVolume,
        ledger: LesionLedger,
        second_looks: SecondLooks,
        history: LesionHistory,
        clock: Callable[[], float],
        note: Callable[[str], None],
    ) -> None:
        self._volume, self._ledger, self._second_looks, self._history = volume, ledger, second_looks, history
        self._clock, self._note = clock, note
        self.known_answer: LesionResult | None = None
        self.known_answer_problem = ""

    def take_progress(self, event: LesionProgress) -> None:
        """Of what runs in the background a row says nothing."""
        entry = self._ledger.entries.get(event.lesion)
        if entry is not None and not event.purpose.waits:
            entry.state = LesionState.RUNNING
            entry.stage, entry.done, entry.total = event.stage, event.done, event.total

    def take_result(self, result: LesionResult) -> None:
        lesion, purpose = result.request.lesion, result.request.purpose
        if lesion == KNOWN_ANSWER:
            self.known_answer = result
        elif self._volume.node is None:
            gone = _("the volume was removed before the answer came; choose a volume and segment again")
            self.fail(lesion, gone)
        elif not purpose.waits:
            self._second_looks.take(result)
            self._show(result)
        elif self._is_of_what_is_shown(result):
            self._second_looks.take(result)
            if purpose is Purpose.REFINED:
                self._refine(result)

    def take_failure(self, event: LesionFailed) -> None:
        """Of one lesion; that the engine has given up is not its matter."""
        if event.lesion == KNOWN_ANSWER:
            self.known_answer_problem = event.reason
        elif event.purpose.waits:
            self._note(f"{event.lesion}, in the background: {event.reason}")
        elif event.reason == CANCELLED:
            entry = self._ledger.entries.get(event.lesion)
            if entry is not None:
                entry.state, entry.reason = (LesionState.DONE if entry.found else LesionState.NEW), ""
            self._note(f"{event.lesion}: cancelled")
        else:
            self.fail(event.lesion, event.reason)

    def fail(self, lesion: str, reason: str) -> None:
        """There is no outline of a lesion, or no newer one."""
        entry = self._ledger.entries.get(lesion)
        if entry is not None:
            entry.state, entry.reason = LesionState.FAILED, reason
        self._note(f"{lesion}: {reason}")

    def _show(self, result: LesionResult) -> None:
        lesion = result.request.lesion
        found = self._ledger.show(result)
        if found is not None:
            self._history.add(lesion, result.mask, result.volume.identity, self._clock())
            again = ", in a larger crop" if result.request.purpose is Purpose.GROWN else ""
            text = f"{lesion}: {found.volume_ml:.1f} ml in {found.seconds:.1f} s{again}, in {result.volume.identity}"
            self._note(text)

    def _refine(self, result: LesionResult) -> None:
        lesion, change = result.request.lesion, self._second_looks.change_of(result.request.lesion)
        if result.mask.is_empty:
            self._note(f"{lesion}: nothing is found when refined; the first outline stays, check it")
            return
        self._ledger.refine(result)
        self._history.add(lesion, result.mask, result.volume.identity, self._clock())
        self._note(f"{lesion}: {change}")

    def _is_of_what_is_shown(self, result: LesionResult) -> bool:
        """Whether the outline is still that of the network, of the same click and volume."""
        entry = self._ledger.entries.get(result.request.lesion)
        if entry is None or entry.found is None or not self._second_looks.knows(entry.found):
            return False
        return self._second_looks.is_about(result)
