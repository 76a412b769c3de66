"""Expected Dice of a segmentation by the agreement of its consensus surfaces, fitted on lesions with ground truth.

A calibration belongs to one model and lies in its package. `expected_dice_of` is the Dice overlap with the ground truth
that lesions of the same agreement had on average; `residual_error`, which packages call "unexplained", is
q of `interval`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..core.errors import ModelError
from ..core.geometry import MAX_EXTENT_MM
from ..core.json_fields import BOOLEAN, COUNT, FieldKind, first_problem, in_range, is_list_of, is_object_of
from ..tracking.interval import ResidualError

LEAST_LESIONS = 20
"""Fewer lesions than this do not support a curve."""
COVERAGE = 0.95
SHARES = FieldKind("a list of numbers from 0 to 1", is_list_of(in_range(0, 1)))
FIELDS = {
    "agreements": SHARES,
    "expected_dice": SHARES,
    "unexplained": FieldKind("an object of mm", is_object_of(in_range(0, MAX_EXTENT_MM))),
    "lesions": COUNT,
    "patients": COUNT,
    "simulated": BOOLEAN.or_null(),
}
"""Of the calibration in `model.json`."""


@dataclass(frozen=True, eq=False)
class Observation:
    """One lesion with a ground truth, as input of `calibrate`.

    Attributes:
        agreement: of its consensus surfaces, see `consensus.Consensus`.
        probability: mean probability in the segmentation, what the network says of itself.
        dice: of the segmentation with the ground truth.
        misses_mm: for tips around it, how far the true distance lay outside the consensus surfaces', 0 where inside.
        errors_mm: for the same tips, how far it lay from that to the segmentation alone.
    """

    patient: str
    agreement: float
    probability: float
    dice: float
    misses_mm: np.ndarray
    errors_mm: np.ndarray


@dataclass(frozen=True)
class ModelCalibration:
    """Expected Dice by the agreement of consensus surfaces, and the residual error of a model.

    Attributes:
        agreements, expected_dice: corners of a curve that never falls.
        residual_error: see `interval`.
        lesions, patients: that it was measured on.
        simulated: whether these were simulated; None when that is not known.
    """

    agreements: tuple[float, ...]
    expected_dice: tuple[float, ...]
    residual_error: ResidualError
    lesions: int
    patients: int
    simulated: bool | None

    def expected_dice_of(self, agreement: float) -> float:
        """Return the expected Dice at an agreement, interpolated on the curve."""
        return float(np.interp(agreement, self.agreements, self.expected_dice))

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as plain JSON, with lists instead of tuples."""
        entry = {**asdict(self), **{name: list(getattr(self, name)) for name in ("agreements", "expected_dice")}}
        error = self.residual_error
        entry["unexplained"] = {"with_shells_mm": error.with_consensus_mm, "alone_mm": error.alone_mm}
        del entry["residual_error"]
        return entry


def calibration_from(entry: Mapping[str, Any]) -> ModelCalibration | None:
    """Read the calibration of a model package; None where it has none.

    Raises:
        ModelError: what is there is none.
    """
    if not entry:
        return None
    problem = first_problem(entry, FIELDS)
    if problem is not None:
        raise ModelError(f"the calibration of this model cannot be read: {problem}; calibrate it again")
    try:
        agreements, expected_dice = (tuple(map(float, entry[name])) for name in ("agreements", "expected_dice"))
        residual_error = ResidualError(*(float(entry["unexplained"][name]) for name in ("with_shells_mm", "alone_mm")))
        counts = entry["lesions"], entry["patients"]
        made = ModelCalibration(agreements, expected_dice, residual_error, *counts, entry["simulated"])
        rests_mm = [residual_error.with_consensus_mm, residual_error.alone_mm]
        good = len(made.agreements) == len(made.expected_dice) > 0 and np.all(np.diff(made.agreements) >= 0)
        good = good and np.isfinite([*made.agreements, *made.expected_dice, *rests_mm]).all()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"the calibration of this model cannot be read: {error!r}; calibrate it again") from error
    if not good or min(rests_mm) < 0:
        raise ModelError("the calibration of this model is no rising curve of finite numbers; calibrate it again")
    return made


def calibrate(observations: Sequence[Observation], simulated: bool | None) -> ModelCalibration:
    """Fit the calibration to lesions with a ground truth.

    Expected Dice rises with agreement (isotonic regression); q holds the true distance in 95 % of the tips, each
    lesion counting alike.

    Raises:
        ModelError: too few lesions.
    """
    from sklearn.isotonic import IsotonicRegression

    if len(observations) < LEAST_LESIONS:
        raise ModelError(f"a calibration needs at least {LEAST_LESIONS} lesions, got {len(observations)}; add cases")
    curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    curve.fit([o.agreement for o in observations], [o.dice for o in observations])
    return ModelCalibration(
        tuple(map(float, curve.X_thresholds_)),
        tuple(map(float, curve.y_thresholds_)),
        ResidualError(
            _quantile([o.misses_mm for o in observations], COVERAGE),
            _quantile([o.errors_mm for o in observations], COVERAGE),
        ),
        len(observations),
        len({o.patient for o in observations}),
        simulated,
    )


def _quantile(groups: Sequence[np.ndarray], share: float) -> float:
    """Return the quantile at a share, 0 to 1, of values in groups that weigh alike."""
    values = np.concatenate(groups)
    weights = np.concatenate([np.full(len(group), 1 / len(group)) for group in groups])
    order = np.argsort(values)
    place = int(np.searchsorted(np.cumsum(weights[order]), share * len(groups)))
    return float(values[order][min(place, len(values) - 1)])
