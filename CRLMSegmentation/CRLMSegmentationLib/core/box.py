"""A box-shaped part of a volume, as a range of voxel indices along each axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .arrays import FloatArray

Index = tuple[int, int, int]
"""Of a voxel, (k, j, i)."""
Shape = tuple[int, int, int]
"""Of an array of voxels, (K, J, I)."""


def as_index(numbers: Iterable[float]) -> Index:
    """Return three numbers as a tuple of Python's own integers."""
    k, j, i = numbers
    return int(k), int(j), int(i)


@dataclass(frozen=True)
class Box:
    """A part of a volume between two voxel indices.

    Indices are in the order (k, j, i) of the axes of an array, and not in the order (i, j, k) of a point.

    Attributes:
        start_kji: index of the first voxel.
        stop_kji: index one beyond the last voxel along each axis.
    """

    start_kji: Index
    stop_kji: Index

    @classmethod
    def of_shape(cls, shape: Sequence[int]) -> Box:
        """Return the box that holds a whole volume of a shape (K, J, I)."""
        return cls((0, 0, 0), as_index(shape))

    @classmethod
    def of_part(cls, offset_kji: Iterable[float], shape: Sequence[int]) -> Box:
        """Return the box of a part with a shape (K, J, I) whose first voxel has the index `offset_kji`."""
        start = as_index(offset_kji)
        return cls(start, as_index(first + count for first, count in zip(start, shape)))

    @classmethod
    def of_mask(cls, mask: np.ndarray) -> Box | None:
        """Return the smallest box that holds every True voxel of a mask (K, J, I); None where none is."""
        found = ndimage.find_objects(np.asarray(mask, bool).view(np.uint8), max_label=1)[0]
        return None if found is None else cls.of_slices(found)

    @classmethod
    def of_nonempty_mask(cls, mask: np.ndarray) -> Box:
        """Return what `of_mask` returns, for a mask that is known to hold a True voxel.

        Raises:
            ValueError: it holds none.
        """
        box = cls.of_mask(mask)
        if box is None:
            raise ValueError("the mask is empty")
        return box

    @classmethod
    def around(cls, boxes: Sequence[Box]) -> Box:
        """Return the smallest box that holds some boxes, at least one."""
        start = np.min([box.start_kji for box in boxes], axis=0)
        return cls(as_index(start), as_index(np.max([box.stop_kji for box in boxes], axis=0)))

    @classmethod
    def of_slices(cls, slices: Iterable[slice]) -> Box:
        """Return the box of three slices (K, J, I) that have a start and a stop, as `scipy.ndimage` gives them."""
        ends = [(part.start, part.stop) for part in slices]
        return cls(as_index(start for start, _ in ends), as_index(stop for _, stop in ends))

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The slices (K, J, I) that cut the box out of an array of its volume."""
        k, j, i = (slice(start, stop) for start, stop in zip(self.start_kji, self.stop_kji))
        return k, j, i

    @property
    def shape(self) -> Shape:
        """Numbers of voxels (K, J, I)."""
        return as_index(stop - start for start, stop in zip(self.start_kji, self.stop_kji))

    @property
    def is_empty(self) -> bool:
        """Whether the box holds no voxel."""
        return min(self.shape) <= 0

    def padded(self, margin: int | Sequence[int], shape: Sequence[int]) -> Box:
        """Return the box with a margin of voxels on each side, cut to a volume of a shape (K, J, I).

        Args:
            margin: voxels along every axis, or along (k, j, i).
        """
        margins = (margin,) * 3 if isinstance(margin, int) else margin
        grown = Box(
            as_index(start - count for start, count in zip(self.start_kji, margins)),
            as_index(stop + count for stop, count in zip(self.stop_kji, margins)),
        )
        return grown.intersect(Box.of_shape(shape))

    def intersect(self, other: Box) -> Box:
        """Return the part that both boxes share; it is empty where they do not overlap."""
        return Box(
            as_index(map(max, self.start_kji, other.start_kji)), as_index(map(min, self.stop_kji, other.stop_kji))
        )

    def is_within(self, other: Box) -> bool:
        """Whether no voxel of this box lies outside the other one."""
        return self.intersect(other) == self

    def shifted(self, offset_kji: Sequence[int]) -> Box:
        """Return the same box in a volume of which its own is a part that begins at the index `offset_kji`."""
        return Box.of_part(np.add(self.start_kji, offset_kji), self.shape)

    def relative_to(self, other: Box) -> Box:
        """Return the same box by indices that count from the first voxel of the other one."""
        return Box.of_part(np.subtract(self.start_kji, other.start_kji), self.shape)

    @property
    def corner_centers_ijk(self) -> FloatArray:
        """Indices (i, j, k) of the voxels in the eight corners, float64, shape (8, 3)."""
        return _corners(self.start_kji, [stop - 1 for stop in self.stop_kji])

    @property
    def corners_ijk(self) -> FloatArray:
        """The corners of the outer voxels' faces as indices (i, j, k), float64, shape (8, 3)."""
        return _corners([start - 0.5 for start in self.start_kji], [stop - 0.5 for stop in self.stop_kji])


def trimmed_mask(mask: np.ndarray, offset_kji: Index = (0, 0, 0)) -> tuple[np.ndarray, Index]:
    """Cut a mask down to the smallest box that holds all its True voxels.

    Args:
        mask: bool, shape (K, J, I), a part of a volume that begins at `offset_kji`.

    Returns:
        The voxels as a copy, of shape (0, 0, 0) where the mask is empty, and the index (k, j, i) of the first one in
        the volume.
    """
    inner = Box.of_mask(mask) or Box.of_shape((0, 0, 0))
    return mask[inner.slices].copy(), inner.shifted(offset_kji).start_kji


def _corners(low_kji: Sequence[float], high_kji: Sequence[float]) -> FloatArray:
    """Return all combinations of the lower and upper ends as points (i, j, k), shape (8, 3)."""
    ends = [np.array([low, high], np.float64) for low, high in zip(low_kji[::-1], high_kji[::-1])]
    points: FloatArray = np.array(np.meshgrid(*ends)).reshape(3, -1).T
    return points
