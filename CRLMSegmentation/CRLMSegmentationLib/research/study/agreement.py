"""Agreement of the volumes of masks with the reference volumes, after Bland and Altman, as ratios.

Lesions of a study differ in volume by a factor of several hundred, and an error grows with the volume; differences in
ml would show the large lesions alone. So it is logarithms that are subtracted, and the result is a ratio: 1 is right,
2 is twice too large, 0.5 half as large as it should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..evaluation.result_cache import Row
from ..evaluation.statistics import INTERVAL, bootstrap_weights

LIMIT = 1.96
"""Standard deviations within which 95 % of a normal distribution lie."""


def log_ratios(rows: Sequence[Row]) -> tuple[np.ndarray, list[str]]:
    """Return log(mask volume / reference volume) of each lesion that was found, and their patients."""
    found = [row for row in rows if row["volume_ml"]]
    ratios = [row["volume_ml"] / row["truth_ml"] for row in found]
    return np.log(np.array(ratios, dtype=float)), [row["patient"] for row in found]


def volume_agreement(rows: Sequence[Row], seed: int, draws: int) -> dict[str, Any]:
    """Return the volume agreement of one method.

    Returns:
        lesions: of which something was found; nothing_found: the others, which have no ratio.
        ratio: geometric mean of mask over reference volume; interval: its 95 % interval by a bootstrap over patients.
        limits: within which 95 % of the ratios lie, if their logarithms are normal; None below two lesions. That
            lesions of one patient are alike is not taken into account here.
    """
    logs, patients = log_ratios(rows)
    weights = bootstrap_weights(patients, seed, draws) if len(logs) else None
    interval = limits = None
    if weights is not None:
        tail = 50 * (1 - INTERVAL)
        means = weights @ logs / weights.sum(axis=1)
        interval = [float(x) for x in np.exp(np.percentile(means, [tail, 100 - tail]))]
    if len(logs) > 1:
        mean, deviation = logs.mean(), logs.std(ddof=1)
        limits = [float(np.exp(mean + sign * LIMIT * deviation)) for sign in (-1, 1)]
    return {
        "lesions": len(logs),
        "nothing_found": len(rows) - len(logs),
        "ratio": float(np.exp(logs.mean())) if len(logs) else None,
        "interval": interval,
        "limits": limits,
    }
