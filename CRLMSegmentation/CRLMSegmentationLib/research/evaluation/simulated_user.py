"""A simulated user who corrects a segmentation by clicks. He sees the reference segmentation: an oracle.

As in evaluations of interactive segmentation, the next click goes to the deepest point of the largest error; here it
misses that by an error of placing.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ...core.box import Box
from ...core.points import PointKind

PLACING_ERROR_MM = 2.0
"""Root mean square distance of a click from where it was meant to be."""


def correcting_click(
    truth: np.ndarray, found: np.ndarray, spacing_kji_mm: np.ndarray
) -> tuple[PointKind, np.ndarray] | None:
    """Return where a user means to click to correct a segmentation.

    Args:
        truth, found: bool, shape (K, J, I).
        spacing_kji_mm: of the voxels, shape (3,).

    Returns:
        The kind of the click and the voxel (k, j, i), shape (3,): the deepest of the largest connected error, include
        for a part that is missing, exclude for one that is too much; None where nothing is wrong.
    """
    missing = PointKind.INCLUDE, truth & ~found
    excess = PointKind.EXCLUDE, found & ~truth
    largest = max((_largest_part(*error) for error in (missing, excess)), key=lambda part: part[0])
    voxels, kind, part, start_kji = largest
    if voxels == 0:
        return None
    depth_mm = ndimage.distance_transform_edt(np.pad(part, 1), sampling=spacing_kji_mm)[1:-1, 1:-1, 1:-1]
    return kind, np.array(np.unravel_index(np.argmax(depth_mm), part.shape)) + start_kji


def misplaced(
    place_kji: np.ndarray, spacing_kji_mm: np.ndarray, rng: np.random.Generator, error_mm: float = PLACING_ERROR_MM
) -> np.ndarray:
    """Return where a click lands that is meant for a place, in voxels (k, j, i), also between or outside them."""
    landed: np.ndarray = place_kji + rng.normal(0, error_mm / np.sqrt(3), 3) / spacing_kji_mm
    return landed


def _largest_part(kind: PointKind, error: np.ndarray) -> tuple[int, PointKind, np.ndarray, np.ndarray]:
    """Return the largest connected part of an error: number of voxels, kind, mask of a box, first voxel of that."""
    box = Box.of_mask(error)
    if box is None:
        return 0, kind, error, np.zeros(3, int)
    labels, _ = ndimage.label(error[box.slices])
    counts = np.bincount(labels.ravel())[1:]
    part = labels == 1 + np.argmax(counts)
    return int(counts.max()), kind, part, np.array(box.start_kji)
