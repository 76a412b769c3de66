"""Background refinement: what the network segments again once the surgeon has a first result."""

from __future__ import annotations

from collections.abc import Callable

from ...segmentation.calibration import ModelCalibration, calibration_from
from ...segmentation.consensus import Consensus
from ...segmentation.refinement import Change
from ...segmentation.results import LesionResult, Purpose
from ...segmentation.session import Session
from .lesion_store import LesionStore

QUIET_S = 2.0
"""A volume that has been current for so long is not one of a live stream, in which refinement would never end."""


class BackgroundRefinement:
    """Submits the requests that `segmentation.refinement` plans, once the volume no longer changes.

    A crop that was too small is grown at once, whether or not anything else is refined.

    Attributes:
        enabled: answer fast at first, then refine and repeat in the background.
    """

    def __init__(self, session: Session, lesion_store: LesionStore, clock: Callable[[], float]) -> None:
        self._session, self._lesion_store, self._clock = session, lesion_store, clock
        self.enabled = False

    @property
    def calibration(self) -> ModelCalibration | None:
        """Of the model in use; None where nobody has measured how accurate its consensus surfaces are."""
        return calibration_from(self._session.model.calibration)

    @property
    def is_at_work(self) -> bool:
        """Whether something runs or waits in the background."""
        return self._session.busy_in_background or any(e.refinement.due for e in self._lesion_store.entries.values())

    def add(self, result: LesionResult) -> None:
        """Note a result that was shown, or repeated for the segmentation that is shown, and plan what to ask next."""
        request = result.request
        lesion = self._lesion_store.entries.get(request.lesion)
        if lesion is None:
            return
        refinement = lesion.refinement
        refinement.course.repeat = refinement.course.can_refine = self.enabled
        if request.purpose is not Purpose.REPEATED:
            refinement.latest = result
        for following in refinement.course.store(request, result.mask):
            if following.purpose is Purpose.GROWN:
                self._session.refine(following, result)
            else:
                refinement.due.append((following, result))

    def update(self, volume_arrived_s: float | None) -> None:
        """Ask for what is due once the volume is at rest; call it at each turn."""
        due = [item for lesion in self._lesion_store.entries.values() for item in lesion.refinement.due]
        if due and not self.enabled:
            self.cancel()
        elif due and volume_arrived_s is not None and self._clock() - volume_arrived_s >= QUIET_S:
            for following, result in sorted(due, key=lambda item: item[1].requested_at_s):
                self._session.refine(following, result)
            self.cancel()

    def cancel(self) -> None:
        """Ask for nothing more; what is known stays."""
        for lesion in self._lesion_store.entries.values():
            lesion.refinement.due.clear()

    def change_of(self, lesion: str) -> Change | None:
        """How far refining has moved the segmentation of a lesion; None before it has been done."""
        known = self._lesion_store.entries.get(lesion)
        return None if known is None else known.refinement.course.change_of(lesion)

    def consensus_of(self, lesion: str) -> Consensus | None:
        """The consensus surfaces of a lesion; None before all runs are there."""
        known = self._lesion_store.entries.get(lesion)
        return None if known is None else known.refinement.course.consensus_of(lesion)

    def expected_dice_of(self, lesion: str) -> float | None:
        """The Dice to be expected of the segmentation of a lesion.

        None without consensus surfaces, or where their accuracy was never measured for this model.
        """
        known, calibration = self._lesion_store.entries.get(lesion), self.calibration
        latest = None if known is None else known.refinement.latest
        consensus = self.consensus_of(lesion)
        if consensus is None or calibration is None or latest is None:
            return None
        if latest.model_sha256 != self._session.model.sha256:
            return None
        return calibration.expected_dice_of(consensus.agreement)
