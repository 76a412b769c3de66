"""Settings of an evaluation: the robustness sample, its variations, and the bootstrap."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...core.crop_format import CROP_SIZE_LIMITS_MM
from ...core.errors import CrlmError

AS_RECORDED, SEED_SHARE, SEED_MM, GAIN_DB, GREY_FACTOR = (
    "as recorded",
    "seed share",
    "seed mm",
    "gain dB",
    "grey factor",
)
MOST_CLICKS = 20


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation.

    Attributes:
        seed: of everything that is drawn; the same seed gives the same tables.
        mirroring: average over mirrored copies as well.
        sliding_window: cover crops with nnU-Net's patches, see `results.Options`.
        crop_size_mm: edge of the crop; None for the model's.
        clicks: of a simulated user who corrects each segmentation, the first included; 1 for the recorded seed alone.
        brush: correct with the sphere brush of the Segment Editor, see `baselines.brush`, and not by points.
        robustness_lesions: how many lesions are segmented again from moved seeds and with another gain; 0 for none.
        seed_shares: how far the seed is moved from the lesion's centre, in shares of its radius.
        seed_offsets_mm: the same in mm.
        seed_draws: directions for each distance.
        gains_db: offsets of the log-compressed grey values, see `variations.with_gain`.
        grey_factors: by which they are multiplied.
        bootstrap_draws: for each interval.
        worst: how many of the worst lesions are pictured.

    Raises:
        CrlmError: a number that cannot be.
    """

    seed: int = 0
    mirroring: bool = False
    sliding_window: bool = False
    crop_size_mm: float | None = None
    robustness_lesions: int = 10
    seed_shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
    seed_offsets_mm: tuple[float, ...] = ()
    seed_draws: int = 2
    gains_db: tuple[float, ...] = (-30.0, -20.0, -10.0, 10.0, 20.0, 30.0)
    grey_factors: tuple[float, ...] = (0.25, 0.5, 2.0)
    bootstrap_draws: int = 2000
    worst: int = 4
    clicks: int = 1
    brush: bool = False

    def __post_init__(self) -> None:
        counts = ("seed", "robustness_lesions", "seed_draws", "bootstrap_draws", "worst")
        for name in counts:
            if getattr(self, name) < 0:
                raise CrlmError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if not 1 <= self.clicks <= MOST_CLICKS:
            raise CrlmError(f"the clicks on a lesion are 1 to {MOST_CLICKS}, got {self.clicks}")
        low, high = CROP_SIZE_LIMITS_MM
        if self.crop_size_mm is not None and not low <= self.crop_size_mm <= high:
            raise CrlmError(f"the crop must be {low:.0f} to {high:.0f} mm wide, got {self.crop_size_mm}")
        amounts = (*self.seed_shares, *self.seed_offsets_mm, *self.grey_factors)
        if not all(math.isfinite(amount) for amount in (*amounts, *self.gains_db)) or min(amounts, default=0) < 0:
            raise CrlmError("distances of the seed and grey factors must be 0 or more, gains finite")

    @property
    def variations(self) -> list[Variation]:
        """All variations of a lesion of the robustness sample, without the recorded one."""
        moved = [
            Variation(kind, amount, draw)
            for kind, amounts in ((SEED_SHARE, self.seed_shares), (SEED_MM, self.seed_offsets_mm))
            for amount in amounts
            for draw in range(self.seed_draws if amount else min(1, self.seed_draws))
        ]
        changed = [Variation(GAIN_DB, gain) for gain in self.gains_db if gain]
        return [*moved, *changed, *(Variation(GREY_FACTOR, factor) for factor in self.grey_factors if factor != 1)]


@dataclass(frozen=True)
class Variation:
    """One way to segment a lesion; `draw` numbers the random directions in which the seed is moved."""

    kind: str = AS_RECORDED
    amount: float = 0.0
    draw: int = 0
