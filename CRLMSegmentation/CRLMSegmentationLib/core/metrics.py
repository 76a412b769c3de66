"""How well a mask agrees with the truth, as in arXiv 2511.05253: overlap, surfaces, volume, ROC.

Overlaps and surface distances are SimpleITK's, the ROC area is scikit-learn's.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .volume import to_sitk

METRICS = ("dice", "hausdorff_mm", "hausdorff95_mm", "rvd", "recall", "precision", "auc_hard", "auc_probability")


def compare(
    mask: np.ndarray,
    truth: np.ndarray,
    ijk_to_ras: np.ndarray,
    probability: np.ndarray | None = None,
    region: np.ndarray | None = None,
) -> dict[str, float | None]:
    """Compare a mask with the truth.

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
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    mask_image, truth_image = (to_sitk(m.astype(np.uint8), ijk_to_ras) for m in (mask, truth))
    overlap.Execute(truth_image, mask_image)
    result["dice"] = overlap.GetDiceCoefficient()
    result["recall"] = float((mask & truth).sum() / truth.sum())
    result["rvd"] = float(mask.sum() / truth.sum() - 1)
    if mask.any():
        result["precision"] = float((mask & truth).sum() / mask.sum())
        result["hausdorff_mm"], result["hausdorff95_mm"] = surface_distances(mask, truth, ijk_to_ras)
    region = np.ones(mask.shape, bool) if region is None else region
    result["auc_hard"] = roc_area(truth[region], mask[region])
    if probability is not None:
        result["auc_probability"] = roc_area(truth[region], probability[region])
    return result


def surface_distances(mask: np.ndarray, truth: np.ndarray, ijk_to_ras: np.ndarray) -> tuple[float, float]:
    """Largest and 95th percentile symmetric distance in mm between two surfaces (voxel centres)."""
    box = ndimage.find_objects((mask | truth).astype(np.uint8))[0]
    images = [to_sitk(np.pad(m[box].astype(np.uint8), 1), ijk_to_ras) for m in (mask, truth)]
    distances_mm = np.concatenate([_distances_on_surface(one, other) for one, other in (images, images[::-1])])
    return float(distances_mm.max()), float(np.percentile(distances_mm, 95))


def _distances_on_surface(of: sitk.Image, to: sitk.Image) -> np.ndarray:
    away = sitk.Abs(sitk.SignedMaurerDistanceMap(sitk.LabelContour(to), squaredDistance=False, useImageSpacing=True))
    on_surface = sitk.GetArrayFromImage(sitk.LabelContour(of)) == 1  # a view would outlive its image
    return sitk.GetArrayFromImage(away)[on_surface]


def roc_area(truth: np.ndarray, score: np.ndarray) -> float | None:
    """Area under the ROC curve, None when the truth has one class only."""
    from sklearn.metrics import roc_auc_score

    if truth.all() or not truth.any():
        return None
    return float(roc_auc_score(truth.ravel(), score.ravel().astype(np.float32)))
