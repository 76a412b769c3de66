"""Headers of NRRD files: .nrrd, and .nhdr, whose voxels are in other files.

The format: https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from ..errors import GeometryError
from .data import open_regular
from .header import (
    MAX_DIMENSIONS,
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
from .placement import check_spacing, mm_per_unit, placement_matrix
from .text_header import MAX_DATA_FILES, data_file, ended_in_header, lines_in, numbered_files

MAGIC = re.compile(r"NRRD000[1-6]")
TYPES = {
    **dict.fromkeys(("uint8", "uint8_t", "uchar", "unsigned char"), "u1"),
    **dict.fromkeys(("int8", "int8_t", "signed char"), "i1"),
    **dict.fromkeys(("uint16", "uint16_t", "ushort", "unsigned short", "unsigned short int"), "u2"),
    **dict.fromkeys(("int16", "int16_t", "short", "short int", "signed short", "signed short int"), "i2"),
    **dict.fromkeys(("uint32", "uint32_t", "uint", "unsigned int"), "u4"),
    **dict.fromkeys(("int32", "int32_t", "int", "signed int"), "i4"),
    **dict.fromkeys(("uint64", "uint64_t", "ulonglong", "unsigned long long", "unsigned long long int"), "u8"),
    **dict.fromkeys(("int64", "int64_t", "longlong", "long long", "long long int"), "i8"),
    **dict.fromkeys(("signed long long", "signed long long int"), "i8"),
    "float": "f4",
    "double": "f8",
}
ENCODINGS = {
    "raw": "raw",
    **dict.fromkeys(("gz", "gzip"), "gzip"),
    **dict.fromkeys(("bz2", "bzip2"), "bzip2"),
    **dict.fromkeys(("txt", "text", "ascii"), "text"),
}
FRAMES = {
    **dict.fromkeys(("right-anterior-superior", "ras", "right-anterior-superior-time", "rast"), "RAS"),
    **dict.fromkeys(("left-anterior-superior", "las", "left-anterior-superior-time", "last"), "LAS"),
    **dict.fromkeys(("left-posterior-superior", "lps", "left-posterior-superior-time", "lpst"), "LPS"),
}
SPACE_KINDS = ("domain", "space")
NO_KIND = ("???", "none")
SERIES_KINDS = {"list": "list", "time": "time"}
FIELDS = {
    *("dimension", "type", "blocksize", "encoding", "endian", "content", "oldmin", "oldmax", "datafile", "lineskip"),
    *("byteskip", "number", "sampleunits", "sizes", "spacings", "thicknesses", "axismins", "axismaxs", "centers"),
    *("centerings", "labels", "units", "kinds", "min", "max", "space", "spacedimension", "spaceunits", "spaceorigin"),
    *("spacedirections", "measurementframe"),
}
VECTOR = re.compile(r"none|\(([^()]*)\)")


def read_nrrd_header(path: Path, root: Path) -> VolumeHeader:
    """Read and check the header of an NRRD file, without its voxels.

    Args:
        root: folder in which files of voxels must lie.

    Raises:
        VolumeError, GeometryError: it is no such header, or describes no volume.
    """
    with open_regular(path) as file:
        fields, pairs, listed = _fields_of(lines_in(file, path.name), path.name)
        start = file.tell()
    name = path.name
    for key in ("dimension", "type", "sizes", "encoding"):
        if key not in fields:
            raise unreadable(name, f"its header has no {key}")
    dtype = _dtype_of(fields, name)
    sizes = integers(name, "sizes", fields["sizes"])
    if len(sizes) != integer(name, "dimension", fields["dimension"]) or len(sizes) > MAX_DIMENSIONS:
        raise unreadable(name, f"it declares {shown(fields['dimension'])} dimensions, but {len(sizes)} sizes")
    check_sizes(name, sizes, dtype)
    kinds = _kinds_of(fields, len(sizes), name)
    matrix = _matrix_of(fields, sizes, kinds, name)
    layout = _layout_of(fields, listed, path, root, start, sizes)
    dtype = _with_byte_order(dtype, fields, layout.encoding, name)
    return VolumeHeader(path, sizes, kinds, dtype, matrix, layout, pairs=pairs)


def _fields_of(lines: Iterator[tuple[str, bool]], name: str) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Return the fields by name, in lower case without spaces, the key/value pairs, and the listed data files."""
    first, _ = next(lines, ("", False))
    if not MAGIC.fullmatch(first):
        raise unreadable(name, "it does not begin with NRRD0001 to NRRD0006")
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    for line, is_complete in lines:
        if not line:
            return fields, pairs, []
        if line.startswith("#"):
            continue
        key, separator, value = line.partition(":")
        if not separator:
            raise unreadable(name, f"its header has the line {shown(line)}, which is no field")
        plain = key.replace(" ", "").lower()
        if value.startswith("=") or (plain not in FIELDS and ":=" in value):  # a colon may stand in a key
            pairs[line.partition(":=")[0].strip()] = line.partition(":=")[2].strip()
            continue
        if plain not in FIELDS or plain in fields:
            raise unreadable(name, f"its header has {'twice ' * (plain in fields)}the field {shown(key)}")
        fields[plain] = value.strip()
        if plain == "datafile" and value.split()[:1] == ["LIST"]:
            return fields, pairs, [text for text, _ in lines if text]
        if not is_complete and plain != "datafile":
            raise ended_in_header(name)
    if "datafile" not in fields:
        raise ended_in_header(name)
    return fields, pairs, []


def _dtype_of(fields: dict[str, str], name: str) -> np.dtype:
    word = " ".join(fields["type"].lower().split())
    if word not in TYPES:
        raise unreadable(name, f"its voxels are of the type {shown(word)}, expected one of {', '.join(TYPES)}")
    return np.dtype(TYPES[word])


def _with_byte_order(dtype: np.dtype, fields: dict[str, str], encoding: str, name: str) -> np.dtype:
    order = fields.get("endian", "").lower()
    if dtype.itemsize == 1 or encoding == "text":
        return dtype
    if order not in ("little", "big"):
        raise unreadable(name, f"endian must be little or big, got {shown(order) if order else 'none'}")
    ordered: np.dtype = dtype.newbyteorder("<" if order == "little" else ">")
    return ordered


def _kinds_of(fields: dict[str, str], count: int, name: str) -> tuple[str, ...]:
    """Return the kind of each axis, from its declared kind and from whether it has a direction in space."""
    words = fields["kinds"].lower().split() if "kinds" in fields else ["???"] * count
    directions = _directions(fields, count, name)
    if len(words) != count:
        raise unreadable(name, f"it has {count} dimensions, but {len(words)} kinds of them")
    if directions is None:
        return tuple(_kind_of(word, word in (*SPACE_KINDS, *NO_KIND)) for word in words)
    for word, direction in zip(words, directions):
        if direction is not None and word not in (*SPACE_KINDS, *NO_KIND):
            raise unreadable(name, f"an axis of the kind {shown(word)} has a direction in space")
    return tuple(_kind_of(word, direction is not None) for word, direction in zip(words, directions))


def _kind_of(word: str, is_space: bool) -> str:
    """Return the kind of an axis; one declared as "domain" without a direction is a list of volumes."""
    if is_space:
        return "space"
    return "list" if word in SPACE_KINDS else SERIES_KINDS.get(word, "component")


def _directions(fields: dict[str, str], count: int, name: str) -> list[np.ndarray | None] | None:
    """Return the direction vector of each axis, None for an axis without one; None where the header has none."""
    text = fields.get("spacedirections")
    if text is None:
        return None
    found = list(VECTOR.finditer(text.replace("none", " none ")))
    left = VECTOR.sub("", text)
    if len(found) != count or left.strip():
        raise unreadable(name, f"space directions must be {count} vectors or none, got {shown(text)}")
    return [None if vector[1] is None else _vector(vector[1], "space directions", name) for vector in found]


def _vector(text: str, key: str, name: str) -> np.ndarray:
    return finite_numbers(name, key, text.replace(",", " "), text.count(",") + 1)


def _matrix_of(fields: dict[str, str], sizes: tuple[int, ...], kinds: tuple[str, ...], name: str) -> np.ndarray | None:
    """Return the matrix from voxel indices to RAS mm, or None where there are not three axes in space."""
    kept = [axis for axis in without_single_samples(sizes, kinds) if kinds[axis] == "space"]
    if len(kept) != 3:
        return None
    directions = _directions(fields, len(sizes), name)
    frame = _frame_of(fields, sum(kind == "space" for kind in kinds), name)
    if directions is None or "spaceorigin" not in fields:
        missing = "space directions" if directions is None else "space origin"
        raise GeometryError(f"{name} does not say where its voxels lie: its header has no {missing}; export it again")
    _check_no_spacings(fields, kept, name)
    vectors = [vector for axis in kept if (vector := directions[axis]) is not None]
    origin = _vector(fields["spaceorigin"].strip("() "), "space origin", name)
    if (
        len(vectors) != 3
        or len(origin) < 3
        or any(len(vector) != len(origin) or vector[3:].any() for vector in vectors)
    ):
        raise GeometryError(f"{name}: space directions and origin must be vectors of 3 numbers; export it again")
    axes = np.array(vectors).T
    scale = _unit_scale(fields, name)
    return placement_matrix(name, axes[:3] * scale[:, None], origin[:3] * scale, frame)


def _frame_of(fields: dict[str, str], count: int, name: str) -> str:
    """Return the frame of the axes, RAS, LAS or LPS; time series of ITK declare none, and are LPS as all of ITK."""
    space = fields.get("space", "").lower()
    if space in FRAMES:
        return FRAMES[space]
    if not space and count > 3 and fields.get("spacedimension") == str(count):
        return "LPS"
    says = f"its space is {shown(space)}" if space else "its header has no space"
    raise GeometryError(
        f"{name} does not say which way its axes point in the patient: {says}; expected left-posterior-superior, "
        "right-anterior-superior or left-anterior-superior: write the right one into its header, or export it again"
    )


def _check_no_spacings(fields: dict[str, str], kept: list[int], name: str) -> None:
    """Raise an error where a header has spacings in addition to directions, which include the spacing already."""
    words = fields.get("spacings", "").split()
    doubled = [words[axis] for axis in kept if axis < len(words) and words[axis].lower() not in ("nan", "none")]
    if doubled:
        spacing = finite_numbers(name, "spacings", " ".join(doubled), len(doubled))
        check_spacing(name, "spacings", spacing)
        raise GeometryError(f"{name} has spacings as well as space directions; expected directions alone")


def _unit_scale(fields: dict[str, str], name: str) -> np.ndarray:
    """Return the mm per unit along each coordinate of the space; an empty or missing unit means mm."""
    units = re.findall(r'"([^"]*)"', fields["spaceunits"]) if "spaceunits" in fields else ["mm"] * 3
    units = units or fields["spaceunits"].split()
    return mm_per_unit(name, [unit.strip() or "mm" for unit in units[:3]])


def _layout_of(
    fields: dict[str, str], listed: list[str], path: Path, root: Path, start: int, sizes: tuple[int, ...]
) -> DataLayout:
    name = path.name
    encoding = ENCODINGS.get(fields["encoding"].lower())
    if encoding is None:
        raise unreadable(name, f"its encoding is {shown(fields['encoding'])}, expected {', '.join(ENCODINGS)}")
    skips = {key: integer(name, key, fields.get(key, "0")) for key in ("lineskip", "byteskip")}
    line_skip, byte_skip = skips["lineskip"], skips["byteskip"]
    if line_skip < 0 or byte_skip < (-1 if encoding == "raw" else 0):
        raise unreadable(name, f"it skips {line_skip} lines and {byte_skip} bytes")
    layout = DataLayout((path,), True, start, line_skip, byte_skip, encoding)
    if "datafile" not in fields:
        return layout
    names, dimensions = _data_names(fields["datafile"], listed, name)
    _check_parts(len(names), dimensions, sizes, name)
    files = tuple(data_file(path, named, root) for named in names)
    points_into = encoding == "raw" and byte_skip > 0
    return replace(layout, files=files, is_attached=False, start=0, may_end_early=points_into)


def _data_names(text: str, listed: list[str], name: str) -> tuple[list[str], int | None]:
    """Return the names of the data files, and the number of dimensions of each where the header gives it."""
    words = text.split()
    if words[:1] == ["LIST"]:
        if not 1 <= len(listed) <= MAX_DATA_FILES:
            raise unreadable(name, f"it lists {len(listed)} data files, expected 1 to {MAX_DATA_FILES}")
        return listed, integer(name, "data file", words[1]) if len(words) == 2 else None
    if "%" not in text:
        return [text], None
    if len(words) > 4 and words[-1].isdigit():
        return numbered_files(name, " ".join(words[:-1])), integer(name, "data file", words[-1])
    return numbered_files(name, text), None


def _check_parts(count: int, dimensions: int | None, sizes: tuple[int, ...], name: str) -> None:
    """Raise an error where the volume cannot be split into as many equal parts as there are files."""
    if count == 1:
        return
    each = len(sizes) - 1 if dimensions is None else dimensions
    is_cut_last = each == len(sizes) and sizes[-1] % count == 0
    fits = is_cut_last or (1 <= each < len(sizes) and prod(sizes[each:]) == count)
    if not fits:
        raise unreadable(name, f"its size {shown(sizes)} cannot be spread over {count} data files of {each} dimensions")
