"""Headers of NIfTI files (.nii, .nii.gz), versions 1 and 2, of either byte order.

The format: https://nifti.nimh.nih.gov/nifti-1 and nifti-2.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ..box import Box
from ..errors import GeometryError, VolumeError
from ..geometry import transform_points
from .data import GZIP_MARK, CompressedStream, open_regular
from .header import DataLayout, VolumeHeader, check_sizes, shown, unreadable, without_single_samples
from .placement import check_spacing, placement_matrix

MAX_HEADER_BYTES = 64 << 20
"""Up to the first voxel, extensions included."""
MAX_DISAGREEMENT, MAX_TURN = 0.1, 1e-3
"""Of a voxel's smallest edge and, added to that, of the volume's diagonal, by which the two placements of a file may
differ at its corners. A quaternion leaves out its first number; where that is near 0, rounding the others to single
precision turns the volume by up to 7e-4."""
MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 1e-3}
"""By the three lowest bits of xyzt_units. 0 is "unknown": nibabel writes it for mm, and all programs read it so."""
TYPES = {2: "u1", 256: "i1", 512: "u2", 4: "i2", 768: "u4", 8: "i4", 1280: "u8", 1024: "i8", 16: "f4", 64: "f8"}
COLOURS = {128: 3, 2304: 4}
OTHER_TYPES = {1: "bits", 32: "complex", 1792: "complex", 2048: "complex", 1536: "float128"}
_SPACE = [
    ("pixdim", "f4", 8), ("vox_offset", "f4"), ("scl_slope", "f4"), ("scl_inter", "f4"), ("slice_end", "i2"),
    ("slice_code", "u1"), ("xyzt_units", "u1"), ("other", "V128"),
]  # fmt: skip
_PLACEMENT = [("quaternion", "{0}", 3), ("qoffset", "{0}", 3), ("srow", "{0}", (3, 4))]
VERSION_1 = np.dtype(
    [("sizeof_hdr", "i4"), ("unused", "V36"), ("dim", "i2", 8), ("intent", "V14"), ("datatype", "i2"), ("bitpix", "i2")]
    + [("slice_start", "i2"), *_SPACE, ("qform_code", "i2"), ("sform_code", "i2")]
    + [(key, kind.format("f4"), count) for key, kind, count in _PLACEMENT]
    + [("intent_name", "V16"), ("magic", "V4")]
)
VERSION_2 = np.dtype(
    [("sizeof_hdr", "i4"), ("magic", "V8"), ("datatype", "i2"), ("bitpix", "i2"), ("dim", "i8", 8), ("intent", "V24")]
    + [("pixdim", "f8", 8), ("vox_offset", "i8"), ("scl_slope", "f8"), ("scl_inter", "f8"), ("cal", "V32")]
    + [("slices", "V16"), ("texts", "V104"), ("qform_code", "i4"), ("sform_code", "i4")]
    + [(key, kind.format("f8"), count) for key, kind, count in _PLACEMENT]
    + [("slice_code", "i4"), ("xyzt_units", "i4"), ("rest", "V36")]
)
MAGICS = {348: (VERSION_1, b"n+1\0"), 540: (VERSION_2, b"n+2\0\r\n\x1a\n")}


class _Stored(NamedTuple):
    """The fields of a header, and whether the file is compressed."""

    words: np.void
    is_packed: bool


def read_nifti_header(path: Path, root: Path) -> VolumeHeader:
    """Read and check the header of a NIfTI file, without its voxels.

    Args:
        root: unused, since a NIfTI file names no other file.

    Raises:
        VolumeError, GeometryError: it is no such header, or describes no volume.
    """
    name = path.name
    words, is_packed = _words_of(path)
    dtype, components = _dtype_of(words, name)
    sizes, kinds = _axes_of(words, components, name)
    check_sizes(name, sizes, dtype)
    matrix = _matrix_of(words, sizes, kinds, name)
    slope, intercept = _scaling_of(words, name)
    start = _start_of(words, name)
    layout = DataLayout((path,), True, 0, 0, start, "gzip" if is_packed else "raw")
    return VolumeHeader(path, sizes, kinds, dtype, matrix, layout, slope, intercept)


def _words_of(path: Path) -> _Stored:
    """Return the fields of the header, which has one of two versions and byte orders."""
    name = path.name
    begin, is_packed = _first_bytes(path)
    order: Literal["<", ">"]
    for order in ("<", ">"):
        size = int(np.frombuffer(begin[:4].ljust(4, b"\0"), f"{order}i4")[0])
        if size not in MAGICS:
            continue
        dtype, magic = MAGICS[size]
        if len(begin) < dtype.itemsize:
            raise VolumeError(f"{name} is cut off: expected {size} bytes of header, found {len(begin)}; copy it again")
        words = np.frombuffer(begin, dtype.newbyteorder(order), count=1)[0]
        if bytes(words["magic"]) != magic:
            is_pair = bytes(words["magic"]).startswith((b"ni1", b"ni2"))
            says = "it keeps its voxels in another file (.img)" if is_pair else "it is no NIfTI file"
            raise unreadable(name, says, "export it as one .nii file")
        return _Stored(words, is_packed)
    if len(begin) < 4:
        raise VolumeError(f"{name} is cut off: expected 348 bytes of header, found {len(begin)}; copy it again")
    raise unreadable(name, "it does not begin as a NIfTI file")


def _first_bytes(path: Path) -> tuple[bytes, bool]:
    """Return the first bytes, as many as a header has, and whether they were compressed."""
    with open_regular(path) as file:
        begin = file.read(VERSION_2.itemsize)
        if not begin.startswith(GZIP_MARK):
            return begin, False
        file.seek(0)
        target = bytearray(VERSION_2.itemsize)
        count = CompressedStream(file, "gzip", path.name).readinto(memoryview(target))
        return bytes(target[:count]), True


def _dtype_of(words: np.void, name: str) -> tuple[np.dtype, int]:
    """Return the type of the voxels, and the numbers per voxel."""
    code, order = int(words["datatype"]), words.dtype["dim"].base.byteorder
    if code in COLOURS:
        return np.dtype("u1"), COLOURS[code]
    if code not in TYPES:
        raise unreadable(name, f"its voxels are of the type {OTHER_TYPES.get(code, code)}, expected real numbers")
    dtype = np.dtype(TYPES[code])
    if words["bitpix"] != dtype.itemsize * 8:
        raise unreadable(
            name, f"its type {dtype} has {dtype.itemsize * 8} bits a voxel, its header says {words['bitpix']}"
        )
    return dtype.newbyteorder(order if order in "<>" else "="), 1


def _axes_of(words: np.void, components: int, name: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the sizes and kinds of the axes: three of space, then time, then components."""
    dim = [int(n) for n in words["dim"]]
    if not 1 <= dim[0] <= 7:
        raise unreadable(name, f"it declares {dim[0]} dimensions, expected 3")
    sizes, kinds = dim[1 : dim[0] + 1], ["space"] * 3 + ["time", "component", "component", "component"]
    kinds = kinds[: len(sizes)]
    if components > 1:
        return (components, *sizes), ("component", *kinds)
    return tuple(sizes), tuple(kinds)


def _scaling_of(words: np.void, name: str) -> tuple[float, float]:
    """Return slope and intercept; a slope of 0 or NaN means that the values are stored unscaled."""
    slope, intercept = float(words["scl_slope"]), float(words["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(intercept):
        raise unreadable(name, f"its values are scaled by {slope:g} and shifted by {intercept}")
    return slope, intercept


def _start_of(words: np.void, name: str) -> int:
    offset, least = float(words["vox_offset"]), int(words["sizeof_hdr"]) + 4
    if not (least <= offset <= MAX_HEADER_BYTES and offset.is_integer()):
        raise unreadable(name, f"its voxels shall begin at byte {offset:g}, expected {least} to {MAX_HEADER_BYTES}")
    return int(offset)


def _matrix_of(words: np.void, sizes: tuple[int, ...], kinds: tuple[str, ...], name: str) -> np.ndarray | None:
    """Return the matrix from voxel indices to RAS mm, from sform, qform, or both where they agree."""
    if sum(kinds[axis] == "space" for axis in without_single_samples(sizes, kinds)) != 3:
        return None
    unit = int(words["xyzt_units"]) & 7
    if unit not in MM_PER_UNIT:
        raise GeometryError(f"{name} measures space in the unknown unit {unit}; export it again in mm")
    scale = MM_PER_UNIT[unit]
    spacing = np.array(words["pixdim"][1:4], np.float64)
    check_spacing(name, "pixdim", spacing)
    matrices = []
    if words["sform_code"] > 0:
        rows = np.array(words["srow"], np.float64)
        matrices.append(placement_matrix(name, rows[:, :3] * scale, rows[:, 3] * scale, "RAS"))
        _check_same_spacing(matrices[0], spacing * scale, name)
    if words["qform_code"] > 0:
        axes = _rotation_of(words, name) * spacing
        matrices.append(placement_matrix(name, axes * scale, np.array(words["qoffset"], np.float64) * scale, "RAS"))
    if not matrices:
        raise GeometryError(
            f"{name} does not say where its voxels lie (qform_code and sform_code are 0); export it again with them"
        )
    in_space = [size for size, kind in zip(sizes, kinds) if kind == "space"]
    _check_agreement(matrices, np.array(in_space[:3]), name)
    return matrices[0]


def _check_same_spacing(matrix: np.ndarray, spacing_mm: np.ndarray, name: str) -> None:
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.allclose(lengths, spacing_mm, rtol=1e-2):
        raise GeometryError(
            f"{name} contradicts itself: pixdim says a spacing of {np.round(spacing_mm, 4).tolist()} mm, its sform "
            f"{np.round(lengths, 4).tolist()} mm; export it again"
        )


def _check_agreement(matrices: list[np.ndarray], shape_ijk: np.ndarray, name: str) -> None:
    corners = Box.of_shape(shape_ijk[::-1].tolist()).corner_centers_ijk
    places = [transform_points(matrix, corners) for matrix in matrices]
    apart_mm = float(np.linalg.norm(places[0] - places[-1], axis=1).max())
    spacing_mm = np.linalg.norm(matrices[0][:3, :3], axis=0)
    diagonal_mm = np.linalg.norm(spacing_mm * (shape_ijk - 1))
    if apart_mm > MAX_DISAGREEMENT * spacing_mm.min() + MAX_TURN * diagonal_mm:
        raise GeometryError(
            f"{name} contradicts itself: its qform and its sform place it {apart_mm:.1f} mm apart; "
            "keep the right one (set the code of the other to 0), or export it again"
        )


def _rotation_of(words: np.void, name: str) -> np.ndarray:
    """Return the rotation matrix of the qform, (3, 3), with the third axis mirrored where pixdim[0] is negative."""
    b, c, d = (float(n) for n in words["quaternion"])
    rest = 1 - (b * b + c * c + d * d)
    mirrored = float(words["pixdim"][0])
    if not (math.isfinite(rest) and rest > -1e-5) or mirrored not in (-1.0, 0.0, 1.0):
        raise GeometryError(f"{name}: its qform is no rotation ({shown([b, c, d, mirrored])}); export it again")
    a = math.sqrt(max(0.0, rest))
    norm = math.sqrt(a * a + b * b + c * c + d * d)
    a, b, c, d = a / norm, b / norm, c / norm, d / norm
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    return rotation * [1, 1, -1 if mirrored < 0 else 1]
