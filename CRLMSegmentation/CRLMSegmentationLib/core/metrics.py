"""Agreement of a mask with the ground truth, as in arXiv 2511.05253: overlap, surface distances, volume, ROC.

`compare` computes what the report of one lesion shows, `compare_thoroughly` and `roc_curves` what an evaluation needs.

Overlaps and surface distances are SimpleITK's, ROC areas and curves are scikit-learn's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from .box import Box
from .geometry import transform_points
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
    reference: np.ndarray,
    ijk_to_ras: np.ndarray,
    probability: np.ndarray | None = None,
    region: np.ndarray | None = None,
) -> dict[str, float | None]:
    """Compare a mask with the ground truth by the metrics of `METRICS`.

    Args:
        mask, reference: bool, shape (K, J, I); the reference is the ground truth.
        ijk_to_ras: 4x4 of both.
        probability: of tumour, float, same shape; without it `auc_probability` is None.
        region: bool, same shape: the voxels over which both ROC areas are taken (default all).

    Returns:
        The keys of `METRICS`. `rvd` is (mask - reference) / reference, signed. Distances and precision are None for an
        empty mask; all are None for an empty ground truth.
    """
    result: dict[str, float | None] = dict.fromkeys(METRICS)
    if not reference.any():
        return result
    found = overlap_and_surfaces(mask, reference, ijk_to_ras)
    result.update({key: found[key] for key in METRICS if key in found})
    region = np.ones(mask.shape, bool) if region is None else region
    result["auc_hard"] = roc_area(reference[region], mask[region])
    if probability is not None:
        result["auc_probability"] = roc_area(reference[region], probability[region])
    return result


def compare_thoroughly(
    mask: np.ndarray, reference: np.ndarray, ijk_to_ras: np.ndarray, probability: np.ndarray | None, in_crop: np.ndarray
) -> dict[str, float | None]:
    """Compare a mask with the ground truth by the metrics of `THOROUGH_METRICS`; None where one is undefined.

    Args:
        mask, reference: bool, shape (K, J, I); the reference is the ground truth.
        probability: of tumour, float, same shape, zero outside the network's input; None where there is none.
        in_crop: bool, same shape: the network's input; `auc_*_crop` are over these voxels, `auc_*_volume` over all.
    """
    result: dict[str, float | None] = dict.fromkeys(THOROUGH_METRICS)
    if not reference.any():
        return result
    result.update(overlap_and_surfaces(mask, reference, ijk_to_ras))
    scores = {"hard": mask} if probability is None else {"hard": mask, "probability": probability}
    for name, score in scores.items():
        result[f"auc_{name}_crop"] = roc_area(reference[in_crop], score[in_crop])
        result[f"auc_{name}_volume"] = roc_area_of_sparse(reference, score)
    return result


def overlap_and_surfaces(mask: np.ndarray, reference: np.ndarray, ijk_to_ras: np.ndarray) -> dict[str, float | None]:
    """Return dice, recall, precision, rvd, hausdorff_mm, hausdorff95_mm and mean_surface_mm of a mask.

    The reference must not be empty. For an empty mask, precision and distances are None.
    """
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    mask_image, reference_image = (to_sitk(m.astype(np.uint8), ijk_to_ras) for m in (mask, reference))
    overlap.Execute(reference_image, mask_image)
    both, of_mask, of_reference = (int(np.count_nonzero(m)) for m in (mask & reference, mask, reference))
    result = {"dice": overlap.GetDiceCoefficient(), "recall": both / of_reference, "rvd": of_mask / of_reference - 1}
    distances_mm = symmetric_distances_mm(mask, reference, ijk_to_ras) if of_mask else None
    return {
        **result,
        "precision": both / of_mask if of_mask else None,
        "hausdorff_mm": None if distances_mm is None else float(distances_mm.max()),
        "hausdorff95_mm": None if distances_mm is None else float(np.percentile(distances_mm, 95)),
        "mean_surface_mm": None if distances_mm is None else float(distances_mm.mean()),
    }


FAR_FROM_CLICK_MM = 15.0
"""Farther away, a click that corrects a segmentation should change nothing."""


def share_changed_far_away(
    before: np.ndarray,
    after: np.ndarray,
    ijk_to_ras: np.ndarray,
    click_ras_mm: npt.ArrayLike,
    far_mm: float = FAR_FROM_CLICK_MM,
) -> float | None:
    """Return the share of the changed voxels of a segmentation that lie far from the click that has changed it, 0 to 1.

    Args:
        before, after: bool, shape (K, J, I), without and with the newest click.
        ijk_to_ras: 4x4 of both.
        click_ras_mm: shape (3,), the newest point.

    Returns:
        The share of the voxels that differ whose centres are more than `far_mm` from the click; None where none differ.
    """
    changed = np.argwhere(before != after)
    if not len(changed):
        return None
    away_mm = np.linalg.norm(transform_points(ijk_to_ras, changed[:, ::-1]) - np.asarray(click_ras_mm), axis=1)
    return float((away_mm > far_mm).mean())


def surface_distances(mask: np.ndarray, reference: np.ndarray, ijk_to_ras: np.ndarray) -> tuple[float, float]:
    """Return the largest and the 95th percentile symmetric distance in mm between two surfaces (voxel centres)."""
    distances_mm = symmetric_distances_mm(mask, reference, ijk_to_ras)
    return float(distances_mm.max()), float(np.percentile(distances_mm, 95))


def symmetric_distances_mm(mask: np.ndarray, reference: np.ndarray, ijk_to_ras: np.ndarray) -> np.ndarray:
    """Return the distance in mm from each voxel of either surface to the other, shape (N,); neither may be empty."""
    box = Box.of_nonempty_mask(mask | reference)
    images = [to_sitk(np.pad(m[box.slices].astype(np.uint8), 1), ijk_to_ras) for m in (mask, reference)]
    return np.concatenate([_distances_on_surface(one, other) for one, other in (images, images[::-1])])


def _distances_on_surface(of: sitk.Image, to: sitk.Image) -> np.ndarray:
    away = sitk.Abs(sitk.SignedMaurerDistanceMap(sitk.LabelContour(to), squaredDistance=False, useImageSpacing=True))
    on_surface = sitk.GetArrayFromImage(sitk.LabelContour(of)) == 1  # a view would outlive its image
    distances_mm: np.ndarray = sitk.GetArrayFromImage(away)[on_surface]
    return distances_mm


def roc_area(reference: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    """Return the area under the ROC curve, None when the ground truth has one class only.

    Args:
        weights: how many voxels each entry stands for, 1 by default.
    """
    from sklearn.metrics import roc_auc_score

    if reference.all() or not reference.any():
        return None
    return float(roc_auc_score(reference.ravel(), score.ravel().astype(np.float32), sample_weight=weights))


def roc_area_of_sparse(reference: np.ndarray, score: np.ndarray) -> float | None:
    """Return `roc_area` of scores >= 0 that are mostly 0; the zeros are counted instead of sorted, which is faster."""
    return roc_area(*_without_zeros(reference, score))


def roc_curves(reference: np.ndarray, probability: np.ndarray, in_crop: np.ndarray) -> dict[str, list[float] | None]:
    """Return the ROC curves of probabilities: `crop` over the network's input, `volume` over all voxels.

    Args:
        reference: ground truth, bool, shape (K, J, I).
        probability: of tumour, float, same shape, zero outside the network's input.
        in_crop: bool, same shape.

    Returns:
        The rates of true positives at `ROC_FALSE_POSITIVES`; None when the ground truth there has one class only.
    """
    return {
        "crop": roc_curve_of(*_without_zeros(reference[in_crop], probability[in_crop])),
        "volume": roc_curve_of(*_without_zeros(reference, probability)),
    }


def roc_curve_of(reference: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None) -> list[float] | None:
    """Return one curve of `roc_curves`, linear between thresholds, and at its upper end where it is vertical."""
    from sklearn.metrics import roc_curve

    if reference.all() or not reference.any():
        return None
    false, true, _ = roc_curve(reference.ravel(), score.ravel().astype(np.float32), sample_weight=weights)
    curve: list[float] = np.round(np.interp(ROC_FALSE_POSITIVES, false, true), ROC_DIGITS).tolist()
    return curve


def _without_zeros(reference: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ground truth, scores and weights, with one weighted entry for all zeros of either class."""
    seen = score > 0
    zeros_of = [np.count_nonzero(~seen & ~reference), np.count_nonzero(~seen & reference)]
    labels = np.concatenate([reference[seen], [False, True]])
    scores = np.concatenate([score[seen].astype(np.float32), [0.0, 0.0]])
    weights = np.concatenate([np.ones(len(labels) - 2), zeros_of])
    there = weights > 0
    return labels[there], scores[there], weights[there]
