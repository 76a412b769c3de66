"""Reading of the header of a sequence file, MetaImage or NRRD."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ...core.errors import SweepError

META_SUFFIXES, NRRD_SUFFIXES = (".mha", ".mhd"), (".nrrd", ".nhdr")
SEQUENCE_SUFFIXES = META_SUFFIXES + NRRD_SUFFIXES
MAX_HEADER_BYTES = 256 * 1024 * 1024
MAX_LINE_BYTES = 65536
MAX_PIXEL_BYTES = 8 * 1024**3
MAX_FIELDS = 4_000_000
"""Of all frames together: some 100,000 frames of 30 fields and more, about 1 GB in memory."""
FRAME_FIELD = re.compile(r"Seq_Frame(\d{1,9})_(.+)", re.IGNORECASE)
SPATIAL, TEMPORAL = ("domain", "space"), ("list", "time")
"""Kinds of dimensions of a picture, and of those along which pictures are listed."""
IMAGE_TYPES = ("", "XX", "N/A", "BRIGHTNESS", "RGB_COLOR")
"""What `UltrasoundImageType` may say of pictures that show brightness; the first three say nothing."""
META_TYPES = {
    "MET_UCHAR": "u1",
    "MET_CHAR": "i1",
    "MET_USHORT": "u2",
    "MET_SHORT": "i2",
    "MET_UINT": "u4",
    "MET_INT": "i4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
NRRD_TYPES = {
    **dict.fromkeys(("uint8", "uint8_t", "uchar", "unsigned char"), "u1"),
    **dict.fromkeys(("int8", "int8_t", "signed char"), "i1"),
    **dict.fromkeys(("uint16", "uint16_t", "ushort", "unsigned short"), "u2"),
    **dict.fromkeys(("int16", "int16_t", "short", "short int", "signed short"), "i2"),
    **dict.fromkeys(("uint32", "uint32_t", "uint", "unsigned int"), "u4"),
    **dict.fromkeys(("int32", "int32_t", "int", "signed int"), "i4"),
    "float": "f4",
    "double": "f8",
}
STRUCTURE = {
    *("objecttype", "ndims", "dimsize", "kinds", "elementtype", "elementdatafile", "binarydata", "headersize"),
    *("binarydatabyteordermsb", "elementbyteordermsb", "compresseddata", "compresseddatasize"),
    *("elementnumberofchannels", "ultrasoundimageorientation", "ultrasoundimagetype"),
    *("dimension", "type", "sizes", "encoding", "endian", "space", "spacedimension", "spacedirections"),
    *("spaceorigin", "datafile", "byteskip", "lineskip", "content", "spacings", "thicknesses", "centerings"),
    *("elementspacing", "offset", "transformmatrix", "centerofrotation", "anatomicalorientation", "units"),
    *("elementsize", "spaceunits", "position", "origin", "rotation", "orientation", "axismins", "axismaxs", "labels"),
}
"""Keys, without spaces, that tell how the pixels are stored: a writer makes them anew."""


class _Pixels(NamedTuple):
    """How the pixels are stored, see `SequenceHeader`."""

    shape: tuple[int, int, int, int]
    dtype: np.dtype
    pixels_path: Path
    pixels_start: int
    compression: str
    packed_bytes: int


@dataclass(frozen=True)
class SequenceHeader:
    """The header of a sequence file: how its pixels are stored, and all other fields.

    Attributes:
        shape: (N, rows, columns, channels) as in the file.
        dtype: of the pixels in the file, with their byte order.
        pixels_path: the file with the pixels.
        pixels_start: its first byte of pixels; negative: they stand at the end of the file.
        compression: "" for raw, else "zlib" or "gzip".
        packed_bytes: of compressed pixels as the header declares them, 0 where it does not.
        orientation: PLUS's letters, empty when missing.
        image_type: PLUS's word, empty when missing.
        spacing: of the pixels as the header declares it; a calibration counts in pixels and does not use it.
        frame_fields: fields of each frame that has any, by number.
        fields: all others, apart from `STRUCTURE`.
    """

    shape: tuple[int, int, int, int]
    dtype: np.dtype
    pixels_path: Path
    pixels_start: int
    compression: str
    packed_bytes: int
    orientation: str
    image_type: str
    spacing: tuple[float, ...]
    frame_fields: dict[int, dict[str, str]]
    fields: dict[str, str]

    @property
    def pixel_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def describes_sequence(path: Path) -> bool:
    """Whether a header describes tracked 2D frames; reads no further than the first field of a frame.

    Newer versions of PLUS give a volume that they reconstructed such fields as well, as of a single frame in 3D,
    whether its header lists one such frame or none.

    Raises:
        SweepError: it is no header.
    """
    is_nrrd = path.name.lower().endswith(NRRD_SUFFIXES)
    words: dict[str, list[str]] = {}
    with path.open("rb") as file:
        for key, value in _entries(file, path.name, is_nrrd):
            if key.lower() in ("kinds", "dimsize", "sizes"):
                words[key.lower()] = value.lower().split()
            if FRAME_FIELD.match(key):
                return not _is_single_volume(words.get("kinds", []), words.get("sizes" if is_nrrd else "dimsize", []))
    return False


def _is_single_volume(kinds: list[str], sizes: list[str]) -> bool:
    """Whether a header describes a single 3D image."""
    space = [size for kind, size in zip(kinds, sizes) if kind in SPATIAL]
    listed = [size for kind, size in zip(kinds, sizes) if kind in TEMPORAL]
    if not listed:
        return len(space) >= 3
    return sum(size != "1" for size in space) >= 3 and listed == ["1"]


def read_header(path: Path) -> SequenceHeader:
    """Read the header of a sequence file.

    Raises:
        SweepError: it is no header of a sequence, or tells of something that is not supported.
    """
    is_nrrd = path.name.lower().endswith(NRRD_SUFFIXES)
    words: dict[str, str] = {}
    fields: dict[str, str] = {}
    frame_fields: dict[int, dict[str, str]] = {}
    with path.open("rb") as file:
        for number, (key, value) in enumerate(_entries(file, path.name, is_nrrd)):
            if number > MAX_FIELDS:
                raise SweepError(f"{path.name} has more than {MAX_FIELDS} fields in its header; cut the sweep")
            match = FRAME_FIELD.match(key)
            if match:
                frame_fields.setdefault(int(match[1]), {})[match[2]] = value
                continue
            plain = key.replace(" ", "").lower()
            words[plain] = value
            if plain not in STRUCTURE:
                fields[key] = value
        start = file.tell()
    try:
        parts = (_nrrd_parts if is_nrrd else _meta_parts)(words, path, start)
    except KeyError as error:
        raise SweepError(f"{path.name} cannot be read: its header has no {error.args[0]}; export it again") from error
    header = SequenceHeader(
        **parts._asdict(),
        orientation=words.get("ultrasoundimageorientation", ""),
        image_type=_image_type(words.get("ultrasoundimagetype", ""), path),
        spacing=_spacing(words),
        frame_fields=frame_fields,
        fields=fields,
    )
    if header.pixel_bytes > MAX_PIXEL_BYTES:
        raise SweepError(f"{path.name} says that it holds {header.pixel_bytes / 1e9:.1f} GB of pixels; cut the sweep")
    return header


def _image_type(word: str, path: Path) -> str:
    plain = word.strip().upper().removeprefix("US_IMG_")
    if plain.startswith("RF"):
        raise SweepError(f"{path.name} holds radio-frequency data; record brightness (B-mode) images instead")
    if plain not in IMAGE_TYPES:
        raise SweepError(
            f"{path.name} holds images of type '{word[:40]}'; expected BRIGHTNESS or RGB_COLOR; record B-mode "
            "images, or correct UltrasoundImageType in the file"
        )
    return plain


def _spacing(words: dict[str, str]) -> tuple[float, ...]:
    """Return the spacing within a frame; empty where the header has none, or no numbers."""
    try:
        return tuple(float(word) for word in words.get("elementspacing", words.get("spacings", "")).split())[:2]
    except ValueError:
        return ()


def _entries(file: BinaryIO, name: str, is_nrrd: bool) -> Iterator[tuple[str, str]]:
    """Yield keys and values of a header; afterwards the file is at the first byte behind it."""
    first = file.readline(1000)
    if is_nrrd != first.startswith(b"NRRD000"):
        raise SweepError(f"{name} is not a {'NRRD' if is_nrrd else 'MetaImage'} file; check its suffix")
    if not is_nrrd:
        file.seek(0)
    while file.tell() < MAX_HEADER_BYTES:
        line = file.readline(MAX_LINE_BYTES)
        if len(line) == MAX_LINE_BYTES:
            raise SweepError(f"{name} is not a sequence file: its header has a line of more than {len(line)} bytes")
        text = line.decode("utf-8", "replace").strip()
        if is_nrrd and not text:
            return
        if not line:
            raise SweepError(f"{name} ends within its header; it is cut off, copy it again")
        if is_nrrd and text.startswith("#"):
            continue
        key, separator, value = text.partition(":" if is_nrrd else "=")
        if not separator:
            if text:
                raise SweepError(f"{name} is not a sequence file: '{text[:40]}' stands in its header")
            continue
        key, value = key.strip(), value.removeprefix("=").strip() if is_nrrd else value.strip()
        yield key, value
        if not is_nrrd and key.lower() == "elementdatafile":
            return
    raise SweepError(f"{name} has a header of more than {MAX_HEADER_BYTES // 2**20} MB")


def _meta_parts(words: dict[str, str], path: Path, start: int) -> _Pixels:
    if words.get("binarydata", "true").lower() != "true":
        raise SweepError(f"{path.name} holds its pixels as text; save it as binary")
    sizes = _integers(words["dimsize"], "DimSize", path)
    declared = _integer(words.get("elementnumberofchannels", "1"), "ElementNumberOfChannels", path)
    kinds = words.get("kinds", "").split() or _usual_kinds(sizes, declared)
    channels, sizes, kinds = _components(sizes, kinds)
    if channels != declared and "elementnumberofchannels" in words and channels > 1:
        raise SweepError(f"{path.name} has {declared} channels by ElementNumberOfChannels, but {channels} by DimSize")
    channels = max(channels, declared)
    big = words.get("binarydatabyteordermsb", words.get("elementbyteordermsb", "false")).lower() == "true"
    dtype = _dtype(META_TYPES, words["elementtype"].upper(), big, path)
    local = words["elementdatafile"].upper() == "LOCAL"
    where = path if local else _beside(path, words["elementdatafile"])
    begin = start if local else _integer(words.get("headersize", "0"), "HeaderSize", path)
    compression = "zlib" if words.get("compresseddata", "false").lower() == "true" else ""
    packed_bytes = _integer(words.get("compresseddatasize") or "0", "CompressedDataSize", path) if compression else 0
    return _Pixels(_shape(sizes, kinds, channels, path), dtype, where, begin, compression, packed_bytes)


def _usual_kinds(sizes: list[int], channels: int) -> list[str]:
    """Return the kinds of a header without them by PLUS's rule: the last dimension lists the frames."""
    colour = ["vector"] if len(sizes) == 4 and channels > 1 and sizes[0] == channels else []
    return colour + ["domain"] * (len(sizes) - 1 - len(colour)) + ["list"]


def _components(sizes: list[int], kinds: list[str]) -> tuple[int, list[int], list[str]]:
    """Remove a first dimension of components, such as "vector" or "RGB-color", from sizes and kinds."""
    if kinds and kinds[0].lower() not in (*SPATIAL, *TEMPORAL):
        if len(kinds) == len(sizes) and sizes:
            return sizes[0], sizes[1:], kinds[1:]
        return 1, sizes, kinds[1:]
    return 1, sizes, kinds


def _nrrd_parts(words: dict[str, str], path: Path, start: int) -> _Pixels:
    sizes, kinds = _integers(words["sizes"], "sizes", path), words["kinds"].split()
    encoding = words["encoding"].lower()
    compression = {"raw": "", "gz": "gzip", "gzip": "gzip"}.get(encoding)
    if compression is None:
        raise SweepError(f"{path.name} is stored with encoding '{encoding}'; expected raw or gzip, save it again")
    channels, sizes, kinds = _components(sizes, kinds)
    dtype = _dtype(NRRD_TYPES, words["type"].lower(), words.get("endian", "little").lower() == "big", path)
    local = "datafile" not in words
    if _integer(words.get("lineskip", "0"), "line skip", path):
        raise SweepError(f"{path.name} skips lines of its data file; save it again")
    skip = _integer(words.get("byteskip", "0"), "byte skip", path)
    if skip and compression:
        raise SweepError(f"{path.name} skips {skip} bytes of compressed data; save it again")
    where = path if local else _beside(path, words["datafile"])
    begin = start + skip if local and skip >= 0 else skip
    return _Pixels(_shape(sizes, kinds, channels, path), dtype, where, begin, compression, 0)


def _shape(sizes: list[int], kinds: list[str], channels: int, path: Path) -> tuple[int, int, int, int]:
    if len(kinds) != len(sizes):
        raise SweepError(f"{path.name} has {len(sizes)} dimensions but {len(kinds)} kinds of them")
    is_space = [kind.lower() in SPATIAL for kind in kinds]
    unknown = [kind for kind in kinds if kind.lower() not in (*SPATIAL, *TEMPORAL)]
    if unknown:
        raise SweepError(f"{path.name} has a dimension of kind '{unknown[0][:40]}'; expected domain and list")
    space = [size for size, yes in zip(sizes, is_space) if yes]
    others = [size for size, yes in zip(sizes, is_space) if not yes]
    if len(space) < 2 or len(others) > 1 or (others and is_space[-1]):
        raise SweepError(f"{path.name} is no list of 2D frames: its dimensions are {' '.join(kinds)}")
    if prod(space[2:]) > 1:
        raise SweepError(f"{path.name} holds 3D frames of {space} voxels; expected 2D frames")
    columns, rows = space[:2]
    count = others[0] if others else 1
    if min(columns, rows, count, channels) < 1 or not prod(space[2:]):
        raise SweepError(f"{path.name} holds no images: {sizes}; record the pictures together with the tracking")
    return count, rows, columns, channels


def _dtype(types: dict[str, str], word: str, big_endian: bool, path: Path) -> np.dtype:
    if word not in types:
        raise SweepError(f"{path.name} holds pixels of type {word}; expected one of {', '.join(types)}")
    return np.dtype((">" if big_endian else "<") + types[word])


def _integers(text: str, key: str, path: Path) -> list[int]:
    try:
        return [int(word) for word in text.split()]
    except ValueError as error:
        raise SweepError(f"{path.name}: {key} must be whole numbers, got '{text[:40]}'") from error


def _integer(text: str, key: str, path: Path) -> int:
    numbers = _integers(text, key, path)
    if len(numbers) != 1:
        raise SweepError(f"{path.name}: {key} must be one whole number, got '{text[:40]}'")
    return numbers[0]


def _beside(path: Path, name: str) -> Path:
    """Return the file of pixels that a header names: in the header's folder or below, and no list of files."""
    if name.upper().split()[:1] == ["LIST"] or "%" in name:
        raise SweepError(f"{path.name} spreads its pixels over several files; save it as one")
    where = path.parent / name
    if "\0" in name or not where.resolve().is_relative_to(path.parent.resolve()):
        raise SweepError(f"{path.name} names pixels outside its folder: {name}; put both files into one folder")
    return where
