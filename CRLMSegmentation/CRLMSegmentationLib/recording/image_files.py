"""The NRRD files of a session recording: written atomically, and read back bit for bit.

NRRD is written here and not by SimpleITK, since a full disk must be noticed at each write.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core.box import Box
from ..core.errors import CaseError
from ..core.geometry import RAS_TO_LPS, part_to_ras
from ..core.volume import read_volume
from .case import UNFINISHED_SUFFIX
from .message_log_writer import AppendedFile

COMPRESSION = 6
TYPES = {
    "b1": "unsigned char", "u1": "unsigned char", "i1": "signed char", "u2": "unsigned short", "i2": "short",
    "u4": "unsigned int", "i4": "int", "u8": "unsigned long long int", "i8": "long long int",
    "f4": "float", "f8": "double",
}  # fmt: skip
HEADER = """\
NRRD0005
type: {type}
dimension: 3
space: left-posterior-superior
sizes: {sizes}
space directions: {directions}
kinds: domain domain domain
endian: little
encoding: {encoding}
space origin: {origin}

"""
MARGIN = 1
"""Voxels of nothing around a mask, so that a flat one is a volume still."""


class WrittenFile(NamedTuple):
    """A file that was written completely."""

    path: Path
    size_bytes: int
    sha256: str


def write_nrrd(path: Path, array: np.ndarray, ijk_to_ras: np.ndarray, compressed: bool) -> WrittenFile:
    """Write voxels (K, J, I) and their matrix as NRRD.

    Raises:
        OSError: there is no room; nothing lies at the path then.
    """
    voxels = np.ascontiguousarray(array)
    kind = TYPES[voxels.dtype.str[1:]]
    data = voxels.astype(voxels.dtype.newbyteorder("<"), copy=False).data.cast("B")
    matrix = RAS_TO_LPS @ ijk_to_ras
    header = HEADER.format(
        type=kind,
        sizes=" ".join(str(count) for count in voxels.shape[::-1]),
        directions=" ".join(_vector(column) for column in matrix[:3, :3].T),
        encoding="gzip" if compressed else "raw",
        origin=_vector(matrix[:3, 3]),
    )
    return write_atomically(
        path, header.encode("ascii"), gzip.compress(data, COMPRESSION, mtime=0) if compressed else data
    )


def write_atomically(path: Path, *parts: bytes | memoryview) -> WrittenFile:
    """Write a file under another name, and give it its own when it is complete.

    Raises:
        OSError: there is no room; nothing lies at the path then.
    """
    unfinished = path.with_name(path.name + UNFINISHED_SUFFIX)
    unfinished.unlink(missing_ok=True)
    digest = hashlib.sha256()
    file = AppendedFile(unfinished)
    try:
        file.append(*parts)
    except OSError:
        file.close()
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    file.close()
    for part in parts:
        digest.update(part)
    os.replace(unfinished, path)
    return WrittenFile(path, sum(map(len, parts)), digest.hexdigest())


def write_mask(path: Path, part: np.ndarray, offset_kji: tuple[int, int, int], ijk_to_ras: np.ndarray) -> WrittenFile:
    """Write the part of a mask that is not empty as NRRD.

    Args:
        part: bool, shape (K, J, I), not of size 0.
        offset_kji: of its first voxel in the volume.
        ijk_to_ras: 4x4 of the volume.

    Raises:
        OSError: there is no room; nothing lies at the path then.
    """
    matrix = part_to_ras(ijk_to_ras, np.subtract(offset_kji, MARGIN).tolist())
    return write_nrrd(path, np.pad(part.astype(np.uint8), MARGIN), matrix, compressed=True)


def read_mask(path: Path, offset_kji: tuple[int, int, int], shape: tuple[int, int, int]) -> np.ndarray:
    """Read a mask into its volume: bool, of the volume's shape (K, J, I).

    Raises:
        VolumeError: the file cannot be read.
        CaseError: it does not lie in such a volume.
    """
    part = read_volume(path).array[MARGIN:-MARGIN, MARGIN:-MARGIN, MARGIN:-MARGIN] > 0
    box = Box.of_part(offset_kji, part.shape)
    if not box.is_within(Box.of_shape(shape)):
        raise CaseError(f"{path.name} at {list(offset_kji)} does not lie in a volume of {list(shape)} voxels")
    mask = np.zeros(shape, bool)
    mask[box.slices] = part
    return mask


def _vector(numbers: np.ndarray) -> str:
    return "(" + ",".join(repr(float(number)) for number in numbers) + ")"
