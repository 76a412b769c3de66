"""A calibration from lesions whose figures are chosen by hand."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import ModelError
from CRLMSegmentationLib.segmentation.calibration import LEAST_LESIONS, Observation, calibrate, calibration_from
from CRLMSegmentationLib.tracking.interval import ResidualError


def lesions(count=40, misses=(0.0, 1.0, 2.0, 3.0)):
    """Agreement from 0 to 1, Dice half as much and a little noise that averages out, the same misses each."""
    agreements = np.linspace(0, 1, count)
    noise = np.where(np.arange(count) % 2, 0.02, -0.02)
    return [
        Observation(
            f"P{n // 2}", float(a), 0.95, float(np.clip(0.4 + a / 2 + e, 0, 1)), np.array(misses), 2 * np.array(misses)
        )
        for n, (a, e) in enumerate(zip(agreements, noise))
    ]


def test_confidence_is_the_dice_that_such_lesions_had():
    made = calibrate(lesions(), simulated=True)
    for agreement in (0.1, 0.5, 0.9):
        assert made.expected_dice_of(agreement) == pytest.approx(0.4 + agreement / 2, abs=0.03)
    assert (made.lesions, made.patients, made.simulated) == (40, 20, True)


def test_confidence_never_falls_with_agreement():
    made = calibrate(lesions(), simulated=True)
    told = [made.expected_dice_of(a) for a in np.linspace(-0.5, 1.5, 100)]
    assert (np.diff(told) >= 0).all()


def test_unexplained_rest_holds_95_of_100_tips_with_each_lesion_counting_alike():
    one_far_off = [*lesions(39, misses=(0.0, 0.0)), Observation("X", 0.5, 0.9, 0.5, *[np.full(1000, 9.0)] * 2)]
    assert calibrate(one_far_off, None).residual_error == ResidualError(0.0, 0.0)
    far_off = Observation("X", 0.5, 0.9, 0.5, np.full(7, 9.0), np.full(7, 11.0))
    assert calibrate([*lesions(36, misses=(0.0,)), *[far_off] * 4], None).residual_error == ResidualError(9.0, 11.0)


def test_calibration_is_read_as_it_was_written():
    made = calibrate(lesions(), simulated=None)
    assert calibration_from({**made.to_json(), "checked": {"gap": 0.01}}) == made


def test_model_without_calibration_has_none():
    assert calibration_from({}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"agreements": [0.5, 0.1]},
        {"expected_dice": [0.5]},
        {"unexplained": {"with_shells_mm": float("nan"), "alone_mm": 1.0}},
        {"unexplained": {"with_shells_mm": 1.0, "alone_mm": -1.0}},
        {"unexplained": {"with_shells_mm": 1.0, "other": 1.0}},
        {"unexplained": 1.0},
        {"agreements": "no"},
        {"lesions": None, "agreements": None},
    ],
)
def test_calibration_that_is_none_is_refused(change):
    entry = {
        "agreements": [0.1, 0.9],
        "expected_dice": [0.5, 0.8],
        "unexplained": {"with_shells_mm": 1.0, "alone_mm": 2.0},
        "lesions": 30,
        "patients": 20,
        "simulated": True,
    }
    assert calibration_from(entry).expected_dice_of(0.5) == pytest.approx(0.65)
    with pytest.raises(ModelError, match="calibrate it again"):
        calibration_from({**entry, **change})


def test_too_few_lesions_are_refused():
    with pytest.raises(ModelError, match=f"at least {LEAST_LESIONS} lesions, got 5"):
        calibrate(lesions(5), None)
