"""From tracked 2D frames to a 3D volume: nearest-pixel bin filling (doi 10.1186/1475-925X-13-124)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..core.volume import Volume


def reconstruct(
    frames: Iterable[tuple[np.ndarray, np.ndarray]],
    points_mm: np.ndarray,
    low_mm: np.ndarray,
    high_mm: np.ndarray,
    spacing_mm: float,
) -> Volume:
    """Put every pixel into its nearest voxel and average what meets there. Holes stay empty.

    Args:
        frames: pairs of pixel values (P,) and pose 4x4 (image plane to Reference, mm).
        points_mm: the pixels in the frame of the image plane, shape (P, 3).
        low_mm, high_mm: corners of the region in Reference; its voxels are axis-aligned there.

    Returns:
        uint8 volume whose `swept` is the accumulation buffer's support.
    """
    shape_ijk = np.ceil((high_mm - low_mm) / spacing_mm).astype(int) + 1
    total = np.zeros(int(np.prod(shape_ijk)), np.float64)
    hits = np.zeros(len(total), np.int64)
    strides = np.array([1, shape_ijk[0], shape_ijk[0] * shape_ijk[1]])
    for values, pose in frames:
        ijk = np.round((points_mm @ pose[:3, :3].T + pose[:3, 3] - low_mm) / spacing_mm).astype(int)
        inside = ((ijk >= 0) & (ijk < shape_ijk)).all(1)
        index = ijk[inside] @ strides
        np.add.at(total, index, values[inside])
        np.add.at(hits, index, 1)
    swept = (hits > 0).reshape(shape_ijk[::-1])
    mean = np.divide(total, hits, out=np.zeros_like(total), where=hits > 0)
    ijk_to_ras = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    ijk_to_ras[:3, 3] = low_mm
    return Volume(np.round(mean).astype(np.uint8).reshape(shape_ijk[::-1]), ijk_to_ras, swept=swept)
