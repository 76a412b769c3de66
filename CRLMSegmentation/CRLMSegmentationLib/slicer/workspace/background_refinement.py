"""What the network looks at again once the surgeon has an answer, and what is known of a lesion by it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ...segmentation.calibration import Calibration, calibration_from
from ...segmentation.consensus import Consensus
from ...segmentation.refinement import Change, Refinement
from ...segmentation.results import LesionResult, Purpose, Request
from ...segmentation.session import Session
from .lesion import Found

QUIET_S = 2.0
"""A volume that has been current for so long is not one of a live stream, in which refinement would never end."""


class BackgroundRefinement:
    """Hands the session what `segmentation.refinement` wants to be looked at again.

    A crop that was too small is grown at once, whether or not anything else is looked at again.

    Attributes:
        enabled: answer fast at first, then refine and repeat in the background.
    """

    def __init__(self, session: Session, clock: Callable[[], float]) -> None:
        self._session, self._clock = session, clock
        self.enabled = False
        self._refinement = Refinement(can_refine=False, repeat=False)
        self._due: deque[tuple[Request, LesionResult]] = deque()
        self._about: dict[str, LesionResult] = {}

    @property
    def calibration(self) -> Calibration | None:
        """Of the model in use; None where nobody has measured what its consensus surfaces are worth."""
        return calibration_from(self._session.model.calibration)

    @property
    def is_at_work(self) -> bool:
        """Whether something runs or waits in the background."""
        return bool(self._due) or self._session.busy_in_background

    def take(self, result: LesionResult) -> None:
        """Take an answer, whatever it was asked for; one of a refinement only while `knows` its outline."""
        request = result.request
        self._refinement.repeat = self._refinement.can_refine = self.enabled
        if request.purpose is not Purpose.REPEATED:
            self._about[request.lesion] = result
        for following in self._refinement.store(request, result.mask):
            if following.purpose is Purpose.GROWN:
                self._session.refine(following, result)
            else:
                self._due.append((following, result))

    def look(self, volume_arrived_s: float | None) -> None:
        """Hand on what is due once the volume is at rest. Call it at each turn."""
        if not self.enabled:
            self.clear()
        if self._due and volume_arrived_s is not None and self._clock() - volume_arrived_s >= QUIET_S:
            for request, result in self._due:
                self._session.refine(request, result)
            self._due.clear()

    def knows(self, found: Found) -> bool:
        """Whether an outline is exactly that which the network was asked to look at again."""
        if found.result is None or found.corrected:
            return False
        about = self._about.get(found.result.request.lesion)
        return about is not None and about.mask is found.result.mask

    def clear(self) -> None:
        """Nothing more is asked for by itself; what is known stays."""
        self._due.clear()

    def forget(self, lesion: str) -> None:
        """It is being asked for anew, or is gone."""
        self._refinement.forget(lesion)
        self._about.pop(lesion, None)
        self._due = deque(due for due in self._due if due[0].lesion != lesion)

    def change_of(self, lesion: str) -> Change | None:
        """What refining has changed; None before it has been done."""
        return self._refinement.change_of(lesion)

    def consensus_of(self, lesion: str) -> Consensus | None:
        """The consensus surfaces; None before all runs are there."""
        return self._refinement.consensus_of(lesion)

    def confidence_of(self, lesion: str) -> float | None:
        """The Dice to be expected.

        None without consensus surfaces, or where their worth was never measured for this model.
        """
        consensus, calibration = self.consensus_of(lesion), self.calibration
        if consensus is None or calibration is None or self._about[lesion].model_sha256 != self._session.model.sha256:
            return None
        return calibration.confidence_of(consensus.agreement)
