"""Medians, intervals over patients, curves and calibration, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.research.evaluation.statistics import (
    bootstrap_weights,
    calibration,
    curve_of,
    rate_of,
    size_class,
    spread_of,
    summarise,
    weighted_medians,
)
from helpers.evaluation_helpers import row_of

PATIENTS = ["a", "a", "a", "b", "c", "d", "d", "e"]
VALUES = [0.1, 0.2, 0.15, 0.9, 0.5, 0.7, 0.6, 0.8]


def test_weighted_medians_are_those_of_the_repeated_values():
    rng = np.random.default_rng(0)
    values, weights = rng.random(9), rng.integers(0, 4, (50, 9))
    weights[:, 0] += 1
    expected = [np.median(np.repeat(values, counts)) for counts in weights]
    assert weighted_medians(values, weights) == pytest.approx(expected)


def test_lesions_of_one_patient_are_drawn_together():
    weights = bootstrap_weights(PATIENTS, seed=1, draws=200)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 5] == weights[:, 6]).all()
    one_of_each = weights[:, [0, 3, 4, 5, 7]]
    assert (one_of_each.sum(axis=1) == 5).all()


def test_same_seed_gives_the_same_interval():
    first, again, other = (spread_of(VALUES, PATIENTS, seed, 500) for seed in (3, 3, 4))
    assert first == again
    assert first["interval"] != other["interval"] or first["median"] == other["median"]
    assert first["interval"][0] <= first["median"] <= first["interval"][1]


def test_interval_over_patients_is_wider_than_over_lesions():
    alike = [0.1] * 10 + [0.9] * 10 + [0.5] * 10
    together = spread_of(alike, ["a"] * 10 + ["b"] * 10 + ["c"] * 10, 0, 500)["interval"]
    apart = spread_of(alike, [str(n) for n in range(30)], 0, 500)["interval"]
    assert together == [0.1, 0.9]
    assert apart[1] - apart[0] < 0.8


def test_what_is_missing_is_left_out_and_counted():
    spread = spread_of([1.0, None, 3.0], ["a", "b", "c"], 0, 10)
    assert (spread["count"], spread["median"], spread["quartiles"]) == (2, 2.0, [1.5, 2.5])
    assert spread["interval"] is None
    assert spread_of([None], ["a"], 0, 10)["median"] is None


def test_rate_of_all_is_not_said_to_be_certain():
    patients = [f"p{n}" for n in range(12)]
    assert rate_of([True] * 12, patients, 0, 100)["interval"] == pytest.approx([0.025 ** (1 / 12), 1])
    assert rate_of([False] * 12, patients, 0, 100)["interval"] == pytest.approx([0, 1 - 0.025 ** (1 / 12)])
    some = rate_of([True] * 6 + [False] * 6, patients, 0, 2000)
    assert some["share"] == 0.5
    assert some["interval"] == pytest.approx([0.25, 0.75], abs=0.09)


@pytest.mark.parametrize(
    ("diameter_mm", "name"),
    [(3, "under 10 mm"), (10, "10 to 20 mm"), (29.9, "20 to 30 mm"), (30, "30 mm and more"), (80, "30 mm and more")],
)
def test_lower_edge_belongs_to_the_size_class(diameter_mm, name):
    assert size_class(diameter_mm) == name


def test_groups_come_in_their_order_and_empty_ones_not_at_all():
    rows = [
        row_of("a", 0.5, {"diameter_mm": 40.0}),
        row_of("b", 0.7, {"echogenicity": "hyperechoic", "diameter_mm": 5.0}),
        row_of("c", 0.9, {"echogenicity": "hypoechoic", "diameter_mm": 5.0}),
        row_of("d", 0.1, {"echogenicity": "mixed", "diameter_mm": 5.0}),
    ]
    figures = summarise(rows, 0, 50)
    assert list(figures["echogenicity"]) == ["hypoechoic", "hyperechoic", "unknown", "mixed"]
    assert list(figures["size"]) == ["under 10 mm", "30 mm and more"]
    assert figures["all"]["all"]["share_under_0.3"]["share"] == 0.25


def test_calibration_bins_by_hand():
    rows = [row_of(str(n), dice) for n, dice in enumerate((0.2, 0.6, 0.8, 0.0))]
    for row, confidence in zip(rows, (0.6, 0.96, 0.98, None)):
        row["confidence"] = confidence
    table = calibration(rows)
    assert [(b["low"], b["lesions"], b["dice_mean"]) for b in table["bins"]] == [
        (0.5, 1, pytest.approx(0.2)),
        (0.95, 2, pytest.approx(0.7)),
    ]
    assert table["nothing_found"] == 1
    assert table["gap"] == pytest.approx((0.4 + 0.36 + 0.18) / 3)
    assert table["rank_correlation"] == pytest.approx(1)


def test_calibration_of_nothing():
    row = row_of("a", 0.0)
    row["confidence"] = None
    assert calibration([row]) == {"bins": [], "nothing_found": 1, "gap": None, "rank_correlation": None}


def test_curve_counts_seeds_that_left_the_sweep():
    rows = [{**row_of("a", 0.8), "kind": "seed share", "amount": 0.5, "seed_ras_mm": [0, 0, 0], "seed_away_mm": 4.0}]
    rows += [{**rows[0], "draw": 1, "metrics": None, "seed_ras_mm": None}]
    recorded = [{**row_of("a", 0.9), "seed_ras_mm": [0, 0, 0]}]
    near, far = curve_of(rows, "seed share", 0, 10, also=recorded)
    assert (near["amount"], near["dice"]["median"], near["away_mm"]) == (0.0, 0.9, None)
    assert (far["measured"], far["no_place"], far["away_mm"]) == (1, 1, 4.0)
    assert curve_of([], "gain dB", 0, 10, also=recorded) == []
