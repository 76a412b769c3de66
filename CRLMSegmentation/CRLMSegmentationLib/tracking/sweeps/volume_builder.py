"""Reconstruction of a volume frame by frame: bin filling with an accumulation buffer (doi 10.1186/1475-925X-13-124).

Everything happens in the order of the frames and, for whole-number pixels, in whole numbers, so the same frames
give the same bytes. One core is enough: `numpy.add.at` holds Python's lock, a second thread would only wait.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from ...core.errors import SweepError
from ...core.geometry import check_ijk_to_ras, transform_points
from ...core.volume import Volume
from .hole_filling import DEFAULT_SIZE, fill_holes
from .image_region import ImageRegion, image_region

MAX_VOXELS = 100_000_000
"""464 voxels a side: about 1 GB while the volume grows."""
DEVICE = "recvol_Reference"
"""The name that PLUS gives to a reconstructed volume."""
WEIGHT_STEPS = 32
"""Linear interpolation counts in whole parts of this of a voxel."""
MIN_WEIGHT = WEIGHT_STEPS**3 // 8
"""PLUS: with MAXIMUM and LATEST, a pixel counts for those of its eight voxels that have at least an eighth of it."""


class Compounding(Enum):
    """How several pixels in one voxel are combined; PLUS's names, the default first."""

    MEAN = "MEAN"
    MAXIMUM = "MAXIMUM"
    LATEST = "LATEST"


class Interpolation(Enum):
    """Voxels to which a pixel contributes: the nearest, or the eight around it by weight; the default first."""

    NEAREST = "NEAREST_NEIGHBOR"
    LINEAR = "LINEAR"


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxel grid of a volume.

    Attributes:
        shape_kji: number of voxels.
        ijk_to_reference: 4x4, voxel centres to mm of Reference.

    Raises:
        SweepError: fewer than 2 voxels along an axis, or more than `MAX_VOXELS` in all.
        GeometryError: the matrix cannot place voxels.
    """

    shape_kji: tuple[int, int, int]
    ijk_to_reference: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "ijk_to_reference", check_ijk_to_ras(self.ijk_to_reference))
        if min(self.shape_kji) < 2:
            raise SweepError(f"a volume needs at least 2 voxels along each axis, got {self.shape_kji[::-1]}")
        if math.prod(self.shape_kji) > MAX_VOXELS:
            spacing_mm = np.linalg.norm(self.ijk_to_reference[:3, :3], axis=0)
            larger = 1.02 * (math.prod(self.shape_kji) / MAX_VOXELS) ** (1 / 3) * spacing_mm.max()
            size = " x ".join(str(count) for count in self.shape_kji[::-1])
            raise SweepError(
                f"the volume would have {size} voxels, at most {MAX_VOXELS / 1e6:.0f} million fit; choose a spacing of "
                f"{math.ceil(larger * 100) / 100:.2f} mm or more, or leave out frames that lie far off"
            )

    @classmethod
    def around(cls, low_mm: np.ndarray, high_mm: np.ndarray, spacing_mm: float | tuple[float, float, float]) -> Grid:
        """Return the grid along the axes of Reference from one corner to at least the other.

        Args:
            low_mm, high_mm: (x, y, z); the first is the centre of voxel (0, 0, 0).
        """
        spacing = check_spacing(spacing_mm)
        counts = np.maximum(2, np.ceil((np.asarray(high_mm) - low_mm) / spacing).astype(int) + 1)
        matrix = np.diag([*spacing, 1.0])
        matrix[:3, 3] = low_mm
        i, j, k = map(int, counts)
        return cls((k, j, i), matrix)

    @classmethod
    def of(cls, volume: Volume) -> Grid:
        """Return the grid of a volume."""
        return cls(volume.array.shape, volume.ijk_to_ras)


def check_spacing(spacing_mm: float | tuple[float, float, float]) -> np.ndarray:
    """Return the spacing along x, y, z, shape (3,), from one number or three.

    Raises:
        SweepError: not one or three numbers above 0.
    """
    spacing = np.asarray(spacing_mm, float)
    if spacing.shape not in ((), (3,)) or not np.isfinite(spacing).all() or not (spacing > 0).all():
        raise SweepError(f"the spacing must be one number or three, above 0 mm; got {spacing_mm}")
    return np.broadcast_to(spacing, 3)


class VolumeBuilder:
    """Reconstructs a volume from frames that are added one by one; `volume` may be called at any time."""

    def __init__(
        self,
        grid: Grid,
        compounding: Compounding = Compounding.MEAN,
        interpolation: Interpolation = Interpolation.NEAREST,
        pixel_type: np.dtype | type = np.uint8,
        voxel_type: np.dtype | type | None = None,
    ) -> None:
        """Start with an empty volume.

        Args:
            pixel_type: of the frames that will come.
            voxel_type: of the volume, by default that of the pixels.
        """
        self.grid = grid
        self.compounding = compounding
        self.interpolation = interpolation
        self.frames = 0
        self.pixel_type = np.dtype(pixel_type)
        self.voxel_type = np.dtype(voxel_type or pixel_type)
        self._to_ijk = np.linalg.inv(grid.ijk_to_reference)
        count = math.prod(grid.shape_kji)
        self._strides = (1, grid.shape_kji[2], grid.shape_kji[2] * grid.shape_kji[1])
        is_linear = interpolation is Interpolation.LINEAR
        self._weights = np.zeros(count, np.int64 if is_linear else np.int32)
        self._values = np.zeros(count, self._value_type(is_linear))

    def _value_type(self, is_linear: bool) -> np.dtype:
        """Return the type of the accumulator: a sum that cannot overflow, or that of the pixels."""
        if self.compounding is not Compounding.MEAN:
            return self.pixel_type
        if self.pixel_type.kind == "f":
            return np.dtype(np.float64)
        return np.dtype(np.int32 if self.pixel_type.itemsize == 1 and not is_linear else np.int64)

    def insert(self, frame: np.ndarray, image_to_reference: np.ndarray, region: ImageRegion | None = None) -> None:
        """Add the pixels of a frame; those outside the grid are left out.

        Args:
            frame: grey, shape (rows, columns), in the orientation of the calibration (MF).
            image_to_reference: 4x4, pixels (column, row, 0) to mm of Reference.
            region: which pixels, by default all.

        Raises:
            SweepError: colour, or pixels of another type than was announced.
        """
        if frame.ndim != 2 or frame.dtype != self.pixel_type:
            raise SweepError(
                f"expected grey frames of {self.pixel_type}, got {frame.dtype} of size {frame.shape}; see `grey`"
            )
        region = region or image_region(*frame.shape)
        xyz = _positions(self._to_ijk @ image_to_reference, region)
        self._put(xyz, frame[region.rows, region.columns], region.mask)
        self.frames += 1

    def insert_points(self, values: np.ndarray, points_mm: np.ndarray) -> None:
        """Add single measurements.

        Args:
            values: shape (P,).
            points_mm: shape (P, 3), in Reference.
        """
        self._put(list(transform_points(self._to_ijk, points_mm).T), values, None)
        self.frames += 1

    def _put(self, xyz: list[np.ndarray], values: np.ndarray, mask: np.ndarray | None) -> None:
        if self.interpolation is Interpolation.NEAREST:
            for axis in xyz:
                np.rint(axis, out=axis)
            index, keep = self._flat(xyz, mask)
            self._add(index, values[keep] if keep is not None else values.ravel(), None)
        else:
            self._put_linear(xyz, values, mask)

    def _put_linear(self, xyz: list[np.ndarray], values: np.ndarray, mask: np.ndarray | None) -> None:
        steps = [np.rint(axis * WEIGHT_STEPS) for axis in xyz]
        low = [np.floor(step / WEIGHT_STEPS) for step in steps]
        upper = [(step - WEIGHT_STEPS * base).astype(np.int32) for step, base in zip(steps, low)]
        least = 1 if self.compounding is Compounding.MEAN else MIN_WEIGHT
        for corner in np.ndindex(2, 2, 2):
            weight: np.ndarray = np.ones((), np.int32)
            for share, up in zip(upper, corner):
                weight = weight * (share if up else WEIGHT_STEPS - share)
            wanted = weight >= least
            index, keep = self._flat(
                [base + up for base, up in zip(low, corner)], wanted if mask is None else wanted & mask
            )
            self._add(index, values[keep], weight[keep])

    def _flat(self, ijk: list[np.ndarray], mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the flat indices of the voxels, and which of the pixels they belong to (None: all). Changes `ijk`."""
        keep = mask
        for axis, count in zip(ijk, self.grid.shape_kji[::-1]):
            if axis.size and not (axis.min() >= 0 and axis.max() < count):
                inside = (axis >= 0) & (axis < count)
                keep = inside if keep is None else keep & inside
                np.clip(axis, 0, count - 1, out=axis)
        index = ijk[0].astype(np.int32)
        for axis, stride in zip(ijk[1:], self._strides[1:]):
            index += axis.astype(np.int32) * np.int32(stride)
        return (index.ravel() if keep is None else index[keep]).astype(np.intp), keep

    def _add(self, index: np.ndarray, values: np.ndarray, weight: np.ndarray | None) -> None:
        if self.compounding is Compounding.MEAN:
            values = values.astype(self._values.dtype)
            np.add.at(self._values, index, values if weight is None else values * weight)
            np.add.at(self._weights, index, self._weights.dtype.type(1) if weight is None else weight.astype(np.int64))
            return
        if self.compounding is Compounding.MAXIMUM:
            fresh = index[self._weights[index] == 0]
            self._values[fresh] = _lowest(self.pixel_type)
            np.maximum.at(self._values, index, values)
        else:
            self._values[index] = values  # of several the last
        self._weights[index] = 1

    def volume(
        self, device: str = DEVICE, timestamp_s: float = 0.0, holes: bool = False, hole_size: int = DEFAULT_SIZE
    ) -> Volume:
        """Return a copy of the volume as it is now.

        Args:
            holes: whether gaps between frames are filled, see `hole_filling`.

        Returns:
            Voxels in Reference; `insonified` are those that a pixel fell into, and filled ones.
        """
        array = np.zeros(len(self._values), self.voxel_type)
        hit = np.flatnonzero(self._weights)
        found = self._values[hit]
        if self.compounding is Compounding.MEAN:
            found = found / self._weights[hit]
        array[hit] = np.round(found) if self.voxel_type.kind in "ui" else found
        shape = self.grid.shape_kji
        array, insonified = array.reshape(shape), (self._weights > 0).reshape(shape)
        if holes:
            array, insonified = fill_holes(array, insonified, hole_size)
        return Volume(array, self.grid.ijk_to_reference, device, timestamp_s, insonified)


def _positions(image_to_ijk: np.ndarray, region: ImageRegion) -> list[np.ndarray]:
    """Return the voxel coordinates of the pixels of a region, one array (rows, columns) for each of i, j, k.

    An affine map is a sum of what the row adds and what the column adds. Single precision is right to a
    thousandth of a voxel, up to thousands of voxels away.
    """
    rows, columns = (np.arange(part.start, part.stop) for part in (region.rows, region.columns))
    return [
        np.add.outer((axis[1] * rows + axis[3]).astype(np.float32), (axis[0] * columns).astype(np.float32))
        for axis in image_to_ijk[:3]
    ]


def _lowest(pixel_type: np.dtype) -> float:
    return -np.inf if pixel_type.kind == "f" else np.iinfo(pixel_type).min
