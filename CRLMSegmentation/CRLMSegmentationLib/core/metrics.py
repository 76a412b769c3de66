"""Agreement of a mask with the ground truth, as in arXiv 2511.05253: overlap, surface distances, volume, ROC.

`compare` computes what the report of one lesion shows, `compare_thoroughly` and `roc_curves` what an evaluation needs.

Overlaps and surface distances are SimpleITK's, ROC areas and curves are scikit-learn's.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .box import Box
from .volume import to_sitk

METRICS = ("dice", "hausdorff_mm", "hausdorff95_mm", "rvd", "recall", "precision", "auc_hard", "auc_probability")
THOROUGH_METRICS = (
    "dice",
    "hausdorff_mm",
    "hausdorff95_mm",
    "mean_surface_mm",
    "rvd",
    "recall",
    "precision",
    "auc_hard_crop",
    "auc_probability_crop",
    "auc_hard_volume",
    "auc_probability_volume",
)
ROC_FALSE_POSITIVES = (
    0.0,
    *np.geomspace(1e-5, 1e-2, 31).round(8).tolist(),
    *np.linspace(0.02, 1, 50).round(2).tolist(),
)
"""82 rates at which curves are stored, closer together near 0, where nearly all thresholds of a whole volume lie."""
ROC_DIGITS = 4


def compare(
    mask: np.ndarray,
    truth: np.ndarray,
    ijk_to_ras: np.ndarray,
    probability: np.ndarray | None = None,
    region: np.ndarray | None = None,
) -> dict[str, float | None]:
    """Compare a mask with the ground truth by the metrics of `METRICS`.

    Args:
        mask, truth: bool, shape (K, J, I).
        ijk_to_ras: 4x4 of both.
        probability: of tumour, float, same shape; without it `auc_probability` is None.
        region: bool, same shape: the voxels over which both ROC areas are taken (default all).

    Returns:
        The keys of `METRICS`. `rvd` is (mask - truth) / truth, signed. Distances and precision are None for an
        empty mask; all are None for an empty truth, with which nothing can be compared.
    """
    result: dict[str, float | None] = dict.fromkeys(METRICS)
    if not truth.any():
        return result
    found = overlap_and_surfaces(mask, truth, ijk_to_ras)
    result.update({key: found[key] for key in METRICS if key in found})
    region = np.ones(mask.shape, bool) if region is None else region
    result["auc_hard"] = roc_area(truth[region], mask[region])
    if probability is not None:
        result["auc_probability"] = roc_area(truth[region], probability[region])
    return result


def compare_thoroughly(
    mask: np.ndarray, truth: np.ndarray, ijk_to_ras: np.ndarray, probability: np.ndarray | None, in_crop: np.ndarray
) -> dict[str, float | None]:
    """Compare a mask with the ground truth by the metrics of `THOROUGH_METRICS`; None where one is undefined.

    Args:
        mask, truth: bool, shape (K, J, I).
        probability: of tumour, float, same shape, zero outside the network's input; None where there is none.
        in_crop: bool, same shape: the network's input; `auc_*_crop` are over these voxels, `auc_*_volume` over all.
    """
    result: dict[str, float | None] = dict.fromkeys(THOROUGH_METRICS)
    if not truth.any():
        return result
    result.update(overlap_and_surfaces(mask, truth, ijk_to_ras))
    scores = {"hard": mask} if probability is None else {"hard": mask, "probability": probability}
    for name, score in scores.items():
        result[f"auc_{name}_crop"] = roc_area(truth[in_crop], score[in_crop])
        result[f"auc_{name}_volume"] = roc_area_of_sparse(truth, score)
    return result


def overlap_and_surfaces(mask: np.ndarray, truth: np.ndarray, ijk_to_ras: np.ndarray) -> dict[str, float | None]:
    """Return dice, recall, precision, rvd, hausdorff_mm, hausdorff95_mm and mean_surface_mm of a mask.

    The truth must not be empty. For an empty mask, precision and distances are None.
    """
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    mask_image, truth_image = (to_sitk(m.astype(np.uint8), ijk_to_ras) for m in (mask, truth))
    overlap.Execute(truth_image, mask_image)
    both, of_mask, of_truth = (int(np.count_nonzero(m)) for m in (mask & truth, mask, truth))
    result = {"dice": overlap.GetDiceCoefficient(), "recall": both / of_truth, "rvd": of_mask / of_truth - 1}
    distances_mm = symmetric_distances_mm(mask, truth, ijk_to_ras) if of_mask else None
    return {
        **result,
        "precision": both / of_mask if of_mask else None,
        "hausdorff_mm": None if distances_mm is None else float(distances_mm.max()),
        "hausdorff95_mm": None if distances_mm is None else float(np.percentile(distances_mm, 95)),
        "mean_surface_mm": None if distances_mm is None else float(distances_mm.mean()),
    }


def surface_distances(mask: np.ndarray, truth: np.ndarray, ijk_to_ras: np.ndarray) -> tuple[float, float]:
    """Return the largest and the 95th percentile symmetric distance in mm between two surfaces (voxel centres)."""
    distances_mm = symmetric_distances_mm(mask, truth, ijk_to_ras)
    return float(distances_mm.max()), float(np.percentile(distances_mm, 95))


def symmetric_distances_mm(mask: np.ndarray, truth: np.ndarray, ijk_to_ras: np.ndarray) -> np.ndarray:
    """Return the distance in mm from each voxel of either surface to the other, shape (N,); neither may be empty."""
    box = Box.of_nonempty_mask(mask | truth)
    images = [to_sitk(np.pad(m[box.slices].astype(np.uint8), 1), ijk_to_ras) for m in (mask, truth)]
    return np.concatenate([_distances_on_surface(one, other) for one, other in (images, images[::-1])])


def _distances_on_surface(of: sitk.Image, to: sitk.Image) -> np.ndarray:
    away = sitk.Abs(sitk.SignedMaurerDistanceMap(sitk.LabelContour(to), squaredDistance=False, useImageSpacing=True))
    on_surface = sitk.GetArrayFromImage(sitk.LabelContour(of)) == 1  # a view would outlive its image
    distances_mm: np.ndarray = sitk.GetArrayFromImage(away)[on_surface]
    return distances_mm


def roc_area(truth: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    """Return the area under the ROC curve, None when the ground truth has one class only.

    Args:
        weights: how many voxels each entry stands for, 1 by default.
    """
    from sklearn.metrics import roc_auc_score

    if truth.all() or not truth.any():
        return None
    return float(roc_auc_score(truth.ravel(), score.ravel().astype(np.float32), sample_weight=weights))


def roc_area_of_sparse(truth: np.ndarray, score: np.ndarray) -> float | None:
    """Return `roc_area` of scores >= 0 that are mostly 0; the zeros are counted instead of sorted, which is faster."""
    return roc_area(*_without_zeros(truth, score))


def roc_curves(truth: np.ndarray, probability: np.ndarray, in_crop: np.ndarray) -> dict[str, list[float] | None]:
    """Return the ROC curves of probabilities: `crop` over the network's input, `volume` over all voxels.

    Args:
        truth: bool, shape (K, J, I).
        probability: of tumour, float, same shape, zero outside the network's input.
        in_crop: bool, same shape.

    Returns:
        The rates of true positives at `ROC_FALSE_POSITIVES`; None when the truth there has one class only.
    """
    return {
        "crop": roc_curve_of(*_without_zeros(truth[in_crop], probability[in_crop])),
        "volume": roc_curve_of(*_without_zeros(truth, probability)),
    }


def roc_curve_of(truth: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None) -> list[float] | None:
    """Return one curve of `roc_curves`, linear between thresholds, and at its upper end where it is vertical."""
    from sklearn.metrics import roc_curve

    if truth.all() or not truth.any():
        return None
    false, true, _ = roc_curve(truth.ravel(), score.ravel().astype(np.float32), sample_weight=weights)
    curve: list[float] = np.round(np.interp(ROC_FALSE_POSITIVES, false, true), ROC_DIGITS).tolist()
    return curve


def _without_zeros(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ground truth, scores and weights, with one weighted entry for all zeros of either class."""
    seen = score > 0
    zeros_of = [np.count_nonzero(~seen & ~truth), np.count_nonzero(~seen & truth)]
    labels = np.concatenate([truth[seen], [False, True]])
    scores = np.concatenate([score[seen].astype(np.float32), [0.0, 0.0]])
    weights = np.concatenate([np.ones(len(labels) - 2), zeros_of])
    there = weights > 0
    return labels[there], scores[there], weights[there]
