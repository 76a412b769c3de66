"""Paired comparisons: every figure by hand, or from a textbook."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.research.evaluation.comparison import (
    Contrast,
    compare,
    compare_pair,
    hodges_lehmann,
    holm,
    planned,
    rank_biserial,
)

CONTRAST = Contrast("dice", "a", "b")


def rows_of(values, patients=None, name="dice"):
    """A row for each value; each lesion of a patient of its own, unless they are named."""
    patients = patients or [f"P{n}" for n in range(len(values))]
    return [
        {"case_id": patient, "lesion": f"L{n}", "patient": patient, "metrics": {name: value}}
        for n, (value, patient) in enumerate(zip(values, patients))
    ]


def pair_of(values, others, **keywords):
    return compare_pair(CONTRAST, rows_of(values, **keywords), rows_of(others, **keywords), seed=0, draws=200)


def test_textbook_example_of_the_signed_rank_test():
    """Darwin's maize, as in SciPy's manual: 15 pairs in eighths of an inch, rank sums 96 and 24, p 0.041."""
    differences = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    found = pair_of(differences, [0] * 15)
    assert (found.statistic, found.unequal, found.exact) == (24, 15, True)
    assert found.p == pytest.approx(0.0413, abs=1e-4)
    assert found.rank_biserial == pytest.approx((96 - 24) / 120)
    assert found.difference == pytest.approx(hodges_lehmann(np.array(differences)))


def test_five_patients_who_all_gain_give_the_smallest_p_there_is():
    found = pair_of([0.5, 0.6, 0.7, 0.8, 0.9], [0.4, 0.4, 0.4, 0.4, 0.4])
    assert found.p == pytest.approx(2 / 2**5)
    assert found.rank_biserial == 1.0


def test_lesions_of_a_patient_are_averaged_first():
    """One patient with three lesions that gain, one with one that loses: two differences, not four."""
    patients = ["P", "P", "P", "Q"]
    found = pair_of([1.0, 2.0, 6.0, 0.0], [0.0, 0.0, 0.0, 1.0], patients=patients)
    assert (found.lesions, found.patients, found.statistic) == (4, 2, 1)
    assert found.difference == pytest.approx((3 - 1) / 2)  # the averages of pairs are 3, 1 and -1
    assert found.rank_biserial == pytest.approx((2 - 1) / 3)


def test_lesions_that_one_method_has_no_figure_for_are_counted_and_left_out():
    found = pair_of([1.0, None, 3.0, None, 5.0], [0.0, 0.0, None, None, 1.0])
    assert (found.lesions, found.only_one, found.only_other, found.neither) == (2, 1, 1, 1)
    assert found.patients == 2


def test_row_without_any_answer_counts_as_missing():
    one, other = rows_of([1.0, 2.0]), rows_of([0.0, 0.0])
    other[1]["metrics"] = None
    found = compare_pair(CONTRAST, one, other[:1], seed=0, draws=0)
    assert (found.lesions, found.only_one) == (1, 1)
    assert found == compare_pair(CONTRAST, one, other, seed=0, draws=0)


def test_patients_without_a_difference_are_left_out_of_the_test_but_not_of_the_median():
    found = pair_of([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0])
    assert (found.patients, found.unequal, found.p) == (4, 1, 1.0)
    assert found.difference == 0.0


def test_equal_methods_are_not_different():
    found = pair_of([0.5, 0.6], [0.5, 0.6])
    assert (found.p, found.rank_biserial, found.difference, found.interval) == (1.0, 0.0, 0.0, None)


def test_nothing_to_compare_is_no_test():
    found = pair_of([None, None], [1.0, 1.0])
    assert (found.p, found.difference, found.rank_biserial, found.patients) == (None, None, None, 0)


def test_equally_large_differences_are_not_counted_out():
    found = pair_of([1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 1.0, 5.0])
    assert not found.exact
    assert found.rank_biserial == pytest.approx((2 + 2 + 4 - 2) / 10)


def test_sign_of_a_volume_difference_does_not_matter_when_it_is_absolute():
    one, other = rows_of([-0.5, 0.5], name="rvd"), rows_of([0.1, 0.1], name="rvd")
    found = compare_pair(Contrast("rvd_absolute", "a", "b"), one, other, seed=0, draws=0)
    assert found.difference == pytest.approx(0.4)


def test_rank_biserial_by_hand():
    """|3|, |1|, |2|, |5|, 0 have ranks 3, 1, 2, 4: for 3 + 4, against 1 + 2."""
    assert rank_biserial(np.array([3.0, -1.0, -2.0, 5.0, 0.0])) == pytest.approx((7 - 3) / 10)


def test_hodges_lehmann_by_hand():
    """Averages of pairs of 1, 2, 9: 1, 1.5, 5, 2, 5.5, 9; their median lies between 2 and 5."""
    assert hodges_lehmann(np.array([1.0, 2.0, 9.0])) == 3.5


def test_interval_is_that_of_patients_drawn_one_by_one():
    rng = np.random.default_rng(3)
    values = rng.normal(0.2, 1.0, 9)
    found = pair_of(values, [0] * 9)
    counts = np.random.default_rng(0).multinomial(9, np.full(9, 1 / 9), size=200)
    by_patient = values[np.argsort([f"P{n}" for n in range(9)])]
    slow = [hodges_lehmann(np.repeat(by_patient, drawn)) for drawn in counts]
    assert found.interval == pytest.approx(np.percentile(slow, [2.5, 97.5]))


def test_holm_by_hand():
    """0.01 * 4, 0.013 * 3, 0.04 * 2 and 0.05: none may be smaller than the one before."""
    assert holm([0.04, 0.01, None, 0.05, 0.013]) == pytest.approx([0.08, 0.04, None, 0.08, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_all_pairs_on_the_primary_measure_and_one_pair_on_the_others():
    contrasts = planned(["x", "y", "z"], "dice", ("y", "x"), ["dice", "recall"])
    assert contrasts == [
        Contrast("dice", "y", "x"),
        Contrast("dice", "x", "z"),
        Contrast("dice", "y", "z"),
        Contrast("recall", "y", "x"),
    ]
    assert planned(["x", "z"], "dice", ("y", "x"), ["recall"]) == [Contrast("dice", "x", "z")]


def test_p_values_of_all_comparisons_are_corrected_together():
    rows = {"a": rows_of([5.0, 6.5, 7.1, 8.9]), "b": rows_of([1.0, 2.0, 3.0, 4.0]), "c": rows_of([0.9, 2.2, 2.7, 4.4])}
    found = compare(planned("abc", "dice", ("a", "b"), []), rows, seed=0, draws=0)
    assert [one["p"] for one in found] == pytest.approx([0.125, 0.125, 0.875])
    assert [one["p_holm"] for one in found] == pytest.approx([0.375, 0.375, 0.875])
