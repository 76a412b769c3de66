"""Summary statistics over lesions: medians, quartiles, rates, and bootstrap intervals over patients.

Lesions of one patient are alike, so intervals come from a bootstrap over patients: as many patients are drawn,
with replacement, as there are, each with all of his lesions. Percentile intervals of 95 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.metrics import THOROUGH_METRICS
from .result_cache import Row

INTERVAL = 0.95
LEAST_PATIENTS = 3
"""Fewest patients for a bootstrap interval."""
BAD_DICE = 0.3
FIGURES = (*THOROUGH_METRICS, "seconds")
RATES = ("detection_rate", "share_under_0.3")
SIZE_CLASSES_MM = ((0, 10), (10, 20), (20, 30), (30, np.inf))
ECHOGENICITIES = ("hypoechoic", "isoechoic", "hyperechoic")
UNKNOWN = "unknown"
CONFIDENCE_EDGES = (0.5, 0.75, 0.85, 0.9, 0.95, 1.0)
"""The first is the threshold of the mask: its mean probability cannot be less but by the tail of smoothing."""

Figures = dict[str, Any]


def size_class(diameter_mm: float) -> str:
    """Return the size class of a diameter, such as "10 to 20 mm"; the lower edge belongs to the class."""
    low, high = next((low, high) for low, high in SIZE_CLASSES_MM if low <= diameter_mm < high)
    return f"under {high} mm" if low == 0 else f"{low} mm and more" if high == np.inf else f"{low} to {high} mm"


def summarise(rows: Sequence[Row], seed: int, draws: int) -> dict[str, dict[str, Figures]]:
    """Return the figures of all lesions with recorded seeds, of each echogenicity and of each size class.

    Args:
        rows: that have metrics.

    Returns:
        {"all": {"all": figures}, "echogenicity": {name: figures}, "size": {name: figures}}, see `figures_of`.
    """
    return {
        kind: {name: figures_of(members, seed, draws) for name, members in group.items()}
        for kind, group in groups_of(rows).items()
    }


def groups_of(rows: Sequence[Row]) -> dict[str, dict[str, list[Row]]]:
    """Return {"all": {"all": rows}, "echogenicity": {name: rows}, "size": {name: rows}}, without empty groups."""
    by_echo: dict[str, list[Row]] = {name: [] for name in (*ECHOGENICITIES, UNKNOWN)}
    by_size: dict[str, list[Row]] = {size_class(low): [] for low, _ in SIZE_CLASSES_MM}
    for row in rows:
        by_echo.setdefault(str(row["about"].get("echogenicity", UNKNOWN)), []).append(row)
        by_size[size_class(row["diameter_mm"])].append(row)
    groups = {"all": {"all": list(rows)}, "echogenicity": by_echo, "size": by_size}
    return {kind: {name: found for name, found in group.items() if found} for kind, group in groups.items()}


def figures_of(rows: Sequence[Row], seed: int, draws: int) -> Figures:
    """Return the numbers of lesions and patients, `spread_of` each of `FIGURES`, and `rate_of` each of `RATES`."""
    patients = [row["patient"] for row in rows]
    values = {name: [row["metrics"].get(name) for row in rows] for name in THOROUGH_METRICS}
    values["seconds"] = [row["seconds"] for row in rows]
    bad = [row["metrics"]["dice"] < BAD_DICE for row in rows]
    rates = {"detection_rate": [row["detected"] for row in rows], "share_under_0.3": bad}
    return {
        "lesions": len(rows),
        "patients": len(set(patients)),
        **{name: spread_of(values[name], patients, seed, draws) for name in FIGURES},
        **{name: rate_of(rates[name], patients, seed, draws) for name in RATES},
    }


def spread_of(values: Sequence[float | None], patients: Sequence[str], seed: int, draws: int) -> Figures:
    """Return count, mean, median, quartiles, range and the interval of the median; None values do not count."""
    known = [n for n, value in enumerate(values) if value is not None]
    if not known:
        return dict.fromkeys(("count", "mean", "median", "quartiles", "range", "interval"), None) | {"count": 0}
    array = np.array([values[n] for n in known], dtype=float)
    low, middle, high = np.percentile(array, [25, 50, 75])
    weights = bootstrap_weights([patients[n] for n in known], seed, draws)
    return {
        "count": len(known),
        "mean": float(array.mean()),
        "median": float(middle),
        "quartiles": [float(low), float(high)],
        "range": [float(array.min()), float(array.max())],
        "interval": None if weights is None else _interval(weighted_medians(array, weights)),
    }


def rate_of(holds: Sequence[bool], patients: Sequence[str], seed: int, draws: int) -> Figures:
    """Return the share of lesions for which a condition holds, and its interval.

    Where it holds for all or for none, no draw can say otherwise; then the interval is the exact binomial one of
    Clopper and Pearson with as many trials as there are patients.
    """
    array = np.array(holds, dtype=float)
    share, weights = float(array.mean()), bootstrap_weights(patients, seed, draws)
    if weights is None:
        interval = None
    elif share in (0.0, 1.0):
        least = ((1 - INTERVAL) / 2) ** (1 / len(set(patients)))
        interval = [least, 1.0] if share else [0.0, 1 - least]
    else:
        interval = _interval(weights @ array / weights.sum(axis=1))
    return {"count": len(array), "share": share, "interval": interval}


def bootstrap_weights(patients: Sequence[str], seed: int, draws: int) -> np.ndarray | None:
    """Return how often each lesion is in each bootstrap sample, int, (draws, lesions); None with too few patients."""
    names, owner = np.unique(np.array(patients, dtype=str), return_inverse=True)
    if len(names) < LEAST_PATIENTS or draws < 1:
        return None
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return drawn[:, owner]


def weighted_medians(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the medians of values (N,) under integer weights (draws, N)."""
    order = np.argsort(values, kind="stable")
    counted = np.cumsum(weights[:, order], axis=1)
    total = counted[:, -1:]
    places = [(counted <= place).sum(axis=1) for place in ((total - 1) // 2, total // 2)]
    medians: np.ndarray = (values[order][places[0]] + values[order][places[1]]) / 2
    return medians


def _interval(drawn: np.ndarray) -> list[float]:
    tail = 50 * (1 - INTERVAL)
    return [float(x) for x in np.percentile(drawn, [tail, 100 - tail])]


def calibration(rows: Sequence[Row]) -> Figures:
    """Return the mean Dice in bins of confidence.

    Returns:
        bins: {low, high, lesions, confidence, dice_mean, dice_median, detected} each, empty ones left out; `low` is
            below all for the first.
        nothing_found: lesions without a mask, which have no confidence.
        gap: mean of confidence minus Dice; above 0 the model is too sure of itself.
        rank_correlation: Spearman's, None with fewer than three lesions or when one of both does not vary.
    """
    found = [row for row in rows if row["confidence"] is not None]
    confidence = np.array([row["confidence"] for row in found], dtype=float)
    dice = np.array([row["metrics"]["dice"] for row in found], dtype=float)
    detected = np.array([row["detected"] for row in found], dtype=bool)
    place = np.digitize(confidence, CONFIDENCE_EDGES[1:-1])
    bins = []
    for number, (low, high) in enumerate(zip(CONFIDENCE_EDGES, CONFIDENCE_EDGES[1:])):
        inside = place == number
        if inside.any():
            bins.append(
                {
                    "low": low,
                    "high": high,
                    "lesions": int(inside.sum()),
                    "confidence": float(confidence[inside].mean()),
                    "dice_mean": float(dice[inside].mean()),
                    "dice_median": float(np.median(dice[inside])),
                    "detected": float(detected[inside].mean()),
                }
            )
    return {
        "bins": bins,
        "nothing_found": len(rows) - len(found),
        "gap": float((confidence - dice).mean()) if found else None,
        "rank_correlation": _rank_correlation(confidence, dice),
    }


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    from scipy.stats import spearmanr

    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(spearmanr(one, other).statistic)


def curve_of(rows: Sequence[Row], kind: str, seed: int, draws: int, also: Sequence[Row] = ()) -> list[Figures]:
    """Return Dice against the amount of one kind of variation.

    Args:
        also: rows as recorded that belong to the curve, with their amount on it in place of 0.

    Returns:
        {amount, measured, lesions, refused, no_place, dice, detection_rate, away_mm} for each amount, ascending:
        how many measurements of how many lesions there are, in how many of them the click was refused (they count
        with a Dice of 0), how many could not be made since the seed would have left the field of view, and their mean
        distance from the centre.
    """
    members = [row for row in rows if row["kind"] == kind]
    if not members:
        return []
    points = []
    for amount in sorted({row["amount"] for row in (*members, *also)}):
        here = [row for row in (*members, *also) if row["amount"] == amount]
        made = [row for row in here if row["metrics"] is not None]
        patients = [row["patient"] for row in made]
        away_mm = [row["seed_away_mm"] for row in made if row["seed_away_mm"] is not None]
        points.append(
            {
                "amount": amount,
                "measured": len(made),
                "lesions": len({(row["case_id"], row["lesion"]) for row in made}),
                "refused": sum(row["device"] is None for row in made),
                "no_place": sum(row["seed_ras_mm"] is None for row in here),
                "dice": spread_of([row["metrics"]["dice"] for row in made], patients, seed, draws),
                "detection_rate": rate_of([row["detected"] for row in made], patients, seed, draws) if made else None,
                "away_mm": float(np.mean(away_mm)) if away_mm else None,
            }
        )
    return points
