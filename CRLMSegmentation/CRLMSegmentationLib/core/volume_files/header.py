"""The content of a volume file's header, in the same form for every format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from ..errors import VolumeError

MAX_DIMENSIONS = 16
"""Of an NRRD file by its definition; files of other formats have fewer."""
MAX_VOLUME_BYTES = 2 << 30
"""Voxels of a volume, as its header declares them. A sweep at 0.3 mm that fills 300 mm a side is half as large."""
MAX_SHOWN = 60
"""Characters of a header that an error shows."""


@dataclass(frozen=True)
class DataLayout:
    """Where the voxels of a volume are stored.

    Attributes:
        files: the files with the voxels, in their order; each holds the same number of bytes.
        is_attached: the voxels stand in the file of the header.
        start: first byte behind the header in an attached file, else 0.
        line_skip, byte_skip: lines and bytes that stand before the voxels in each file; bytes are counted after
            decompression. A byte skip of -1 means that the voxels stand at the end of the file.
        encoding: "raw", "gzip", "zlib", "bzip2" or "text".
        packed_bytes: size of the compressed data where the header names it, else None.
        may_end_early: other data may follow the voxels, as in a recording into which a header points.
    """

    files: tuple[Path, ...]
    is_attached: bool
    start: int = 0
    line_skip: int = 0
    byte_skip: int = 0
    encoding: str = "raw"
    packed_bytes: int | None = None
    may_end_early: bool = False


@dataclass(frozen=True, eq=False)
class VolumeHeader:
    """The sizes, types and placement of the voxels of a file.

    Attributes:
        path: of the file that was named.
        sizes: numbers of samples along the axes of the file, the fastest first.
        kinds: what each axis counts: "space", "component" (such as colour), "list" or "time".
        dtype: of the voxels in the file, with their byte order.
        ijk_to_ras: 4x4, mm; None where the file has not three axes in space.
        layout: where the voxels are stored.
        slope, intercept: value = slope * stored + intercept.
        pairs: further words of the header, such as the names of segments, by their key.
    """

    path: Path
    sizes: tuple[int, ...]
    kinds: tuple[str, ...]
    dtype: np.dtype
    ijk_to_ras: np.ndarray | None
    layout: DataLayout
    slope: float = 1.0
    intercept: float = 0.0
    pairs: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def declared_bytes(self) -> int:
        """Size of all voxels before compression, in bytes."""
        return prod(self.sizes) * self.dtype.itemsize

    def count_of(self, *kinds: str) -> int:
        """Return the number of samples per voxel along axes of some kinds."""
        return prod(size for size, kind in zip(self.sizes, self.kinds) if kind in kinds)


def unreadable(name: str, reason: str, remedy: str = "export it again") -> VolumeError:
    """Return the error for a file that cannot be read, with the reason and what to do."""
    return VolumeError(f"{name} cannot be read as a volume: {reason}; {remedy}")


def shown(text: object) -> str:
    """Return a part of a header as an error shows it: quoted and cut."""
    printed = ascii(text)
    return printed if len(printed) <= MAX_SHOWN else printed[:MAX_SHOWN] + " ..."


def check_sizes(name: str, sizes: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise an error for impossible numbers of voxels, before any is read.

    Raises:
        VolumeError: too many dimensions, one that is not positive, or more bytes than `MAX_VOLUME_BYTES`.
    """
    if not 1 <= len(sizes) <= MAX_DIMENSIONS:
        raise unreadable(name, f"it declares {len(sizes)} dimensions, expected 3")
    if min(sizes) < 1:
        raise unreadable(name, f"its size must be positive along each axis, got {shown(sizes)}")
    declared = prod(sizes) * dtype.itemsize
    if declared > MAX_VOLUME_BYTES:
        raise VolumeError(
            f"{name} declares {shown(declared)} bytes of voxels (size {shown(sizes)}), more than the "
            f"{MAX_VOLUME_BYTES} that are read; crop it or resample it to larger voxels"
        )


def without_single_samples(sizes: tuple[int, ...], kinds: tuple[str, ...]) -> list[int]:
    """Return the axes of a file without those of time, lists or components that have a single sample.

    A fourth axis in space with one sample is a time series of one volume, and is left out too.

    Returns:
        Indices into the axes, ascending.
    """
    kept = [axis for axis, (size, kind) in enumerate(zip(sizes, kinds)) if kind == "space" or size > 1]
    while sum(kinds[axis] == "space" for axis in kept) > 3 and sizes[kept[-1]] == 1:
        kept.pop()
    return kept


def integers(name: str, key: str, text: str) -> tuple[int, ...]:
    """Return the integers of a header's field."""
    try:
        numbers = tuple(int(word) for word in text.split()[: MAX_DIMENSIONS + 1] if len(word) <= 20)
    except ValueError as error:
        raise unreadable(name, f"{key} must be whole numbers, got {shown(text)}") from error
    if len(numbers) != len(text.split()):
        raise unreadable(name, f"{key} must be at most {MAX_DIMENSIONS} whole numbers, got {shown(text)}")
    return numbers


def integer(name: str, key: str, text: str) -> int:
    """Return the single integer of a header's field."""
    numbers = integers(name, key, text)
    if len(numbers) != 1:
        raise unreadable(name, f"{key} must be one whole number, got {shown(text)}")
    return numbers[0]


def finite_numbers(name: str, key: str, text: str, count: int) -> np.ndarray:
    """Return the numbers of a header's field, float64, shape (count,)."""
    try:
        numbers = np.array([float(word) for word in text.split()])
    except ValueError as error:
        raise unreadable(name, f"{key} must be numbers, got {shown(text)}") from error
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise unreadable(name, f"{key} must be {count} finite numbers, got {shown(text)}")
    return numbers
