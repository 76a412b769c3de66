"""The diameters of a lesion from its mask, corrected where the mask is only one or two voxels thick.

A voxel is no point: along each axis it adds an inertia of spacing^2 / 12. Along a direction with many voxels, the
diameter is that of the ellipsoid with equal inertia. One or two thick slices do not show where the lesion ends:
the roundest ellipsoid from which these slices can be cut is used then, no longer than their total thickness.
"""

from __future__ import annotations

import numpy as np

from .arrays import FloatArray
from .geometry import spacing_of

UNRESOLVED = 0.5
"""Weight above which a direction counts as having too few voxels, see `_weights`."""


def diameters_of(mask: np.ndarray, ijk_to_ras: np.ndarray) -> tuple[float, float, float]:
    """Return the three diameters in mm, longest first, of the body in a mask.

    Args:
        mask: bool, shape (K, J, I), with at least one voxel.
        ijk_to_ras: 4x4, mm; its axes are at right angles.
    """
    points_mm = np.argwhere(mask)[:, ::-1] @ ijk_to_ras[:3, :3].T
    axes = ijk_to_ras[:3, :3] / spacing_of(ijk_to_ras)
    own_inertia = axes @ np.diag(spacing_of(ijk_to_ras) ** 2 / 12) @ axes.T
    inertia, directions = np.linalg.eigh(np.cov(points_mm.T, bias=True).reshape(3, 3) + own_inertia)
    own = np.einsum("ji,jk,ki->i", directions, own_inertia, directions)
    few = _weights(inertia, own)
    if np.count_nonzero(few > UNRESOLVED) == 1:
        lengths = _of_slices(inertia, own, few)
    else:
        roundness = 1 - few
        lengths = np.sqrt((12 + 4 * roundness * (roundness.sum() - roundness)) * inertia)
    short, middle, long = np.sort(lengths).tolist()
    return long, middle, short


def _weights(inertia: FloatArray, own: FloatArray) -> FloatArray:
    """Return how uncertain the ends along each direction are: 1 with one or two voxels, 0.2 with three, then near 0."""
    few: FloatArray = np.minimum(1, 4 * own / inertia) ** 2
    return few


def _of_slices(inertia: FloatArray, own: FloatArray, few: FloatArray) -> FloatArray:
    """Return the diameters in mm where one direction has few voxels.

    A slice at z of an ellipsoid with the half axes a, b, c has the inertia a^2 (1 - z^2 / c^2) / 4 along a. With the
    mean square of z over the slices, that holds for two of them as well as for the whole ellipsoid.
    """
    thick = int(np.argmax(few))
    within = np.delete(np.arange(3), thick)
    between = max(0.0, inertia[thick] - own[thick])
    roundest = 4 * np.sqrt(inertia[within].prod()) + between
    half_squared = few[thick] * min(roundest, 3 * inertia[thick]) + (1 - few[thick]) * 5 * inertia[thick]
    lengths = np.empty(3)
    lengths[thick] = 2 * np.sqrt(half_squared)
    lengths[within] = 4 * np.sqrt(inertia[within] / (1 - between / half_squared))
    return lengths
