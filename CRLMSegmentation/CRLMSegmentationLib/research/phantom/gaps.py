"""Frames that a sweep lacks: a low frame rate, single frames that were lost, and longer gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_FRAME_SPACING_MM = 1.0
"""Mean distance that a low frame rate may leave between frames."""


@dataclass(frozen=True)
class Gaps:
    """Frames that the volume lacks; the defaults are none.

    Attributes:
        step: one of so many frames was recorded.
        dropped_share: of single frames that were lost.
        runs: first frame and number of frames of longer losses, both as shares of the sweep.
        fill_holes: whether the reconstruction fills gaps of up to four voxels, as SlicerIGSIO does when it is told to.
    """

    step: int = 1
    dropped_share: float = 0.0
    runs: tuple[tuple[float, float], ...] = ()
    fill_holes: bool = False

    def affordable_step(self, frame_spacing_mm: float) -> int:
        """Return the step with which frames do not lie farther apart than `MAX_FRAME_SPACING_MM`."""
        return max(1, min(self.step, int(MAX_FRAME_SPACING_MM / frame_spacing_mm)))

    def kept(self, frames: int, rng: np.random.Generator) -> np.ndarray:
        """Return which of the recorded frames were not lost, bool, shape (frames,)."""
        kept = rng.random(frames) >= self.dropped_share
        for first, length in self.runs:
            start = int(first * frames)
            kept[start : start + max(1, round(length * frames))] = False
        return kept


def draw_gaps(rng: np.random.Generator) -> Gaps:
    """Draw lost frames: of 40 % of the patients single ones, of half of them longer runs."""
    runs = tuple((float(rng.uniform(0.05, 0.9)), float(rng.uniform(0.015, 0.07))) for _ in range(rng.binomial(3, 0.2)))
    return Gaps(
        step=int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])),
        dropped_share=float(rng.uniform(0.02, 0.2)) * bool(rng.random() < 0.4),
        runs=runs,
        fill_holes=bool(rng.random() < 0.5),
    )
