"""A 3D volume: its voxels, their placement in space, and their origin; reading and writing."""

from __future__ import annotations

import hashlib
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from .background import BLOCK, MARGIN, ZERO, Background, empty_values, outside_blocks
from .background_search import find_background
from .box import Box, Index, as_index
from .errors import GeometryError, VolumeError
from .field_of_view import contradiction, infer_field_of_view, warnings_about, without_missing
from .geometry import MAX_EXTENT_MM, RAS_TO_LPS, check_ijk_to_ras, part_to_ras, spacing_of, transform_points
from .volume_files import read_stored_volume, volume_stem


@dataclass(frozen=True)
class VolumeIdentity:
    """The identity of a volume; two volumes are the same when all four values are equal."""

    device: str
    timestamp_s: float
    geometry_sha256: str
    content_sha256: str

    def is_same_image(self, other: VolumeIdentity) -> bool:
        """Return whether both hold the same voxels of the same time, even if a parent transform has moved one."""
        return (self.timestamp_s, self.content_sha256) == (other.timestamp_s, other.content_sha256)

    def __str__(self) -> str:
        return f"{self.device or 'volume'}@{self.timestamp_s:.3f}#{self.content_sha256[:8]}"


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar 3D image, its placement and its origin.

    Attributes:
        array: voxels, shape (K, J, I), native byte order, not written to after construction.
        ijk_to_ras: 4x4, voxel indices (i, j, k) to RAS mm; may be oblique, anisotropic, left-handed.
        device: name of the sender's device, or of the file.
        timestamp_s: when it was acquired (Unix time of the sender), 0 if unknown.
        insonified: shape (K, J, I), True where a voxel was insonified, or None when the source does not say.
        missing: shape (K, J, I), True where the source gave no number (NaN), which `array` does not keep; None where
            every voxel has one. Taken from the voxels; to be given only with voxels that came from another volume.

    Raises:
        VolumeError: not a 3D scalar volume, no number in it, or some that overflow.
        GeometryError: the matrix cannot place voxels.
    """

    array: np.ndarray
    ijk_to_ras: np.ndarray
    device: str = ""
    timestamp_s: float = 0.0
    insonified: np.ndarray | None = field(default=None, repr=False)
    missing: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_voxels(self.array)
        array, missing = without_missing(self.array)
        if missing is not None:
            object.__setattr__(self, "array", array)
            object.__setattr__(self, "missing", missing if self.missing is None else missing | self.missing)
        object.__setattr__(self, "ijk_to_ras", check_ijk_to_ras(self.ijk_to_ras))
        extent_mm = self.spacing_mm * self.shape_ijk
        if extent_mm.max() > MAX_EXTENT_MM:
            raise GeometryError(
                f"the volume would be {extent_mm.max() / 1000:.1f} m long; check the spacing "
                f"{self.spacing_mm.tolist()} mm of '{self.device}'"
            )
        for name, mask in (("mask of insonified voxels", self.insonified), ("mask of missing voxels", self.missing)):
            if mask is not None and mask.shape != self.array.shape:
                raise VolumeError(f"{name} has shape {mask.shape}, its volume {self.array.shape}")

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
        """Centre of the volume, shape (3,)."""
        return transform_points(self.ijk_to_ras, (self.shape_ijk - 1) / 2)

    @cached_property
    def ras_to_ijk(self) -> np.ndarray:
        """4x4, RAS mm to voxel indices (i, j, k)."""
        return np.linalg.inv(self.ijk_to_ras)

    @cached_property
    def identity(self) -> VolumeIdentity:
        """The hashes of voxels and placement with the device and the time; computed once."""
        content = hashlib.sha256(np.ascontiguousarray(self.array).data)
        content.update(self.array.dtype.str.encode())
        if self.missing is not None:
            content.update(np.packbits(self.missing).data)
        return VolumeIdentity(self.device, self.timestamp_s, self._geometry_sha256(), content.hexdigest())

    def _geometry_sha256(self) -> str:
        return hashlib.sha256(
            np.ascontiguousarray(self.ijk_to_ras).tobytes() + repr(self.array.shape).encode()
        ).hexdigest()

    def moved_to(self, ijk_to_ras: np.ndarray) -> Volume:
        """Return the volume with another matrix; the voxels are not copied, checked or hashed again.

        Raises:
            GeometryError: the matrix cannot place voxels.
        """
        ijk_to_ras, identity = check_ijk_to_ras(ijk_to_ras), self.identity
        moved = copy(self)
        moved.__dict__.pop("ras_to_ijk", None)
        object.__setattr__(moved, "ijk_to_ras", ijk_to_ras)
        moved.__dict__["identity"] = replace(identity, geometry_sha256=moved._geometry_sha256())
        return moved

    @property
    def has_voxels(self) -> bool:
        """Whether the voxels are still in memory; see `without_voxels`."""
        return any(self.array.strides)

    def without_voxels(self) -> Volume:
        """Return the volume without its voxels, to free memory; its identity and its grid are kept."""
        identity, left = self.identity, copy(self)
        left.__dict__.pop("not_insonified_blocks", None)
        object.__setattr__(left, "array", np.broadcast_to(np.zeros((), self.array.dtype), self.array.shape))
        for mask in ("swept", "missing"):
            object.__setattr__(left, mask, None)
        left.__dict__["identity"] = identity
        return left

    @property
    def recorded_array(self) -> np.ndarray:
        """The voxels as they were received, NaN where there was no number; for writing, sending and comparing."""
        return self.array if self.missing is None else np.where(self.missing, self.array.dtype.type("nan"), self.array)

    @cached_property
    def background(self) -> Background:
        """The constants that mark voxels which were not insonified."""
        return find_background(self.array, self.missing)

    @cached_property
    def not_insonified_blocks(self) -> np.ndarray:
        """Blocks of voxels outside the field of view, see `outside_blocks`."""
        return outside_blocks(empty_values(self.array, self.background, self.missing))

    @cached_property
    def contradicted_share(self) -> float:
        """Share of `insonified` that is empty space outside the field of view, 0 to 1; 0 where too small to matter."""
        return (
            0.0
            if self.insonified is None
            else contradiction(self.insonified, self.array, self.background, self.missing)
        )

    @property
    def field_of_view_warnings(self) -> tuple[str, ...]:
        """Warnings about how the field of view was found; mostly none."""
        is_recognised = self.insonified is not None or bool(self.not_insonified_blocks.any())
        return warnings_about(self.background, self.missing, is_recognised, self.contradicted_share)

    def insonified_in(self, box: Box | None = None) -> np.ndarray:
        """Return which voxels of a box, or of the whole volume, were insonified, bool, shape (K, J, I) of the box.

        The source says it, or else `infer_field_of_view` infers it from the voxels.

        Where the source contradicts the voxels (see `contradicted_share`), or the volume is filled with another
        constant than 0, only voxels that both call insonified count: such a constant must not be seen as tissue.
        """
        part = (Box.of_shape(self.array.shape) if box is None else box).slices
        if self.insonified is not None and not self.contradicted_share and not self.background.values:
            return self.insonified[part] if self.missing is None else self.insonified[part] & ~self.missing[part]
        inferred = infer_field_of_view(self.array, box, self.not_insonified_blocks, self.background, self.missing)
        return inferred if self.insonified is None else inferred & self.insonified[part]

    def part_around(self, box: Box) -> tuple[Volume, Index]:
        """Return a part that holds a box, with the margin on which `insonified_in` of the box depends.

        Returns:
            The part, a view of the same voxels, and the index (k, j, i) of its first voxel.
        """
        margin = self.background.margin if self.insonified is None else MARGIN
        padded = box.padded(margin + 1, self.array.shape)
        near = Box(as_index(first // BLOCK * BLOCK for first in padded.start_kji), padded.stop_kji)
        blocks = tuple(slice(part.start // BLOCK, -(-part.stop // BLOCK)) for part in near.slices)
        matrix = part_to_ras(self.ijk_to_ras, near.start_kji)
        known = None if self.insonified is not None else self.not_insonified_blocks[blocks]
        insonified = None if self.insonified is None else self.insonified_in(near)
        background = (
            self.background if self.insonified is None else ZERO
        )  # what a mask says holds the constants already
        missing = None if self.missing is None else self.missing[near.slices]
        part = Volume.of_part(self.array[near.slices], matrix, insonified, known, background, missing)
        return part, near.start_kji

    @classmethod
    def of_part(
        cls,
        array: np.ndarray,
        ijk_to_ras: np.ndarray,
        insonified: np.ndarray | None,
        not_insonified_blocks: np.ndarray | None,
        background: Background,
        missing: np.ndarray | None = None,
    ) -> Volume:
        """Make the part of a volume that `part_around` returned from its members, as in another process."""
        part = cls(array, ijk_to_ras, insonified=insonified, missing=missing)
        part.__dict__.update(background=background, contradicted_share=0.0)
        if not_insonified_blocks is not None:
            part.__dict__["not_insonified_blocks"] = not_insonified_blocks
        return part

    def voxel_at(self, point_ras_mm: npt.ArrayLike) -> Index:
        """Return the index (k, j, i) of the voxel that holds a point, or of the nearest one."""
        ijk = np.floor(transform_points(self.ras_to_ijk, point_ras_mm) + 0.5)  # the same for a part of the volume
        return as_index(np.clip(ijk, 0, self.shape_ijk - 1)[::-1])

    def contains(self, point_ras_mm: np.ndarray) -> bool:
        """Return whether a point lies within the volume, up to half a voxel beyond the outermost centres."""
        ijk = transform_points(self.ras_to_ijk, point_ras_mm)
        return bool(((ijk >= -0.5) & (ijk <= self.shape_ijk - 0.5)).all())


def check_voxels(array: np.ndarray) -> None:
    """Raise an error unless an array is a scalar 3D image of real numbers.

    Raises:
        VolumeError: it is not; the message says what it is instead.
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


def read_volume(path: Path | str, root: Path | None = None) -> Volume:
    """Read one 3D volume from a NRRD, MetaImage or NIfTI file.

    Args:
        root: folder in which the files must lie that a detached header names; None for the header's own.

    Raises:
        VolumeError: no such file, cut off, damaged, or not a scalar 3D volume.
        GeometryError: its placement is missing or impossible.
    """
    stored = read_stored_volume(path, root)
    return Volume(stored.array, stored.ijk_to_ras, device=volume_stem(path))


def write_volume(volume: Volume, path: Path | str) -> None:
    """Write a volume, compressed, with its space directions; the suffix chooses the format."""
    sitk.WriteImage(to_sitk(volume.recorded_array, volume.ijk_to_ras), str(path), useCompression=True)


def from_sitk(image: sitk.Image, device: str = "", timestamp_s: float = 0.0) -> Volume:
    """Return the volume of a SimpleITK image, whose coordinates are LPS.

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
    """Return the SimpleITK image (LPS) of an array (K, J, I) with its ijk_to_ras."""
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
    ijk_to_lps = RAS_TO_LPS @ ijk_to_ras
    spacing_mm = spacing_of(ijk_to_ras)
    image.SetSpacing(spacing_mm.tolist())
    image.SetDirection((ijk_to_lps[:3, :3] / spacing_mm).ravel().tolist())
    image.SetOrigin(ijk_to_lps[:3, 3].tolist())
    return image
