"""The input of the network, a cube around the seed or the whole volume, and the way back to the volume's voxels.

nnU-Net knows the spacing of its input but not the direction, so the input is always resampled onto a grid whose axes
are R, A and S: the same tissue gives the same crop however the volume is stored (permuted, flipped, oblique).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .arrays import BoolArray, FloatArray
from .box import Box, Index, Shape, as_index
from .crop_format import CHANNELS, CROP_SIZE_LIMITS_MM
from .errors import SeedError, VolumeError
from .geometry import box_around, part_to_ras, spacing_of, transform_points
from .points import CorrectionPoint, PointKind, PointRas, points_of_kind
from .text import place_text
from .volume import Volume, to_sitk

HOLE_SIGMA_VOXELS = 0.7
"""Empty voxels this close to insonified ones are interpolated; farther ones stay empty."""
MIN_INSONIFIED_WEIGHT = 0.2
SEED_SIGMA_MM = 4.0
MAX_GRID_VOXELS = 512**3
"""More in a whole volume would ask for several GB of memory here, and again for each step of the network."""


@dataclass(frozen=True, eq=False)
class Crop:
    """The network's view of a volume: a cube around a seed, or a box that holds the whole volume.

    Attributes:
        array: float32, shape (K, J, I), axes S, A, R; empty voxels hold the mean of the insonified ones.
        insonified: bool, shape (K, J, I), True where a voxel was insonified.
        ijk_to_ras: 4x4, diagonal but for the origin; the voxels are cubes.
        seed_ras_mm: shape (3,).
        is_whole_volume: it holds the whole volume.
    """

    array: np.ndarray
    insonified: np.ndarray
    ijk_to_ras: np.ndarray
    seed_ras_mm: np.ndarray
    is_whole_volume: bool = False

    @property
    def spacing_mm(self) -> float:
        return float(self.ijk_to_ras[0, 0])

    @property
    def seed_kji(self) -> Index:
        """Index of the voxel that holds the seed."""
        ijk = transform_points(np.linalg.inv(self.ijk_to_ras), self.seed_ras_mm)
        return as_index(np.clip(np.round(ijk[::-1]), 0, np.array(self.array.shape) - 1))

    def kji_of(self, point_ras_mm: np.ndarray) -> Index | None:
        """Return the index of the voxel that holds a point, RAS mm; None outside the crop."""
        kji = np.floor(transform_points(np.linalg.inv(self.ijk_to_ras), point_ras_mm)[::-1] + 0.5)
        is_inside = (kji >= 0).all() and (kji < self.array.shape).all()
        return as_index(kji) if is_inside else None


def network_input(
    crop: Crop,
    channels: tuple[str, ...] = CHANNELS,
    points: Sequence[CorrectionPoint] = (),
    previous: np.ndarray | None = None,
) -> np.ndarray:
    """Return the input of the network, float32, shape (C, K, J, I).

    Args:
        channels: one of `CHANNEL_SETS`. "ultrasound" are the grey values; "seed" is a Gaussian around the click that
            tells the network which lesion is meant; "include" is the largest of the Gaussians around the seed and all
            points that belong to the lesion, "exclude" around those that do not; "previous" is the segmentation that
            the last of the points corrects.
        points: with which the user has corrected the segmentation, in their order; outside the crop they have no effect
            but for the fringe of their Gaussian.
        previous: shape (K, J, I), bool or probability; None before the first segmentation, as 0 everywhere.
    """
    included = [tuple(crop.seed_ras_mm), *points_of_kind(points, PointKind.INCLUDE)]
    excluded = points_of_kind(points, PointKind.EXCLUDE)
    made: dict[str, Callable[[], np.ndarray]] = {
        "ultrasound": lambda: crop.array,
        "seed": lambda: _map_of(crop, included[:1]),
        "include": lambda: _map_of(crop, included),
        "exclude": lambda: _map_of(crop, excluded),
        "previous": lambda: np.zeros(crop.array.shape) if previous is None else previous,
    }
    return np.stack([made[name]() for name in channels]).astype(np.float32)


def _map_of(crop: Crop, points_ras_mm: Sequence[PointRas]) -> FloatArray:
    ijk = transform_points(np.linalg.inv(crop.ijk_to_ras), np.reshape(points_ras_mm, (-1, 3)))
    return point_map(as_index(crop.array.shape), ijk[:, ::-1], crop.spacing_mm)


def point_map(shape: Shape, points_kji: np.ndarray, spacing_mm: float) -> FloatArray:
    """Return the largest of the Gaussians around some points, in the shape (K, J, I) of an image; 0 without any.

    Args:
        points_kji: shape (N, 3), in voxels, also between them or outside the image.
        spacing_mm: edge of a voxel.
    """
    largest: FloatArray = np.zeros(shape)
    for point_kji in points_kji:
        k, j, i = (
            np.exp(-(((np.arange(n) - c) * spacing_mm / SEED_SIGMA_MM) ** 2) / 2) for n, c in zip(shape, point_kji)
        )
        np.maximum(largest, k[:, None, None] * j[:, None] * i, out=largest)
    return largest


def check_seed(volume: Volume, seed_ras_mm: np.ndarray) -> np.ndarray:
    """Return a seed as float64 of shape (3,), after checking that it lies in insonified voxels.

    Raises:
        SeedError: not three finite numbers, outside the volume, or in voxels that were never insonified.
    """
    return check_insonified(volume, seed_ras_mm, "the seed", "place it in the tumour")


def check_insonified(volume: Volume, point_ras_mm: np.ndarray, name: str, advice: str) -> np.ndarray:
    """Return a point as float64 of shape (3,), after checking that it lies in insonified voxels.

    Args:
        name, advice: of the point, for the message.

    Raises:
        SeedError: not three finite numbers, outside the volume, or in voxels that were never insonified.
    """
    point = np.asarray(point_ras_mm, dtype=np.float64)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise SeedError(f"{name} must be three numbers R A S in mm, got {point_ras_mm}")
    if not volume.contains(point):
        corners = transform_points(volume.ijk_to_ras, Box.of_shape(volume.array.shape).corner_centers_ijk)
        low, high = np.round(corners.min(0), 1).tolist(), np.round(corners.max(0), 1).tolist()
        raise SeedError(
            f"{name} {place_text(point)} mm lies outside the volume, which spans {low} to {high} mm RAS; {advice}"
        )
    near = Box.of_part(volume.voxel_at(point), (1, 1, 1)).padded(1, volume.array.shape)
    if not volume.insonified_in(near).any():
        raise SeedError(
            f"{name} {place_text(point)} mm lies where the probe has not been (empty voxels); {advice} or sweep again"
        )
    return point


def extract_crop(volume: Volume, seed_ras_mm: np.ndarray, size_mm: float, spacing_mm: float) -> Crop:
    """Cut a cube out of a volume, resampled to the network's spacing along R, A and S.

    Args:
        volume: any orientation; parts of the cube that lie outside it count as never insonified.
        seed_ras_mm: middle of the cube, shape (3,).
        size_mm: edge of the cube; rounded to a multiple of the spacing.
        spacing_mm: edge of the network's voxels.

    Raises:
        SeedError: see `check_seed`; or the size is out of range.
    """
    seed = check_seed(volume, seed_ras_mm)
    grid, shape = crop_grid(seed, size_mm, spacing_mm)
    return Crop(*_on_network_grid(volume, _box_for_grid(volume, grid, shape), grid, shape), grid, seed)


def whole_volume(volume: Volume, seed_ras_mm: np.ndarray, spacing_mm: float) -> Crop:
    """Resample a whole volume to the network's spacing along R, A and S, as `extract_crop` does with a cube.

    The grid is the smallest of whole voxels, with the same middle, that holds the volume's bounding box. What of it
    lies outside an oblique volume counts as never insonified.

    Args:
        volume: any orientation.
        seed_ras_mm: in the lesion that is meant, shape (3,).
        spacing_mm: edge of the network's voxels.

    Raises:
        SeedError: see `check_seed`.
        VolumeError: the grid would have more than `MAX_GRID_VOXELS` voxels.
    """
    seed = check_seed(volume, seed_ras_mm)
    grid, shape = whole_volume_grid(volume, spacing_mm)
    everything = Box.of_shape(volume.array.shape)
    return Crop(*_on_network_grid(volume, everything, grid, shape), grid, seed, is_whole_volume=True)


def whole_volume_grid(volume: Volume, spacing_mm: float) -> tuple[np.ndarray, Shape]:
    """Return the grid of `whole_volume`: its 4x4 ijk_to_ras and its shape (K, J, I).

    Raises:
        VolumeError: see `whole_volume`.
    """
    faces = transform_points(volume.ijk_to_ras, Box.of_shape(volume.array.shape).corners_ijk)
    extent_mm = faces.max(0) - faces.min(0)
    count = np.maximum(np.ceil(extent_mm / spacing_mm - 1e-6), 1).astype(int)  # 1e-6: what is whole but for rounding
    if np.prod(count.astype(float)) > MAX_GRID_VOXELS:
        raise VolumeError(
            f"the whole volume is {' x '.join(f'{mm:.0f}' for mm in extent_mm)} mm, on the model's grid of "
            f"{spacing_mm:g} mm {' x '.join(map(str, count))} voxels, too many to compute; "
            "cut the volume down to the liver, or use a model that sees crops"
        )
    return box_around((faces.max(0) + faces.min(0)) / 2, as_index(count), spacing_mm), as_index(count[::-1])


def _on_network_grid(volume: Volume, box: Box, grid: np.ndarray, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Return `Crop.array` and `Crop.insonified`, resampled from a box of a volume after smoothing against aliasing."""
    insonified = volume.insonified_in(box).astype(np.float32)
    values = volume.array[box.slices].astype(np.float32) * insonified
    matrix = part_to_ras(volume.ijk_to_ras, box.start_kji)
    sigma = _smoothing_sigma(volume.spacing_mm, grid[0, 0])
    weight = _resample(ndimage.gaussian_filter(insonified, sigma, mode="constant"), matrix, grid, shape)
    blurred = _resample(ndimage.gaussian_filter(values, sigma, mode="constant"), matrix, grid, shape)
    known = weight >= MIN_INSONIFIED_WEIGHT
    array = np.divide(blurred, weight, out=np.zeros_like(blurred), where=known)
    array[~known] = array[known].mean() if known.any() else 0.0
    return array, known


def part_for_crop(volume: Volume, seed_ras_mm: np.ndarray, size_mm: float, spacing_mm: float) -> tuple[Volume, Index]:
    """Return the part of a volume from which `extract_crop` makes the same crop, to be sent to another process.

    Returns:
        The part, and the index (k, j, i) of its first voxel.

    Raises:
        SeedError: as `extract_crop`.
    """
    seed = check_seed(volume, seed_ras_mm)
    return volume.part_around(_box_for_grid(volume, *crop_grid(seed, size_mm, spacing_mm)))


def crop_grid(seed: np.ndarray, size_mm: float, spacing_mm: float) -> tuple[np.ndarray, Shape]:
    """Return the ijk_to_ras, 4x4, and the shape (K, J, I) of the crop around a seed, RAS mm.

    Raises:
        SeedError: no crop is so small or so large.
    """
    low, high = CROP_SIZE_LIMITS_MM
    if not low <= size_mm <= high:
        raise SeedError(f"the crop must be {low:.0f} to {high:.0f} mm wide, got {size_mm} mm")
    shape = (round(size_mm / spacing_mm),) * 3
    return box_around(seed, shape, spacing_mm), shape


def _box_for_grid(volume: Volume, grid: np.ndarray, shape: Shape) -> Box:
    box = box_in_volume(volume.ijk_to_ras, as_index(volume.array.shape), grid, shape)
    if box.is_empty:
        raise SeedError("the crop does not meet the volume")
    return box


def resample_labels(labels: np.ndarray, ijk_to_ras: np.ndarray, crop: Crop) -> BoolArray:
    """Resample a boolean mask (K, J, I) of a volume onto the grid of a crop, with a threshold of one half."""
    image = to_sitk(labels.astype(np.float32), ijk_to_ras)
    mask: BoolArray = _on_grid(image, as_index(crop.array.shape), crop.ijk_to_ras, sitk.sitkLinear) >= 0.5
    return mask


def paste(values: np.ndarray, grid: np.ndarray, ijk_to_ras: np.ndarray, shape: Shape) -> tuple[np.ndarray, Box]:
    """Resample values on the grid of a crop back onto the voxels of a volume.

    Args:
        values: float32, shape (K, J, I), on the crop's `grid` (4x4 ijk_to_ras).
        ijk_to_ras, shape: of the volume, (K, J, I).

    Returns:
        The values in a box of the volume, and the box itself; the network has no answer outside of it.
    """
    box = box_in_volume(ijk_to_ras, shape, grid, as_index(values.shape))
    return paste_into(box, values, grid, ijk_to_ras), box


def paste_into(box: Box, values: np.ndarray, grid: np.ndarray, ijk_to_ras: np.ndarray) -> np.ndarray:
    """Resample values on the grid of a crop onto a box of a volume; 0 outside the crop. Arguments as of `paste`."""
    image = to_sitk(values.astype(np.float32), grid)
    return _on_grid(image, box.shape, part_to_ras(ijk_to_ras, box.start_kji), sitk.sitkLinear)


def box_in_volume(ijk_to_ras: np.ndarray, shape: Shape, grid: np.ndarray, grid_shape: Shape) -> Box:
    """Return the box of a volume that contributes to a grid of cubic voxels, with a margin for smoothing."""
    shape_ijk = np.array(shape[::-1])
    corners = transform_points(np.linalg.inv(ijk_to_ras) @ grid, Box.of_shape(grid_shape).corner_centers_ijk)
    sigma = _smoothing_sigma(spacing_of(ijk_to_ras), float(spacing_of(grid)[0]))
    margin = 2 + 2 * np.ceil(sigma.max())
    low = np.clip(np.floor(corners.min(0)) - margin, 0, shape_ijk)
    high = np.clip(np.ceil(corners.max(0)) + margin + 1, 0, shape_ijk)
    return Box(as_index(low[::-1]), as_index(high[::-1]))


def _smoothing_sigma(volume_spacing_mm: FloatArray, spacing_mm: float) -> FloatArray:
    """Return the sigma of the Gaussian, in voxels (K, J, I), against aliasing, wide enough to close single holes."""
    ratio = spacing_mm / volume_spacing_mm[::-1]
    sigma: FloatArray = np.maximum(0.5 * np.sqrt(np.maximum(ratio**2 - 1, 0)), HOLE_SIGMA_VOXELS * np.minimum(1, ratio))
    return sigma


def _resample(array: np.ndarray, ijk_to_ras: np.ndarray, grid: np.ndarray, shape: Shape) -> np.ndarray:
    return _on_grid(to_sitk(array, ijk_to_ras), shape, grid, sitk.sitkLinear)


def _on_grid(image: sitk.Image, shape_kji: Shape, ijk_to_ras: np.ndarray, interpolator: int) -> np.ndarray:
    reference = to_sitk(np.zeros(shape_kji, np.uint8), ijk_to_ras)
    array: np.ndarray = sitk.GetArrayFromImage(sitk.Resample(image, reference, sitk.Transform(), interpolator, 0.0))
    return array
