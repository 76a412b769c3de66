"""Ground truth of a simulated patient: which voxels of the volume lie in which lesion."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ...core.geometry import transform_points
from ...core.volume import Volume
from .anatomy import Anatomy

MIN_VISIBLE_VOXELS = 40
MAX_CUT_OFF = 0.02
"""Share of a lesion's voxels that may lie apart from the rest of it, cut off by the border of the field of view; a
patient with more is drawn again."""


def lesion_labels(
    volume: Volume, anatomy: Anatomy, local_to_reference: np.ndarray, swept: np.ndarray, closing: int
) -> np.ndarray:
    """Return the lesion numbers on the grid of the volume, uint8 (K, J, I), 0 outside what was swept.

    Args:
        closing: gaps of up to twice as many voxels count as swept.
    """
    to_local = np.linalg.inv(local_to_reference) @ volume.ijk_to_ras
    spacing_mm = np.linalg.norm(to_local[:3, 0])
    labels, shape = np.zeros(swept.shape, np.uint8), np.array(swept.shape)
    for number, tumour in enumerate(anatomy.tumours, 1):
        center = transform_points(np.linalg.inv(to_local), tumour.center_mm)[::-1]
        reach = tumour.reach_mm / spacing_mm + 1
        low = np.clip(np.floor(center - reach).astype(int), 0, shape)
        high = np.clip(np.ceil(center + reach).astype(int) + 1, low, shape)
        if not (high > low).all():
            continue
        kji = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
        local = transform_points(to_local, kji[..., ::-1].reshape(-1, 3)).reshape(kji.shape)
        inside = (tumour.signed_distance_mm(local) < 0) & _closed(swept, low, high, closing)
        labels[tuple(map(slice, low, high))][inside] = number
    return labels


def _closed(swept: np.ndarray, low: np.ndarray, high: np.ndarray, closing: int) -> np.ndarray:
    """Return a box of the morphological closing of a mask, as the closing of the whole mask would give it."""
    first = np.maximum(low - 2 * closing, 0)
    part = swept[tuple(map(slice, first, high + 2 * closing))]
    closed: np.ndarray = ndimage.binary_closing(part, iterations=closing)[tuple(map(slice, low - first, high - first))]
    return closed


def visible_lesions(labels: np.ndarray, insonified: np.ndarray, tumours: int) -> tuple[int, ...]:
    """Return which lesions have enough imaged voxels; none where the field of view cuts one into pieces."""
    seen = np.bincount(labels[insonified], minlength=tumours + 1)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        if box is not None:
            pieces, _ = ndimage.label(labels[box] == number, np.ones((3, 3, 3)))
            voxels = np.bincount(pieces.ravel())[1:]
            if voxels.max() < (1 - MAX_CUT_OFF) * voxels.sum():
                return ()
    return tuple(n for n in range(1, tumours + 1) if seen[n] >= MIN_VISIBLE_VOXELS)
