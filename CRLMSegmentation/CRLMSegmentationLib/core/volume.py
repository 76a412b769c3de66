"""The volume: voxels, their place in space, and where they came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .errors import GeometryError, VolumeError
from .geometry import MAX_EXTENT_MM, RAS_TO_LPS, check_ijk_to_ras, spacing_of, transform_points
from .volume_files import VOLUME_SUFFIXES as VOLUME_SUFFIXES
from .volume_files import read_stored_volume, volume_stem

Box = tuple[slice, slice, slice]
"""A part of a volume, (K, J, I)."""
EVERYWHERE: Box = (slice(None), slice(None), slice(None))
BLOCK = 3
"""Edge in voxels of the blocks by which empty space is followed through a whole volume."""
RIM = 3
"""Voxels that are looked at around a box."""


@dataclass(frozen=True)
class VolumeIdentity:
    """What makes a volume the one it is; two volumes are the same when all four agree."""

    device: str
    timestamp_s: float
    geometry_sha256: str
    content_sha256: str

    def is_same_image(self, other: VolumeIdentity) -> bool:
        """Whether both are the same voxels of the same moment, wherever a parent transform has put them."""
        return (self.timestamp_s, self.content_sha256) == (other.timestamp_s, other.content_sha256)

    def __str__(self) -> str:
        return f"{self.device or 'volume'}@{self.timestamp_s:.3f}#{self.content_sha256[:8]}"


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar 3D image.

    Attributes:
        array: voxels, shape (K, J, I), native byte order, not written to after construction.
        ijk_to_ras: 4x4, voxel indices (i, j, k) to RAS mm; may be oblique, anisotropic, left-handed.
        device: name of the sender's device, or of the file.
        timestamp_s: when it was acquired (Unix time of the sender), 0 if unknown.
        swept: shape (K, J, I), True where the probe has been, or None when the source does not say.

    Raises:
        VolumeError: not a 3D scalar volume, or NaN in it.
        GeometryError: the matrix cannot place voxels.
    """

    array: np.ndarray
    ijk_to_ras: np.ndarray
    device: str = ""
    timestamp_s: float = 0.0
    swept: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_voxels(self.array)
        object.__setattr__(self, "ijk_to_ras", check_ijk_to_ras(self.ijk_to_ras))
        extent_mm = self.spacing_mm * self.shape_ijk
        if extent_mm.max() > MAX_EXTENT_MM:
            raise GeometryError(
                f"the volume would be {extent_mm.max() / 1000:.1f} m long; check the spacing "
                f"{self.spacing_mm.tolist()} mm of '{self.device}'"
            )
        if self.swept is not None and self.swept.shape != self.array.shape:
            raise VolumeError(f"swept mask has shape {self.swept.shape}, its volume {self.array.shape}")

    @property
    def shape_ijk(self) -> np.ndarray:
        """Number of voxels along i, j, k."""
        return np.array(self.array.shape[::-1])

    @property
    def spacing_mm(self) -> np.ndarray:
        """Voxel spacing along i, j, k."""
        return spacing_of(self.ijk_to_ras)

    @property
    def center_ras_mm(self) -> np.ndarray:
        return transform_points(self.ijk_to_ras, (self.shape_ijk - 1) / 2)

    @cached_property
    def ras_to_ijk(self) -> np.ndarray:
        return np.linalg.inv(self.ijk_to_ras)

    @cached_property
    def identity(self) -> VolumeIdentity:
        geometry = hashlib.sha256(np.ascontiguousarray(self.ijk_to_ras).tobytes() + repr(self.array.shape).encode())
        content = hashlib.sha256(np.ascontiguousarray(self.array).data)
        content.update(self.array.dtype.str.encode())
        return VolumeIdentity(self.device, self.timestamp_s, geometry.hexdigest(), content.hexdigest())

    @cached_property
    def unswept_blocks(self) -> np.ndarray:
        """`outside_blocks` of the voxels."""
        return outside_blocks(self.array == 0)

    def swept_in(self, box: Box = EVERYWHERE) -> np.ndarray:
        """Where the probe has been in a box (K, J, I): as the source says, else as `infer_swept` guesses."""
        return infer_swept(self.array, box, self.unswept_blocks) if self.swept is None else self.swept[box]

    def part_around(self, box: Box) -> tuple[Volume, tuple[int, int, int]]:
        """A part that holds a box, and as much around it as `swept_in` must see to say the same of it.

        Returns:
            The part, a view of the same voxels, and the index (k, j, i) of its first voxel.
        """
        start = [max(0, part.start - RIM - 1) // BLOCK * BLOCK for part in box]
        stop = [min(count, part.stop + RIM + 1) for part, count in zip(box, self.array.shape)]
        near = tuple(slice(low, high) for low, high in zip(start, stop))
        blocks = tuple(slice(low // BLOCK, -(-high // BLOCK)) for low, high in zip(start, stop))
        matrix = self.ijk_to_ras.copy()
        matrix[:3, 3] = transform_points(self.ijk_to_ras, start[::-1])
        known = None if self.swept is not None else self.unswept_blocks[blocks]
        swept = None if self.swept is None else self.swept[near]
        return Volume.of_part(self.array[near], matrix, swept, known), tuple(start)

    @classmethod
    def of_part(
        cls, array: np.ndarray, ijk_to_ras: np.ndarray, swept: np.ndarray | None, unswept_blocks: np.ndarray | None
    ) -> Volume:
        """Put together what `part_around` has taken apart, as in another process."""
        part = cls(array, ijk_to_ras, swept=swept)
        if unswept_blocks is not None:
            part.__dict__["unswept_blocks"] = unswept_blocks
        return part

    def contains(self, point_ras_mm: np.ndarray) -> bool:
        """Whether a point lies within the volume, half a voxel beyond the outermost centres included."""
        ijk = transform_points(self.ras_to_ijk, point_ras_mm)
        return bool(((ijk >= -0.5) & (ijk <= self.shape_ijk - 0.5)).all())


def check_voxels(array: np.ndarray) -> None:
    """Refuse what is not a scalar 3D image with finite numbers.

    Raises:
        VolumeError: says what came instead.
    """
    if array.ndim == 4:
        raise VolumeError(f"expected one number per voxel, got {array.shape[-1]} components (colour?); convert to grey")
    if array.ndim != 3:
        raise VolumeError(f"expected a 3D volume, got {array.ndim} dimensions of size {array.shape}")
    if 0 in array.shape:
        raise VolumeError(f"the volume is empty: size {array.shape[::-1]}")
    if 1 in array.shape:
        raise VolumeError(
            f"expected a 3D volume, got a single slice of size {array.shape[::-1]}; reconstruct the sweep first"
        )
    if array.dtype.kind not in "uif":
        raise VolumeError(f"voxels must be real numbers, got {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise VolumeError(
            f"{np.count_nonzero(~np.isfinite(array))} voxels are NaN or infinite; repair the volume first"
        )
    if array.dtype.kind == "f" and array.dtype.itemsize > 4 and np.abs(array).max() > np.finfo(np.float32).max:
        raise VolumeError(
            f"voxels reach {np.abs(array).max():.1e}, beyond the range of single precision; rescale the volume first"
        )


def infer_swept(array: np.ndarray, box: Box = EVERYWHERE, outside: np.ndarray | None = None) -> np.ndarray:
    """Guess which voxels the probe has swept, for volumes that arrive without an accumulation buffer.

    Zero alone does not mean empty: a vessel's lumen is black as well. Empty is what is zero and either
    hangs together with the border of the volume through passages of more than two voxels (never swept),
    or is at most two voxels thick (a gap between frames).

    Args:
        array: shape (K, J, I).
        box: the part that is asked for; only its surroundings are looked at closely, since a large volume
            would take seconds.
        outside: `outside_blocks` of the array, where it is known already.

    Returns:
        Boolean array, shape of the box, False where the volume is taken to be empty.
    """
    outside = outside_blocks(array == 0) if outside is None else outside
    asked = [range(*part.indices(count)) for part, count in zip(box, array.shape)]
    near = [range(max(0, r.start - RIM), min(count, r.stop + RIM)) for r, count in zip(asked, array.shape)]
    zero = array[tuple(slice(r.start, r.stop) for r in near)] == 0
    beyond = [(RIM * (r.start == 0), RIM * (r.stop == count)) for r, count in zip(near, array.shape)]
    thick = ndimage.binary_opening(np.pad(zero, beyond, constant_values=True), ndimage.generate_binary_structure(3, 1))
    labels, _ = ndimage.label(thick)
    reached = outside[np.ix_(*[np.arange(r.start, r.stop) // BLOCK for r in near])]
    empty = np.isin(labels, np.unique(labels[np.pad(reached, beyond, constant_values=True) & thick]))
    empty = (empty | ~thick)[tuple(slice(low, low + len(r)) for (low, _), r in zip(beyond, near))] & zero
    return ~empty[tuple(slice(r.start - n.start, r.stop - n.start) for r, n in zip(asked, near))]


def outside_blocks(zero: np.ndarray) -> np.ndarray:
    """Which blocks of `BLOCK` voxels a side are zero throughout and hang together with the border.

    Args:
        zero: bool, shape (K, J, I).

    Returns:
        Boolean array with one entry per block, the last ones cut by the end of the volume.
    """
    zero = np.pad(zero, [(0, -count % BLOCK) for count in zero.shape], constant_values=True)
    zero = zero[0::3] & zero[1::3] & zero[2::3]
    zero = zero[:, 0::3] & zero[:, 1::3] & zero[:, 2::3]
    zero = zero[:, :, 0::3] & zero[:, :, 1::3] & zero[:, :, 2::3]
    labels, _ = ndimage.label(np.pad(zero, 1, constant_values=True))
    return (labels == labels[0, 0, 0])[1:-1, 1:-1, 1:-1]


def read_volume(path: Path | str, root: Path | None = None) -> Volume:
    """Read one 3D volume (.nrrd .mha .nii.gz and their kin).

    Args:
        root: folder in which the files must lie that a detached header names; None for the header's own.

    Raises:
        VolumeError: no such file, cut off, damaged, or not a scalar 3D volume.
        GeometryError: it is placed by a matrix that cannot be, or does not say where it lies.
    """
    stored = read_stored_volume(path, root)
    return Volume(stored.array, stored.ijk_to_ras, device=volume_stem(path))


def write_volume(volume: Volume, path: Path | str) -> None:
    """Write a volume, compressed, with its space directions; the suffix chooses the format."""
    sitk.WriteImage(to_sitk(volume.array, volume.ijk_to_ras), str(path), useCompression=True)


def from_sitk(image: sitk.Image, device: str = "", timestamp_s: float = 0.0) -> Volume:
    """Take over a SimpleITK image (which lives in LPS).

    Raises:
        VolumeError, GeometryError: it is not a scalar 3D volume, or cannot be placed.
    """
    if image.GetDimension() != 3:
        raise VolumeError(
            f"expected a 3D volume, got {image.GetDimension()} dimensions of size {image.GetSize()}; "
            "export one volume of one moment"
        )
    if image.GetNumberOfComponentsPerPixel() != 1:
        count = image.GetNumberOfComponentsPerPixel()
        raise VolumeError(f"expected one number per voxel, got {count} components (colour?); convert to grey")
    array = sitk.GetArrayFromImage(image)
    check_voxels(array)
    ijk_to_lps = np.eye(4)
    ijk_to_lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    ijk_to_lps[:3, 3] = image.GetOrigin()
    return Volume(array, RAS_TO_LPS @ ijk_to_lps, device, timestamp_s)


def to_sitk(array: np.ndarray, ijk_to_ras: np.ndarray) -> sitk.Image:
    """A SimpleITK image (LPS) of an array (K, J, I) with its matrix."""
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
    ijk_to_lps = RAS_TO_LPS @ ijk_to_ras
    spacing_mm = spacing_of(ijk_to_ras)
    image.SetSpacing(spacing_mm.tolist())
    image.SetDirection((ijk_to_lps[:3, :3] / spacing_mm).ravel().tolist())
    image.SetOrigin(ijk_to_lps[:3, 3].tolist())
    return image
