"""A row: one measurement of one lesion; the tables are computed from rows."""

from __future__ import annotations

import numpy as np

from ...core.metrics import THOROUGH_METRICS, compare_thoroughly, roc_curves
from ...core.volume import Volume
from ...recording.case import CaseLesion
from ...recording.dataset import CheckedCase
from .click_series import SERIES_KEYS
from .methods import Answer, Click
from .result_cache import Row
from .settings import AS_RECORDED, Variation
from .variations import equivalent_radius_mm

DETECTED_DICE = 0.1
COMPARED_MM = 80.0
"""Edge of the cube around the click that takes the place of the crop where there is none; that of the shipped model."""
ROW_KEYS = {
    "kind": "'as recorded', or how it was varied: 'seed share', 'seed mm', 'gain dB', 'grey factor'",
    "amount": "of the variation, in shares of the lesion's radius, mm, dB or as a factor; 0 as recorded",
    "draw": "number of the direction in which the seed was moved",
    "case_id": "name of the case",
    "lesion": "name of the lesion",
    "patient": "name of the patient: source.patient of the case, else the case",
    "case_sha256": "of case.json, which holds the hashes of all files; of volume and label where they are a pair",
    "simulated": "whether the case comes from the phantom; null when it does not say",
    "about": "what the case knows of the lesion",
    "diameter_mm": "about.diameter_mm, else of the sphere with the volume of the reference",
    "truth_ml": "volume of the reference",
    "seed_ras_mm": "seed; null if no point at this distance from the centre lies in the field of view",
    "seed_away_mm": "how far the seed was moved from the centre; null where it was not",
    "crop_size_mm": "edge of the crop; null where the whole volume was looked at",
    "metrics": "{" + ", ".join(THOROUGH_METRICS) + "}; each null where there is nothing to measure; all null without "
    "an answer",
    "roc": "{crop, volume}: rates of true positives of the probabilities, over the crop and over all voxels, at the "
    "rates of false positives of `core.metrics.ROC_FALSE_POSITIVES`; null without probabilities, and when varied",
    "detected": f"whether Dice is above {DETECTED_DICE}",
    "volume_ml": "of the mask",
    "confidence": "mean probability inside the mask; null when nothing was found, and without probabilities",
    "warnings": "list of plain sentences; of a click that was refused, why",
    "timings_s": "{crop, preprocess, inference, postprocess} of a model, {grow} of a semi-automatic method",
    "seconds": "their sum: of computing alone, not of the user's work",
    "device": "that computed it; null of a click that was refused",
    "clicks": "[{"
    + ", ".join(SERIES_KEYS)
    + "}] of each click of a simulated user, the recorded seed first; null where "
    "none was simulated, and when varied",
    "strokes": "by whom the strokes of a semi-automatic method were painted; null where there are none",
    "mask": "file of the mask as recorded, below the folder of the evaluation, or null",
    "error": "why there is no answer, or null",
}


def row_before(
    checked: CheckedCase, lesion: CaseLesion, variation: Variation, truth: np.ndarray, volume: Volume
) -> Row:
    """Return the values of a row that are known before the segmentation."""
    known = lesion.about.get("diameter_mm")
    radius_mm = equivalent_radius_mm(truth, volume)
    return {
        **dict.fromkeys(ROW_KEYS),
        "kind": variation.kind,
        "amount": float(variation.amount),
        "draw": variation.draw,
        "case_id": checked.case_id,
        "lesion": lesion.name,
        "patient": checked.patient,
        "case_sha256": checked.sha256,
        "simulated": checked.simulated,
        "about": lesion.about,
        "diameter_mm": float(known) if isinstance(known, (int, float)) else round(2 * radius_mm, 2),
        "truth_ml": 4 / 3 * np.pi * radius_mm**3 / 1000,
    }


def with_answer(row: Row, answer: Answer, click: Click) -> Row:
    """Return a row with the segmentation compared with the ground truth."""
    truth, matrix = click.truth, click.volume.ijk_to_ras
    crop = cube_at(click.seed_ras_mm, COMPARED_MM, matrix, truth.shape) if answer.in_crop is None else answer.in_crop
    metrics = compare_thoroughly(answer.mask, truth, matrix, answer.probability, crop)
    curves = None
    if row["kind"] == AS_RECORDED and answer.probability is not None:
        curves = roc_curves(truth, answer.probability, crop)
    return {
        **row,
        "crop_size_mm": answer.crop_size_mm,
        "metrics": metrics,
        "roc": curves,
        "detected": (metrics["dice"] or 0.0) > DETECTED_DICE,
        "volume_ml": answer.volume_ml,
        "confidence": answer.confidence,
        "warnings": list(answer.warnings),
        "timings_s": dict(answer.timings_s),
        "seconds": sum(answer.timings_s.values()),
        "device": answer.device,
        "strokes": answer.strokes,
    }


def with_refusal(row: Row, click: Click, reason: str) -> Row:
    """Return the row of a refused seed: no segmentation, a Dice of 0."""
    nothing = np.zeros(click.truth.shape, bool)
    return {
        **row,
        "metrics": compare_thoroughly(
            nothing, click.truth, click.volume.ijk_to_ras, nothing.astype(np.float32), nothing
        ),
        "detected": False,
        "volume_ml": 0.0,
        "warnings": [reason],
        "timings_s": {},
        "seconds": 0.0,
    }


def cube_at(seed_ras_mm: np.ndarray, size_mm: float, ijk_to_ras: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return which voxels lie in a cube around a point with edges along R, A and S; bool, shape (K, J, I)."""
    k, j, i = (axis.astype(np.float32) for axis in np.ogrid[: shape[0], : shape[1], : shape[2]])
    inside = np.ones(shape, bool)
    for row, middle_mm in zip(ijk_to_ras[:3].astype(np.float32), seed_ras_mm):
        inside &= np.abs(row[0] * i + row[1] * j + row[2] * k + row[3] - middle_mm) <= size_mm / 2
    return inside
