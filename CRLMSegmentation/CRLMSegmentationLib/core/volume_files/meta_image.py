"""Headers of MetaImage files: .mha, and .mhd, whose voxels are in other files.

The format: https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import GeometryError
from .data import open_regular
from .header import (
    DataLayout,
    VolumeHeader,
    check_sizes,
    finite_numbers,
    integer,
    integers,
    shown,
    unreadable,
    without_single_samples,
)
from .placement import check_directions, check_spacing, mm_per_unit, placement_matrix
from .text_header import MAX_DATA_FILES, data_file, ended_in_header, lines_in, numbered_files

TYPES = {
    "MET_UCHAR": "u1",
    "MET_CHAR": "i1",
    "MET_USHORT": "u2",
    "MET_SHORT": "i2",
    "MET_UINT": "u4",
    "MET_INT": "i4",
    "MET_ULONG": "u4",
    "MET_LONG": "i4",
    "MET_ULONG_LONG": "u8",
    "MET_LONG_LONG": "i8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
ALIASES = {
    **dict.fromkeys(("rotation", "orientation"), "transformmatrix"),
    **dict.fromkeys(("position", "origin"), "offset"),
    "elementbyteordermsb": "binarydatabyteordermsb",
}
"""Older names of fields."""
FIELDS = {
    *("objecttype", "ndims", "binarydata", "binarydatabyteordermsb", "compresseddata", "compresseddatasize"),
    *("transformmatrix", "offset", "centerofrotation", "anatomicalorientation", "elementspacing", "elementsize"),
    *("dimsize", "headersize", "elementnumberofchannels", "elementtype", "distanceunits", "elementdatafile"),
    *("elementtointensityfunctionslope", "elementtointensityfunctionoffset"),
}
LETTERS = ("RL", "AP", "IS")
"""Letters of AnatomicalOrientation for the axes of LPS: where an axis begins, and where it ends."""
UNITS = {"?": "mm", "": "mm"}
"""Units that are not given; all programs read MetaImage in mm then."""


def read_meta_image_header(path: Path, root: Path) -> VolumeHeader:
    """Read and check the header of a MetaImage file, without its voxels.

    Args:
        root: folder in which files of voxels must lie.

    Raises:
        VolumeError, GeometryError: it is no such header, or describes no volume.
    """
    name = path.name
    with open_regular(path) as file:
        fields, listed = _fields_of(lines_in(file, name), name)
        start = file.tell()
    for key in ("NDims", "DimSize", "ElementType"):
        if key.lower() not in fields:
            raise unreadable(name, f"its header has no {key}")
    if fields.get("objecttype", "Image").lower() != "image":
        raise unreadable(name, f"it holds an object of the type {shown(fields['objecttype'])}, expected Image")
    dtype = _dtype_of(fields, name)
    sizes = integers(name, "DimSize", fields["dimsize"])
    if len(sizes) != integer(name, "NDims", fields["ndims"]):
        raise unreadable(name, f"NDims is {shown(fields['ndims'])}, but DimSize has {len(sizes)} numbers")
    check_sizes(name, sizes, dtype)
    matrix = _matrix_of(fields, sizes, name)
    channels = integer(name, "ElementNumberOfChannels", fields.get("elementnumberofchannels", "1"))
    all_sizes = (channels, *sizes) if channels != 1 else sizes
    check_sizes(name, all_sizes, dtype)
    kinds = ("component",) * (channels != 1) + ("space",) * len(sizes)
    layout = _layout_of(fields, listed, path, root, start, sizes[-1])
    return VolumeHeader(path, all_sizes, kinds, dtype, matrix, layout)


def _fields_of(lines: Iterator[tuple[str, bool]], name: str) -> tuple[dict[str, str], list[str]]:
    """Return the fields by lower-case name, and the data files listed at the end."""
    fields: dict[str, str] = {}
    for line, is_complete in lines:
        key, separator, value = line.partition("=")
        if not separator and line:
            raise unreadable(name, f"its header has the line {shown(line)}, which is no field")
        plain = ALIASES.get(key.strip().lower(), key.strip().lower())
        if plain not in FIELDS:
            continue
        if plain in fields and fields[plain] != value.strip():
            raise unreadable(name, f"its header has twice the field {shown(key.strip())}")
        fields[plain] = value.strip()
        if plain == "elementdatafile":
            is_list = value.split()[:1] == ["LIST"]
            return fields, [text for text, _ in lines if text] if is_list else []
        if not is_complete:
            break
    raise ended_in_header(name)


def _flag(fields: dict[str, str], key: str, default: str, name: str) -> bool:
    word = fields.get(key, default).lower()
    if word not in ("true", "false", "1", "0", "t", "f"):
        raise unreadable(name, f"{key} must be True or False, got {shown(word)}")
    return word in ("true", "1", "t")


def _dtype_of(fields: dict[str, str], name: str) -> np.dtype:
    word = fields["elementtype"].upper()
    if word not in TYPES:
        raise unreadable(name, f"its voxels are of the type {shown(word)}, expected one of {', '.join(TYPES)}")
    slope = finite_numbers(name, "slope", fields.get("elementtointensityfunctionslope", "1"), 1)
    shift = finite_numbers(name, "offset", fields.get("elementtointensityfunctionoffset", "0"), 1)
    if slope != 1 or shift != 0:
        raise unreadable(name, "it declares a function from stored values to intensities", "export the intensities")
    is_big = _flag(fields, "binarydatabyteordermsb", "False", name)
    return np.dtype((">" if is_big else "<") + TYPES[word])


def _matrix_of(fields: dict[str, str], sizes: tuple[int, ...], name: str) -> np.ndarray | None:
    """Return the matrix from voxel indices to RAS mm; None where there are not three axes in space.

    Coordinates are LPS. An absent TransformMatrix is the identity, and an absent Offset 0, as the format says.
    """
    count = len(sizes)
    if len(without_single_samples(sizes, ("space",) * count)) != 3:
        return None
    identity = " ".join(str(int(n)) for n in np.eye(count).ravel())
    axes = finite_numbers(name, "TransformMatrix", fields.get("transformmatrix", identity), count**2)
    axes = axes.reshape(count, count).T
    offset = finite_numbers(name, "Offset", fields.get("offset", " 0" * count), count)
    center = finite_numbers(name, "CenterOfRotation", fields.get("centerofrotation", " 0" * count), count)
    if axes[3:, :3].any() or axes[:3, 3:].any():
        raise GeometryError(f"{name}: TransformMatrix turns space into the fourth dimension; export it again")
    axes, spacing = axes[:3, :3], _spacing_of(fields, count, name)
    check_directions(name, "TransformMatrix", axes)
    if center.any() and not np.allclose(axes, np.eye(3)):
        raise GeometryError(f"{name}: it turns about a CenterOfRotation other than 0, which programs read differently")
    _check_letters(fields, axes, name)
    scale = mm_per_unit(name, [UNITS.get(fields.get("distanceunits", "?"), fields.get("distanceunits", "?"))] * 3)
    return placement_matrix(name, axes * spacing * scale, offset[:3] * scale, "LPS")


def _spacing_of(fields: dict[str, str], count: int, name: str) -> np.ndarray:
    """Return the spacing along i, j, k, or ElementSize where there is no ElementSpacing, as the format says."""
    key = "elementspacing" if "elementspacing" in fields else "elementsize"
    if key not in fields:
        raise GeometryError(f"{name} does not say how large its voxels are: no ElementSpacing; export it again")
    spacing = finite_numbers(name, "ElementSpacing", fields[key], count)[:3]
    check_spacing(name, "ElementSpacing", spacing)
    return spacing


def _check_letters(fields: dict[str, str], axes: np.ndarray, name: str) -> None:
    """Raise an error where AnatomicalOrientation contradicts the directions of the axes.

    ITK writes where each axis begins (RAI for the identity), others where it ends (LPS).
    """
    letters = fields.get("anatomicalorientation", "???").upper()
    if len(letters) != 3 or {next((n for n, pair in enumerate(LETTERS) if x in pair), -1) for x in letters} != {
        0,
        1,
        2,
    }:
        return
    along = [next(n for n, pair in enumerate(LETTERS) if letter in pair) for letter in letters]
    begins = [1 if letter == LETTERS[n][0] else -1 for n, letter in zip(along, letters)]
    cosines = np.array([axes[n, column] * sign for column, (n, sign) in enumerate(zip(along, begins))])
    if not ((cosines > 0).all() or (cosines < 0).all()):
        raise GeometryError(
            f"{name} contradicts itself: AnatomicalOrientation is {letters}, but TransformMatrix has other directions; "
            "correct the wrong one, or export it again"
        )


def _layout_of(
    fields: dict[str, str], listed: list[str], path: Path, root: Path, start: int, slices: int
) -> DataLayout:
    name, named = path.name, fields["elementdatafile"]
    encoding, packed_bytes = _encoding_of(fields, name)
    skip = integer(name, "HeaderSize", fields.get("headersize", "0"))
    is_local = named.upper() == "LOCAL"
    if skip < -1 or (skip and encoding != "raw") or (skip > 0 and is_local):
        raise unreadable(name, f"it skips {skip} bytes (HeaderSize) before voxels that are {encoding}")
    if is_local:
        return DataLayout((path,), True, start, 0, skip, encoding, packed_bytes)
    files = tuple(data_file(path, each, root) for each in _data_names(named, listed, name))
    if slices % len(files) or (len(files) > 1 and packed_bytes is not None):
        raise unreadable(name, f"its {slices} slices cannot be spread over {len(files)} data files")
    return DataLayout(files, False, 0, 0, skip, encoding, packed_bytes)


def _encoding_of(fields: dict[str, str], name: str) -> tuple[str, int | None]:
    """Return the encoding of the voxels, and their compressed size where the header gives it."""
    if not _flag(fields, "compresseddata", "False", name):
        return ("raw" if _flag(fields, "binarydata", "True", name) else "text"), None
    if not _flag(fields, "binarydata", "True", name):
        raise unreadable(name, "it is compressed text, which is not supported")
    if "compresseddatasize" not in fields:
        return "zlib", None
    packed_bytes = integer(name, "CompressedDataSize", fields["compresseddatasize"])
    if packed_bytes < 1:
        raise unreadable(name, f"CompressedDataSize is {packed_bytes}")
    return "zlib", packed_bytes


def _data_names(text: str, listed: list[str], name: str) -> list[str]:
    is_list = text.split()[:1] == ["LIST"]
    names = listed if is_list else numbered_files(name, text) if "%" in text else [text]
    if not 1 <= len(names) <= MAX_DATA_FILES:
        raise unreadable(name, f"it names {len(names)} data files, expected 1 to {MAX_DATA_FILES}")
    return names
