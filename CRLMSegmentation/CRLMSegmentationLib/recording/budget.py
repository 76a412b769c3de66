"""What is left out when the disk space runs out: first live 2D images, then repeated volumes, then all messages.

What a surgeon has done and seen, and the volumes in which results were made, are recorded as long as the disk takes
anything.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from . import folder as recording_folder

SHARES = (0.6, 0.8, 0.95)
"""Of the budget: beyond each a step less is recorded."""
FREE_SHARES = (2.0, 1.5, 1.0)
"""Of `MIN_FREE_BYTES`: with less free space a step less is recorded. What is left is for results."""
LOOK_EVERY_S = 1.0


class BudgetStep(IntEnum):
    """How much is left out of a recording; each step includes those before."""

    NOTHING = 0
    IMAGES = 1
    REPEATED_VOLUMES = 2
    ALL_MESSAGES = 3

    @property
    def text(self) -> str:
        return TEXTS[self]


TEXTS = {
    BudgetStep.NOTHING: "everything is recorded",
    BudgetStep.IMAGES: "live images are not recorded any more",
    BudgetStep.REPEATED_VOLUMES: "neither live images nor repeated volumes are recorded any more, "
    "unless a result is made in one",
    BudgetStep.ALL_MESSAGES: "nothing of the link is recorded any more; seeds, results and their volumes are",
}


class Budget:
    """The disk space of a recording. What was left out once stays left out, so that a recording has one gap at most.

    Args:
        folder: on the disk that is recorded to.
        budget_bytes: that the recording may take.
        clock: seconds that never go back.
    """

    def __init__(self, folder: Path, budget_bytes: float, clock: Callable[[], float]) -> None:
        self._folder, self.budget_bytes, self._clock = folder, budget_bytes, clock
        self._looked_at_s: float | None = None
        self._free_bytes = 0
        self.step = BudgetStep.NOTHING
        self.reason = ""

    def update(self, used_bytes: int) -> BudgetStep:
        """Return what is left out now; cheap enough to be called for each message.

        Raises:
            OSError: the disk does not say what is free.
        """
        share = used_bytes / self.budget_bytes if self.budget_bytes > 0 else 1.0
        by_budget = BudgetStep(sum(share >= limit for limit in SHARES))
        by_disk = BudgetStep(sum(self._free() < n * recording_folder.MIN_FREE_BYTES for n in FREE_SHARES))
        step = max(by_budget, by_disk)
        if step > self.step:
            self.step = step
            of_budget = f"{used_bytes / 1e6:.0f} of {self.budget_bytes / 1e6:.0f} MB are used"
            of_disk = f"only {self._free_bytes / 1e6:.0f} MB are free on the disk"
            self.reason = of_budget if by_budget >= by_disk else of_disk
        return self.step

    def _free(self) -> int:
        now_s = self._clock()
        if self._looked_at_s is None or now_s - self._looked_at_s >= LOOK_EVERY_S:
            self._looked_at_s, self._free_bytes = now_s, recording_folder.free_bytes_at(self._folder)
        return self._free_bytes
