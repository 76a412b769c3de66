"""Mean ROC curves of methods: recall, averaged over lesions, at fixed rates of false positives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...core.metrics import ROC_FALSE_POSITIVES
from ..evaluation.result_cache import Row

ROC_REGIONS = ("crop", "volume")
"""Over the voxels that the method has looked at, and over all of the volume."""
DIGITS = 5


def roc_of(rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Return, for each region, the mean ROC curve of each method with probabilities, and the point of each mask."""
    return {
        region: {
            "false_positive_rate": list(ROC_FALSE_POSITIVES),
            "methods": {method: _of_method(of_one, region) for method, of_one in rows.items()},
        }
        for region in ROC_REGIONS
    }


def _of_method(rows: Sequence[Row], region: str) -> dict[str, Any]:
    curves = [row["roc"][region] for row in rows if row.get("roc") and row["roc"].get(region)]
    mean = np.round(np.mean(curves, axis=0), DIGITS).tolist() if curves else None
    return {"lesions": len(curves), "recall": mean, "mask": _mask_point(rows, region)}


def _mask_point(rows: Sequence[Row], region: str) -> dict[str, Any]:
    """Return the ROC point of binary masks; its area is the mean of recall and specificity."""
    pairs = [(row["metrics"]["recall"], row["metrics"][f"auc_hard_{region}"]) for row in rows]
    known = np.array([pair for pair in pairs if None not in pair], dtype=float)
    if not len(known):
        return {"lesions": 0, "false_positive_rate": None, "recall": None}
    recall, area = known.T
    false = np.clip(1 + recall - 2 * area, 0, 1)
    return {"lesions": len(known), "false_positive_rate": float(false.mean()), "recall": float(recall.mean())}
