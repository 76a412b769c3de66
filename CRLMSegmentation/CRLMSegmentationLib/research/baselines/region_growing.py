"""Region growing: the connected voxels around the seed whose smoothed grey values are close to those at the seed.

SimpleITK's ConnectedThreshold in a smoothed volume: from the click on, voxels are added that touch and whose grey value
lies within an interval around that of the click. Nothing of the ground truth is used.

The numbers of `Growth` were chosen on 20 simulated patients (0 to 19 of seed 1, 39 lesions): the best mean Dice, 0.41,
out of some 250 combinations, those of ConfidenceConnected included, which leaked more. A weak baseline: smoothed as
strongly as the smaller lesions bear, speckle leaves noise of the size of a lesion's contrast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ...core.box import Box
from ...core.crop import check_seed
from ...core.geometry import transform_points
from ...core.volume import Volume

LEAST_WEIGHT = 1e-3
"""Far from all that is allowed there is nothing to take a mean of."""


@dataclass(frozen=True)
class Growth:
    """Parameters of region growing.

    Attributes:
        sigma_mm: of the Gaussian that takes the speckle away.
        start_mm: radius of the ball around the click whose mean is the middle of the interval.
        deviations: half the width of the interval, in standard deviations of the smoothed grey values within reach;
            where the contrast is large, the interval ends half way to the median of these values instead.
        opening_mm: radius of the bridges at which the region is cut, so that it does not leak through them.
        reach_mm: radius around the click beyond which nothing belongs to the region.
    """

    sigma_mm: float = 2.0
    start_mm: float = 3.0
    deviations: float = 0.6
    opening_mm: float = 2.0
    reach_mm: float = 30.0


def grow_region(volume: Volume, seed_ras_mm: np.ndarray, growth: Growth | None = None) -> np.ndarray:
    """Segment the region at a seed.

    Returns:
        bool, shape (K, J, I).

    Raises:
        SeedError: the seed is outside the field of view.
    """
    growth = growth or Growth()
    seed = check_seed(volume, seed_ras_mm)
    seed_kji = np.round(transform_points(volume.ras_to_ijk, seed)[::-1]).astype(int)
    seed_kji = np.clip(seed_kji, 0, np.array(volume.array.shape) - 1)
    spacing_kji = volume.spacing_mm[::-1]
    reach = np.ceil(growth.reach_mm / spacing_kji).astype(int)
    box = Box.of_part(seed_kji, (1, 1, 1)).padded(reach.tolist(), volume.array.shape)
    inner = seed_kji - box.start_kji
    allowed = volume.insonified_in(box) & _ball(inner, growth.reach_mm, spacing_kji, box.shape)
    found = _connected(volume.array[box.slices], allowed, inner, spacing_kji, growth)
    mask = np.zeros(volume.array.shape, bool)
    mask[box.slices] = _cleaned(found, inner, spacing_kji, growth.opening_mm)
    return mask


def _ball(middle: np.ndarray, radius_mm: float, spacing_kji: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    k, j, i = (((np.arange(count) - n) * mm) ** 2 for count, n, mm in zip(shape, middle, spacing_kji))
    inside: np.ndarray = k[:, None, None] + j[:, None] + i <= radius_mm**2
    return inside


def _connected(
    array: np.ndarray, allowed: np.ndarray, seed_kji: np.ndarray, spacing_kji: np.ndarray, growth: Growth
) -> np.ndarray:
    """Return the connected region at the seed, empty if the seed itself is outside the grey-value interval."""
    smooth = _smoothed(array, allowed, growth.sigma_mm / spacing_kji)
    near: np.ndarray = allowed & _ball(seed_kji, growth.start_mm, spacing_kji, array.shape)
    if not near.any():
        return near
    middle = float(smooth[near].mean())
    around = smooth[allowed]
    half = max(growth.deviations * float(around.std()), abs(middle - float(np.median(around))) / 2)
    beyond = middle + 2 * half + 1  # of what is not allowed
    found = sitk.ConnectedThreshold(
        sitk.GetImageFromArray(np.where(allowed, smooth, beyond).astype(np.float32)),
        seedList=[[int(n) for n in seed_kji[::-1]]],
        lower=middle - half,
        upper=middle + half,
    )
    connected: np.ndarray = (sitk.GetArrayFromImage(found) > 0) & allowed
    return connected


def _smoothed(array: np.ndarray, allowed: np.ndarray, sigma_kji: np.ndarray) -> np.ndarray:
    """Return the Gaussian-weighted mean of the allowed voxels around each voxel."""
    weight = ndimage.gaussian_filter(allowed.astype(np.float32), sigma_kji)
    grey: np.ndarray = ndimage.gaussian_filter(np.where(allowed, array, 0).astype(np.float32), sigma_kji)
    mean: np.ndarray = grey / np.maximum(weight, LEAST_WEIGHT)
    return mean


def _cleaned(found: np.ndarray, seed_kji: np.ndarray, spacing_kji: np.ndarray, opening_mm: float) -> np.ndarray:
    """Cut thin bridges, keep the component at the seed (or the nearest to it), and fill its holes."""
    if not found.any():
        return found
    deep = ndimage.distance_transform_edt(np.pad(found, 1), sampling=spacing_kji)[1:-1, 1:-1, 1:-1] > opening_mm
    if deep.any():
        core = _part_at(deep, seed_kji, spacing_kji)
        found = found & (ndimage.distance_transform_edt(~core, sampling=spacing_kji) <= opening_mm)
    filled: np.ndarray = ndimage.binary_fill_holes(_part_at(found, seed_kji, spacing_kji))
    return filled


def _part_at(mask: np.ndarray, seed_kji: np.ndarray, spacing_kji: np.ndarray) -> np.ndarray:
    """Return the connected component of a mask that is nearest to a voxel."""
    labels: np.ndarray = ndimage.label(mask)[0]
    places = np.argwhere(mask)
    nearest = places[np.argmin(np.linalg.norm((places - seed_kji) * spacing_kji, axis=1))]
    part: np.ndarray = labels == labels[tuple(nearest)]
    return part
