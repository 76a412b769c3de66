"""Samples slices through a volume along R, A and S, for every geometry of the volume."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from ..core.box import Box
from ..core.geometry import transform_points
from ..core.volume import Volume


@dataclass(frozen=True)
class Plane:
    """The orientation of a slice on the screen, as in 3D Slicer: seen from the feet, the left or the front.

    Attributes:
        right, up: unit vectors (R, A, S) along the screen.
        through: index of the RAS axis that goes through the screen.
        edges: letters at the left, right, top and bottom edge.
    """

    name: str
    right: tuple[int, int, int]
    up: tuple[int, int, int]
    through: int
    edges: tuple[str, str, str, str]


AXIAL = Plane("Axial", (-1, 0, 0), (0, 1, 0), 2, ("R", "L", "A", "P"))
SAGITTAL = Plane("Sagittal", (0, -1, 0), (0, 0, 1), 0, ("A", "P", "S", "I"))
CORONAL = Plane("Coronal", (-1, 0, 0), (0, 0, 1), 1, ("R", "L", "S", "I"))
PLANES = (AXIAL, SAGITTAL, CORONAL)
MIN_VIEW_MM = 24.0
"""A close-up is never narrower, so that tiny lesions keep some tissue around them."""


@dataclass(frozen=True, eq=False)
class DrawnLesion:
    """A lesion to be drawn; all arrays are on the grid of the volume, shape (K, J, I).

    Attributes:
        mask: bool, the prediction.
        truth: ground truth, bool, or None where it is not known.
        crop_size_mm: edge of the cube around the seed, its edges along R, A and S; None where the network saw the
            whole volume.
    """

    volume: Volume
    mask: np.ndarray
    seed_ras_mm: np.ndarray
    crop_size_mm: float | None
    truth: np.ndarray | None = None

    @cached_property
    def insonified(self) -> np.ndarray:
        """The insonified voxels: bool, shape (K, J, I)."""
        return self.volume.insonified_in()

    @cached_property
    def center_ras_mm(self) -> np.ndarray:
        """The middle of the prediction, RAS mm; the seed when nothing was found."""
        if not self.mask.any():
            return np.asarray(self.seed_ras_mm, dtype=np.float64)
        return transform_points(self.volume.ijk_to_ras, np.array(ndimage.center_of_mass(self.mask))[::-1])


def field_of_view_mm(lesion: DrawnLesion) -> float:
    """Return the edge of a square around prediction, ground truth and seed, with a margin, in mm."""
    shown = lesion.mask if lesion.truth is None else lesion.mask | lesion.truth
    points = [np.asarray(lesion.seed_ras_mm, dtype=np.float64)[None]]
    box = Box.of_mask(shown)
    if box is not None:
        points.append(transform_points(lesion.volume.ijk_to_ras, box.corner_centers_ijk))
    reach_mm = np.abs(np.concatenate(points) - lesion.center_ras_mm).max()
    seen_mm = lesion.crop_size_mm or np.ptp(volume_corners(lesion.volume), axis=0).max()
    return float(np.clip(2.9 * reach_mm, MIN_VIEW_MM, 1.1 * max(seen_mm, MIN_VIEW_MM)))


def volume_corners(volume: Volume) -> np.ndarray:
    """Return the eight corners of a volume, shape (8, 3), RAS mm."""
    return transform_points(volume.ijk_to_ras, Box.of_shape(volume.array.shape).corners_ijk)


def plane_pixels(
    plane: Plane, volume: Volume, center_ras_mm: np.ndarray, size_mm: tuple[float, float], count: tuple[int, int]
) -> np.ndarray:
    """Return the voxel indices (k, j, i) of the pixels of a slice, shape (3, rows, columns), not rounded.

    Args:
        center_ras_mm: middle of the slice.
        size_mm: width and height.
        count: columns and rows; rows go from bottom to top.
    """
    across = ((np.arange(count[0]) + 0.5) / count[0] - 0.5) * size_mm[0]
    upward = ((np.arange(count[1]) + 0.5) / count[1] - 0.5) * size_mm[1]
    to_kji = volume.ras_to_ijk[2::-1, :3]
    middle = transform_points(volume.ras_to_ijk, center_ras_mm)[::-1]
    right, up = to_kji @ plane.right, to_kji @ plane.up
    pixels: np.ndarray = middle[:, None, None] + right[:, None, None] * across + up[:, None, None] * upward[:, None]
    return pixels


def sample(array: np.ndarray, pixels_kji: np.ndarray) -> np.ndarray:
    """Interpolate an array (K, J, I) linearly at voxel indices; 0 beyond the outermost voxel centres.

    Only the part of the array that is needed is converted to floating point.

    Args:
        pixels_kji: as `plane_pixels` gives them.

    Returns:
        float32, shape (rows, columns).
    """
    corners = pixels_kji[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    low = np.clip(np.floor(corners.min(axis=1)).astype(int) - 1, 0, np.array(array.shape) - 1)
    high = np.clip(np.ceil(corners.max(axis=1)).astype(int) + 2, low + 1, array.shape)
    part = array[tuple(slice(a, b) for a, b in zip(low, high))].astype(np.float32)
    values: np.ndarray = ndimage.map_coordinates(part, pixels_kji - low[:, None, None], order=1, mode="constant")
    return values
