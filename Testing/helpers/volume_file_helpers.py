"""Volume files in every format, whole and made wrong on purpose."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

SPACING = (0.5, 1.25, 2.0)
FORMATS = {
    "raw.nrrd": False,
    "gzip.nrrd": True,
    "raw.mha": False,
    "zlib.mha": True,
    "raw.nii": False,
    "gzip.nii.gz": True,
    "detached.nhdr": False,
    "detached-gzip.nhdr": True,
    "detached.mhd": False,
    "detached-zlib.mhd": True,
}
"""Names of files and whether their voxels are compressed."""


def grey_values(dtype: str = "u1", shape: tuple[int, ...] = (4, 5, 6)) -> np.ndarray:
    values = np.random.default_rng(5).integers(0, 100, shape)
    return (values - (50 if dtype[0] in "if" else 0)).astype(dtype)


def oblique_image(array: np.ndarray) -> sitk.Image:
    """An image that is turned about two axes and left-handed."""
    a, b = np.radians(30), np.radians(20)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    image.SetOrigin((10.0, -20.0, 30.5))
    image.SetDirection(turn.ravel().tolist())
    return image


def write(folder: Path, name: str, array: np.ndarray | None = None) -> Path:
    """Write an oblique volume under one of the names of `FORMATS`; gives the path."""
    path = folder / name
    image = oblique_image(grey_values() if array is None else array)
    sitk.WriteImage(image, str(path), useCompression=FORMATS.get(name, False))
    return path


def data_file_of(path: Path) -> Path:
    """The file with the voxels: the one beside a detached header, or the same."""
    others = [p for p in path.parent.iterdir() if p != path and p.name.startswith(path.name.split(".")[0] + ".")]
    return others[0] if path.suffix in (".nhdr", ".mhd") else path


def change(path: Path, old: bytes, new: bytes) -> Path:
    """Replace a part of a file that must be there."""
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


def nrrd(folder: Path, lines: list[str], data: bytes, name: str = "v.nrrd") -> Path:
    """An NRRD file of the lines of its header."""
    path = folder / name
    path.write_bytes("\n".join(["NRRD0004", *lines, "", ""]).encode() + data)
    return path


def nrrd_lines(**changed: str | None) -> list[str]:
    """Lines of the header of 2 x 3 x 4 bytes; None leaves one out."""
    fields = {
        "type": "uint8",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "2 3 4",
        "space_directions": "(1,0,0) (0,1,0) (0,0,1)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space_origin": "(0,0,0)",
    }
    fields.update(changed)
    return [f"{key.replace('_', ' ')}: {value}" for key, value in fields.items() if value is not None]


def mha(folder: Path, data: bytes, name: str = "v.mha", **changed: str | None) -> Path:
    """A MetaImage file of 2 x 3 x 4 bytes with some fields changed; None leaves one out."""
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "0 0 0",
        "AnatomicalOrientation": "RAI",
        "ElementSpacing": "1 1 1",
        "DimSize": "2 3 4",
        "ElementType": "MET_UCHAR",
    }
    last = changed.pop("ElementDataFile", "LOCAL")
    fields.update(changed)
    lines = [f"{key} = {value}" for key, value in fields.items() if value is not None]
    path = folder / name
    path.write_bytes("\n".join([*lines, f"ElementDataFile = {last}", ""]).encode() + data)
    return path


def nifti(
    folder: Path,
    data: bytes | None = None,
    order: str = "<",
    version: int = 1,
    name: str = "v.nii",
    dim: tuple[int, ...] = (3, 2, 3, 4),
    datatype: tuple[int, int] = (2, 8),
    pixdim: tuple[float, ...] = (1, 1, 1, 1),
    units: int = 2,
    codes: tuple[int, int] = (0, 1),
    scaling: tuple[float, float] = (0.0, 0.0),
    rows: tuple[tuple[float, ...], ...] = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0)),
    quaternion: tuple[float, float, float] = (0, 0, 0),
    offset: float = 0,
) -> Path:
    """A NIfTI file by its bytes; `codes` are those of qform and sform."""
    dim, pixdim = dim + (1,) * (8 - len(dim)), pixdim + (1.0,) * (8 - len(pixdim))
    start = offset or (352 if version == 1 else 544)
    flat = [number for row in rows for number in row]
    if version == 1:
        head = bytearray(348)
        struct.pack_into(order + "i", head, 0, 348)
        struct.pack_into(order + "8h", head, 40, *dim)
        struct.pack_into(order + "2h", head, 70, *datatype)
        struct.pack_into(order + "11f", head, 76, *pixdim, start, *scaling)
        head[123] = units
        struct.pack_into(order + "2h", head, 252, *codes)
        struct.pack_into(order + "18f", head, 256, *quaternion, 0, 0, 0, *flat)
        head[344:348] = b"n+1\0"
    else:
        head = bytearray(540)
        struct.pack_into(order + "i8s2h8q", head, 0, 540, b"n+2\0\r\n\x1a\n", *datatype, *dim)
        struct.pack_into(order + "8dq2d", head, 104, *pixdim, int(start), *scaling)
        struct.pack_into(order + "2i", head, 344, *codes)
        struct.pack_into(order + "18d", head, 352, *quaternion, 0, 0, 0, *flat)
        struct.pack_into(order + "2i", head, 496, 0, units)
    content = bytes(head) + bytes(4) + (bytes(range(24)) if data is None else data)
    path = folder / name
    path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    return path


def zeros_packed(count: int, window_bits: int) -> bytes:
    """Compressed zeros, made without having them all in memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window_bits)
    block = bytes(1 << 20)
    return b"".join([packer.compress(block) for _ in range(count >> 20)]) + packer.flush()
