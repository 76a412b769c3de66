"""Paired comparison of methods on the same lesions, with tests and effect sizes.

Lesions of one patient are alike, so the patient is the unit: of each measure, the difference of two methods is taken
lesion by lesion, averaged in each patient, and these averages, one for each patient, are tested by Wilcoxon's
signed-rank test, two-sided. A lesion counts only where both methods have a figure; how many do not is told. What is
compared is named beforehand (`planned`), and all p values are corrected together by Holm's method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import rankdata, wilcoxon

from .result_cache import Row
from .statistics import INTERVAL, bootstrap_weights, weighted_medians

EXACT_UP_TO = 50
"""Patients up to which the p value is counted out, where no two differences are equally large."""
ABSOLUTE = "_absolute"
"""`rvd_absolute` is `rvd` without its sign: too large and too small are equally wrong."""
DRAWS_AT_ONCE = 100
NO_TEST = {"statistic": None, "exact": None, "p": None}


@dataclass(frozen=True)
class Contrast:
    """One comparison to make: a measure (a metric, signed or as `ABSOLUTE` value) of one method against another."""

    measure: str
    one: str
    other: str


@dataclass(frozen=True)
class Comparison:
    """Result of a contrast; all differences are one minus other.

    Attributes:
        lesions: for which both have a figure.
        only_one, only_other, neither: for how many lesions only the one, only the other, or neither of both has.
        patients: of these lesions.
        unequal: patients with a difference other than 0; the test is on these (zero_method "wilcox").
        difference: Hodges and Lehmann's: the median of the averages of all pairs of patients.
        interval: of the difference, 95 %, by a bootstrap over patients; None with too few.
        rank_biserial: matched pairs: share of the rank sum that favours a larger one, minus the share that favours a
            larger other; -1 to 1.
        statistic: the smaller of both rank sums.
        exact: whether p is counted out, rather than by the normal approximation.
        p: None where there is no patient; 1 where no patient differs.
        p_holm: corrected for all comparisons that were made together.
    """

    measure: str
    one: str
    other: str
    lesions: int
    only_one: int
    only_other: int
    neither: int
    patients: int
    unequal: int
    difference: float | None
    interval: list[float] | None
    rank_biserial: float | None
    statistic: float | None
    exact: bool | None
    p: float | None
    p_holm: float | None = None


def planned(methods: Sequence[str], primary: str, claim: tuple[str, str], measures: Sequence[str]) -> list[Contrast]:
    """Return the contrasts: all pairs on the primary measure, one pair on each other measure, without repeats.

    Args:
        claim: the pair that is compared on all measures, always this one minus that; left out where one of both is
            not among the methods.
    """
    pairs = [claim if set(pair) == set(claim) else pair for pair in combinations(methods, 2)]
    contrasts = [Contrast(primary, *pair) for pair in pairs]
    if set(claim) <= set(methods):
        contrasts += [Contrast(measure, *claim) for measure in measures if measure != primary]
    return contrasts


def compare(
    contrasts: Sequence[Contrast], rows: Mapping[str, Sequence[Row]], seed: int, draws: int
) -> list[dict[str, Any]]:
    """Make all comparisons, with Holm-corrected p values.

    Args:
        rows: of each method, as recorded, of the same cases.
        draws: of each bootstrap.

    Returns:
        The fields of `Comparison`, in the order of the contrasts.
    """
    made = [compare_pair(contrast, rows[contrast.one], rows[contrast.other], seed, draws) for contrast in contrasts]
    return [{**asdict(one), "p_holm": p} for one, p in zip(made, holm([one.p for one in made]))]


def compare_pair(contrast: Contrast, one: Sequence[Row], other: Sequence[Row], seed: int, draws: int) -> Comparison:
    """Compare two methods on one measure; `p_holm` is filled in by `compare`."""
    patient_of = {_lesion(row): row["patient"] for row in (*one, *other)}
    values, others = (_values(rows, contrast.measure) for rows in (one, other))
    both = [lesion for lesion in patient_of if lesion in values and lesion in others]
    away: dict[str, list[float]] = {}
    for lesion in both:
        away.setdefault(patient_of[lesion], []).append(values[lesion] - others[lesion])
    patients = sorted(away)
    differences = np.array([np.mean(away[patient]) for patient in patients])
    return Comparison(
        **asdict(contrast),
        lesions=len(both),
        only_one=sum(lesion in values and lesion not in others for lesion in patient_of),
        only_other=sum(lesion in others and lesion not in values for lesion in patient_of),
        neither=sum(lesion not in others and lesion not in values for lesion in patient_of),
        patients=len(patients),
        unequal=int(np.count_nonzero(differences)),
        difference=hodges_lehmann(differences) if patients else None,
        interval=_interval_of(differences, patients, seed, draws),
        rank_biserial=rank_biserial(differences) if patients else None,
        **_signed_rank_test(differences),
    )


def _lesion(row: Row) -> tuple[str, str]:
    return row["case_id"], row["lesion"]


def _values(rows: Sequence[Row], measure: str) -> dict[tuple[str, str], float]:
    """Return the measure of each lesion for which it is known."""
    name = measure.removesuffix(ABSOLUTE)
    change: Callable[[float], float] = abs if name != measure else float
    known = ((row, (row["metrics"] or {}).get(name)) for row in rows)
    return {_lesion(row): change(value) for row, value in known if value is not None}


def _signed_rank_test(differences: np.ndarray) -> dict[str, Any]:
    """Return `statistic`, `exact` and `p` of a Wilcoxon signed-rank test."""
    unequal = differences[differences != 0]
    if not len(unequal):
        return {"statistic": 0.0, "exact": True, "p": 1.0} if len(differences) else NO_TEST
    exact = len(unequal) <= EXACT_UP_TO and len(np.unique(np.abs(unequal))) == len(unequal)
    found = wilcoxon(unequal, zero_method="wilcox", correction=False, method="exact" if exact else "approx")
    return {"statistic": float(found.statistic), "exact": exact, "p": float(found.pvalue)}


def rank_biserial(differences: np.ndarray) -> float:
    """Return Kerby's matched-pairs rank-biserial correlation of the non-zero differences; 0 if all are zero."""
    unequal = differences[differences != 0]
    if not len(unequal):
        return 0.0
    ranks = rankdata(np.abs(unequal))
    return float(np.sum(ranks * np.sign(unequal)) / ranks.sum())


def hodges_lehmann(differences: np.ndarray) -> float:
    """Return the Hodges-Lehmann estimate: the median of the means of all pairs, each value with itself included."""
    first, second = np.triu_indices(len(differences))
    return float(np.median((differences[first] + differences[second]) / 2))


def _interval_of(differences: np.ndarray, patients: Sequence[str], seed: int, draws: int) -> list[float] | None:
    """Return the bootstrap percentile interval of `hodges_lehmann` over resampled patients."""
    weights = bootstrap_weights(patients, seed, draws)
    if weights is None:
        return None
    first, second = np.triu_indices(len(differences))
    averages = (differences[first] + differences[second]) / 2
    medians = []
    for start in range(0, len(weights), DRAWS_AT_ONCE):
        some = weights[start : start + DRAWS_AT_ONCE]
        pairs = np.where(first == second, some[:, first] * (some[:, first] + 1) // 2, some[:, first] * some[:, second])
        medians.append(weighted_medians(averages, pairs))
    tail = 50 * (1 - INTERVAL)
    return [float(x) for x in np.percentile(np.concatenate(medians), [tail, 100 - tail])]


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p values after Holm's step-down correction; None was not tested and does not count."""
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for done, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - done)))
        corrected[place] = largest
    return corrected
