"""The constants that fill the outside of a volume, and the empty space that is connected to its border."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .arrays import BoolArray

BLOCK = 3
"""Edge, in voxels, of the blocks in which connected empty space is searched for through a whole volume."""
MARGIN = 3
"""Voxels around a box on which the answer for the box depends."""
WIDE_MARGIN = 6
"""The same where a constant other than 0 fills the outside, so that more depends on the surroundings."""
ENOUGH_VOXELS = 40_000
"""Of a sample that shows how a volume is."""


@dataclass(frozen=True)
class Background:
    """The constants that mark voxels which were not insonified, in addition to 0 and NaN.

    Attributes:
        values: constants that fill the space around the field of view.
        tolerance: how far a voxel may be from one of them, after lossy compression.
        low, high: limits of the grey values of tissue, where a constant lies beyond them; any voxel beyond them is the
            constant, or was interpolated between it and tissue.
        is_in_tissue: a constant is as bright as the brightest tissue, such as 255; thin, isolated ones are tissue then.
    """

    values: tuple[float, ...] = ()
    tolerance: float = 0.0
    low: float | None = None
    high: float | None = None
    is_in_tissue: bool = False

    @property
    def margin(self) -> int:
        """Voxels around a box on which the answer for the box depends."""
        return WIDE_MARGIN if self.values else MARGIN

    def covers(self, array: np.ndarray) -> BoolArray:
        """Return which voxels have a value that may mean empty; bool, shape of the array."""
        return holds(array, self.values, self.tolerance) | self.covers_when_thin(array)

    def covers_when_thin(self, array: np.ndarray) -> BoolArray:
        """Return which of them are empty even in thin, isolated layers such as gaps between frames; bool."""
        empty: BoolArray = array == 0
        if not self.values:
            return empty
        if not self.is_in_tissue:
            empty |= holds(array, self.values, self.tolerance)
        return empty | self.is_beyond_tissue(array)

    def is_beyond_tissue(self, array: np.ndarray) -> BoolArray:
        """Return which voxels are empty wherever they lie; bool, shape of the array."""
        beyond = np.zeros(array.shape, bool)
        if self.low is not None:
            beyond |= array < self.low
        if self.high is not None:
            beyond |= array > self.high
        return beyond


ZERO = Background()


def empty_values(array: np.ndarray, background: Background, missing: np.ndarray | None) -> BoolArray:
    """Return which voxels have a value that may mean empty, or no number; bool, shape of the array."""
    empty: BoolArray = background.covers(array) if background.values else array == 0
    return empty if missing is None else empty | missing


def holds(array: np.ndarray, values: Iterable[float], tolerance: float) -> BoolArray:
    """Return which voxels hold one of some values, give or take a tolerance; bool, shape of the array."""
    found = np.zeros(array.shape, bool)
    for value in values:
        found |= array == value if not tolerance else (array >= value - tolerance) & (array <= value + tolerance)
    return found


def extrema(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and the largest value of each block of `BLOCK` voxels a side, the last ones cut."""
    low = high = array
    for axis, count in enumerate(array.shape):
        starts = np.arange(0, count, BLOCK)
        low, high = np.minimum.reduceat(low, starts, axis), np.maximum.reduceat(high, starts, axis)
    return low, high


def outside_blocks(zero: np.ndarray) -> BoolArray:
    """Return which blocks, `BLOCK` voxels a side, are completely empty and connected to the border of the volume.

    Args:
        zero: bool, shape (K, J, I).

    Returns:
        Boolean array with one entry per block, the last ones cut by the end of the volume.
    """
    zero = np.pad(zero, [(0, -count % BLOCK) for count in zero.shape], constant_values=True)
    zero = zero[0::3] & zero[1::3] & zero[2::3]
    zero = zero[:, 0::3] & zero[:, 1::3] & zero[:, 2::3]
    zero = zero[:, :, 0::3] & zero[:, :, 1::3] & zero[:, :, 2::3]
    labels: np.ndarray = ndimage.label(np.pad(zero, 1, constant_values=True))[0]
    outside: BoolArray = labels == labels[0, 0, 0]
    return outside[1:-1, 1:-1, 1:-1]


def sampling_step(array: np.ndarray) -> int:
    """Return the step along each axis of a sample of about `ENOUGH_VOXELS` voxels; shape (K, J, I)."""
    step: int = max(1, round((array.size / ENOUGH_VOXELS) ** (1 / 3)))
    return step
