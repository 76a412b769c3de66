"""Reading of a volume file of any supported format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import FloatArray
from ..errors import GeometryError, VolumeError
from .data import read_voxels
from .header import VolumeHeader, unreadable, without_single_samples
from .meta_image import read_meta_image_header
from .nifti import read_nifti_header
from .nrrd import read_nrrd_header

READERS = {
    ".nrrd": read_nrrd_header,
    ".nhdr": read_nrrd_header,
    ".mha": read_meta_image_header,
    ".mhd": read_meta_image_header,
    ".nii": read_nifti_header,
    ".nii.gz": read_nifti_header,
}
VOLUME_SUFFIXES = tuple(READERS)
SEGMENTATION_SUFFIX = ".seg.nrrd"
HIDDEN_NAMES = ("thumbs.db", "desktop.ini")
BLOCK_VOXELS = 1 << 22


@dataclass(frozen=True, eq=False)
class StoredVolume:
    """The content of a volume file: voxels, shape (K, J, I), and the 4x4 matrix from (i, j, k) to RAS mm."""

    array: np.ndarray
    ijk_to_ras: np.ndarray


def volume_suffix(path: Path | str) -> str:
    """Return the suffix of a volume file, one of `VOLUME_SUFFIXES`; empty for other files."""
    name = Path(path).name.lower()
    return next((suffix for suffix in sorted(VOLUME_SUFFIXES, key=len, reverse=True) if name.endswith(suffix)), "")


def volume_stem(path: Path | str) -> str:
    """Return the name of a volume file without its suffix; ".seg" of a segmentation is part of the suffix."""
    name = Path(path).name
    suffix = SEGMENTATION_SUFFIX if name.lower().endswith(SEGMENTATION_SUFFIX) else volume_suffix(path)
    return name[: len(name) - len(suffix)]


def is_hidden(path: Path | str) -> bool:
    """Return whether a file belongs to the operating system, such as ._NAME and .DS_Store of macOS."""
    name = Path(path).name
    return name.startswith(".") or name.lower() in HIDDEN_NAMES


def read_header(path: Path | str, root: Path | None = None) -> VolumeHeader:
    """Read and check the header of a volume file, without its voxels.

    Args:
        root: folder in which the files must lie that a detached header names; None for the header's own.

    Raises:
        VolumeError: it is no volume file, or its header is cut off or wrong.
        GeometryError: its voxels cannot be placed, or it does not say where.
    """
    path = Path(path)
    reader = READERS.get(volume_suffix(path))
    if reader is None:
        if not os.path.lexists(path):
            raise VolumeError(f"no such file: {path}")
        raise VolumeError(f"{path.name} is not a volume file; expected one of {' '.join(VOLUME_SUFFIXES)}")
    return reader(path, path.parent if root is None else root)


def data_files_of(path: Path | str, root: Path | None = None) -> tuple[Path, ...]:
    """Return the files that hold the voxels of a detached header; none where they are in the same file.

    Raises:
        VolumeError, GeometryError: see `read_header`.
    """
    layout = read_header(path, root).layout
    return () if layout.is_attached else layout.files


def read_stored_volume(path: Path | str, root: Path | None = None) -> StoredVolume:
    """Read one 3D volume.

    Args:
        root: see `read_header`.

    Raises:
        VolumeError: no such file, cut off, damaged, or not one scalar 3D volume.
        GeometryError: its voxels cannot be placed, or it does not say where.
    """
    header = read_header(path, root)
    ijk_to_ras = checked_placement(header)
    array = read_voxels(header).reshape(header_shape(header))
    return StoredVolume(_scaled(array, header), ijk_to_ras)


def header_shape(header: VolumeHeader) -> tuple[int, ...]:
    """Return the shape (K, J, I) of a 3D volume."""
    kept = without_single_samples(header.sizes, header.kinds)
    return tuple(header.sizes[axis] for axis in reversed(kept))


def checked_placement(header: VolumeHeader) -> FloatArray:
    """Return the 4x4 ijk_to_ras of a file that holds one 3D volume with one number per voxel.

    Raises:
        VolumeError: it holds something else; the message says what.
        GeometryError: the header does not say where the voxels lie.
    """
    name = header.name
    count = header.count_of("component")
    series = header.count_of("list", "time")
    if "Segment0_ID" in header.pairs and series > 1:
        raise VolumeError(
            f"{name} is a segmentation of {_segments_in(header)} segments in {series} layers, expected one 3D volume; "
            "export the volume, or the segments as one labelmap"
        )
    kept = without_single_samples(header.sizes, header.kinds)
    if len([axis for axis in kept if header.kinds[axis] == "space"]) != 3 or series > 1:
        sizes = tuple(size for size, kind in zip(header.sizes, header.kinds) if kind != "component")
        raise VolumeError(
            f"{name}: expected a 3D volume, got {len(sizes)} dimensions of size {sizes}; "
            "export one volume of one moment"
        )
    if count > 1:
        raise VolumeError(f"{name}: expected one number per voxel, got {count} components (colour?); convert to grey")
    if header.ijk_to_ras is None:
        raise GeometryError(f"{name} does not say where its voxels lie; export it again")
    return header.ijk_to_ras


def _segments_in(header: VolumeHeader) -> int:
    return sum(key.startswith("Segment") and key.endswith("_ID") for key in header.pairs)


def _scaled(array: np.ndarray, header: VolumeHeader) -> np.ndarray:
    """Return the stored values with the header's slope and intercept applied: float32, or float64 where needed."""
    if header.slope == 1 and header.intercept == 0:
        return array
    kind = np.float64 if array.dtype.itemsize == 8 or array.dtype == np.float64 else np.float32
    values = np.empty(array.shape, kind)
    flat, stored = values.reshape(-1), array.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(stored), BLOCK_VOXELS):
            block = slice(start, start + BLOCK_VOXELS)
            flat[block] = stored[block].astype(np.float64) * header.slope + header.intercept
    if not np.isfinite(values).all() and (array.dtype.kind != "f" or np.isfinite(array).all()):
        raise unreadable(header.name, f"its values are scaled by {header.slope:g}, beyond the range of its type")
    return values
