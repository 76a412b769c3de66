"""Filling of gaps between the frames of a freehand sweep, without growing the insonified region.

PLUS fills a hole when enough of a cube around it is known; along a straight border that also grows the swept
part outwards. Here a hole is what no empty cube of `size` voxels reaches: the morphological closing of the swept
voxels. A gap between two frames of up to `size - 1` voxels is filled; a straight or bulging border stays where it
is, and a notch is filled only as far as such a cube does not fit into it. The value is PLUS's GAUSSIAN one: the
mean of the known voxels in the cube around the hole, weighted by a Gaussian of their distance.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ...core.box import Box
from ...core.errors import SweepError

DEFAULT_SIZE = 5
"""Voxels: closes gaps of up to 4."""


def fill_holes(array: np.ndarray, insonified: np.ndarray, size: int = DEFAULT_SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Fill the gaps of a reconstructed volume.

    Args:
        array: voxels, shape (K, J, I); known ones are kept as they are.
        insonified: bool, same shape: which are known.
        size: edge of the cube in voxels, odd; the Gaussian's sigma is size / 4.

    Returns:
        The filled array, of the same type, and which of its voxels are known now.

    Raises:
        SweepError: the size is not odd, or below 3.
    """
    if size < 3 or size % 2 == 0:
        raise SweepError(f"the kernel that fills holes must be odd and at least 3 voxels, got {size}")
    filled, known = array.copy(), insonified.copy()
    occupied = Box.of_mask(insonified)
    if occupied is None:
        return filled, known
    box = occupied.padded(size, insonified.shape).slices
    part = insonified[box]
    holes = _closing(part, size) & ~part
    values = _gaussian_mean(np.where(part, array[box], 0), part, size)[holes]
    filled[box][holes] = values if array.dtype.kind == "f" else np.round(values)
    known[box][holes] = True
    return filled, known


def _closing(mask: np.ndarray, size: int) -> np.ndarray:
    """Close a mask morphologically by a cube; beyond the volume it counts as empty."""
    padded = np.pad(mask, size).view(np.uint8)
    grown = ndimage.maximum_filter(padded, size, mode="constant")
    inner = (slice(size, -size),) * 3
    closed: np.ndarray = ndimage.minimum_filter(grown, size, mode="constant")[inner].view(bool)
    return closed


def _gaussian_mean(array: np.ndarray, known: np.ndarray, size: int) -> np.ndarray:
    """Return the weighted mean of the known voxels in the cube around each voxel; 0 where there is none."""
    reach = np.arange(size) - size // 2
    weights = np.exp(-(reach**2) / (2 * (size / 4) ** 2))
    exact = np.float32 if array.dtype.kind in "ui" and array.dtype.itemsize <= 2 else np.float64
    total, weight = array.astype(exact), known.astype(exact)
    for axis in range(3):
        total = ndimage.correlate1d(total, weights, axis, mode="constant")
        weight = ndimage.correlate1d(weight, weights, axis, mode="constant")
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
