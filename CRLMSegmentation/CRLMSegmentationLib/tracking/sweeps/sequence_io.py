"""Reading and writing of tracked sweeps as PLUS does: MetaImage and NRRD with fields of each frame in the header."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...core.errors import SweepError
from ..transforms import STATUS_MISSING, STATUS_OK
from .orientation import IN_MEMORY, from_mf, is_unknown, to_mf
from .sequence import TrackedSequence, TransformTrack, time_faults
from .sequence_header import (
    META_TYPES,
    NRRD_SUFFIXES,
    SEQUENCE_SUFFIXES,
    SequenceHeader,
    describes_sequence,
    read_header,
)

TRANSFORM, STATUS, TIMESTAMP = "Transform", "TransformStatus", "Timestamp"
IMAGE_STATUSES = ("ImageStatus", "Status")
"""MetaImage's word, and NRRD's."""
UNSTATED = "WITHOUT A STATUS"
"""Status of a transform in single frames, where other frames have one."""
MAX_TIME_S = 1e11
"""The year 5138; a greater number is no time."""
LARGE_BYTES, MAX_RATIO = 1 << 30, 100
"""Speckle compresses 2 to 10 times; so much in so little is a damaged header or made to fill the memory."""
PACKED_BYTES, UNPACKED_BYTES = 1 << 20, 16 << 20
NRRD_NAMES = {"u1": "uint8", "i1": "int8", "u2": "uint16", "i2": "int16", "u4": "uint32", "i4": "int32"}


def is_sequence(path: Path | str) -> bool:
    """Whether a file is a tracked sweep, and not a volume, by its suffix and its header."""
    path = Path(path)
    if not path.name.lower().endswith(SEQUENCE_SUFFIXES) or not path.is_file():
        return False
    try:
        return describes_sequence(path)
    except SweepError:
        return False


def read_sequence(path: Path | str) -> TrackedSequence:
    """Read a sequence file of PLUS (.igs.mha .igs.mhd .igs.nrrd .igs.nhdr), its frames flipped into MF.

    Raises:
        SweepError: no such file, damaged, or not a list of tracked 2D frames.
    """
    path = Path(path)
    if not path.is_file():
        raise SweepError(f"no such file: {path}")
    if not path.name.lower().endswith(SEQUENCE_SUFFIXES):
        raise SweepError(f"{path.name} is not a sequence file; expected one of {' '.join(SEQUENCE_SUFFIXES)}")
    header = read_header(path)
    if not header.frame_fields:
        raise SweepError(f"{path.name} holds no tracking (no Seq_Frame fields): it is a volume or untracked video")
    count, _, _, channels = header.shape
    if max(header.frame_fields) >= count:
        raise SweepError(
            f"{path.name} has {count} frames but fields of frame {max(header.frame_fields)}; it is damaged"
        )
    frames = [header.frame_fields.get(n, {}) for n in range(count)]
    pixels = _pixels(header, path.name).reshape(header.shape)
    times_s = np.array([_timestamp(fields, n, path.name) for n, fields in enumerate(frames)])
    transforms, unstated = _tracks(frames, path.name)
    return TrackedSequence(
        name=sequence_name(path),
        frames=to_mf(pixels[..., 0] if channels == 1 else pixels, header.orientation, path.name),
        timestamps_s=times_s,
        image_statuses=tuple(_image_status(fields) for fields in frames),
        transforms=transforms,
        orientation=header.orientation,
        fields={**header.fields, **_other_fields(frames)},
        notes=(*_assumed(header), *_time_note(frames, times_s), *unstated),
    )


def _assumed(header: SequenceHeader) -> Iterator[str]:
    """Return notes on what the header leaves open, and what was assumed."""
    if is_unknown(header.orientation):
        yield f"the file does not say how its frames lie on the probe; taken for {IN_MEMORY}, as PLUS does"
    if any(size != 1 for size in header.spacing):
        spacing = " x ".join(f"{size:g}" for size in header.spacing)
        yield f"the file declares a pixel spacing of {spacing}, which is not used: a calibration counts in pixels"


def _time_note(frames: list[dict[str, str]], times_s: np.ndarray) -> Iterator[str]:
    missing = sum(TIMESTAMP not in fields for fields in frames)
    faults = f"{missing} of {len(frames)} frames have no time" if missing else time_faults(times_s)
    if faults:
        yield f"{faults}; each frame is placed by the poses that the file holds for it"


def sequence_name(path: Path | str) -> str:
    """Return the name of a file without the suffixes of a sequence."""
    name = Path(path).name
    for suffix in (*SEQUENCE_SUFFIXES, ".igs", ".seq"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return name


def _pixels(header: SequenceHeader, name: str) -> np.ndarray:
    if not header.pixels_path.is_file():
        raise SweepError(f"{name} keeps its pixels in {header.pixels_path.name}, which is missing; copy both files")
    size, expected = header.pixels_path.stat().st_size, header.pixel_bytes
    start = header.pixels_start if header.pixels_start >= 0 else max(0, size - expected)
    found = max(0, size - start)
    if not header.compression and found != expected:
        raise _wrong_size(name, expected, found)
    if header.compression and header.packed_bytes > found:
        raise _wrong_size(name, header.packed_bytes, found)
    if header.compression and expected > LARGE_BYTES and expected > MAX_RATIO * found:
        raise SweepError(
            f"{name} declares {expected / 1e9:.1f} GB of pixels in {found / 1e6:.1f} MB, which no ultrasound "
            "compresses to; copy or export it again"
        )
    with header.pixels_path.open("rb") as file:
        file.seek(start)
        data = _unpack(file, header, name) if header.compression else file.read(expected)
    return np.frombuffer(data, header.dtype).astype(header.dtype.newbyteorder("="), copy=False)


def _unpack(file: BinaryIO, header: SequenceHeader, name: str) -> bytearray:
    """Decompress to the end of the stream, where its checksum stands, but no more than the header declares."""
    data, unpacker = bytearray(), zlib.decompressobj(wbits=47)  # zlib's and gzip's headers both
    try:
        while not unpacker.eof:
            packed = unpacker.unconsumed_tail or file.read(PACKED_BYTES)
            piece = unpacker.decompress(packed, min(UNPACKED_BYTES, header.pixel_bytes + 1 - len(data)))
            data += piece
            if not packed and not piece and not unpacker.eof:
                raise _wrong_size(name, header.pixel_bytes, len(data))
            if len(data) > header.pixel_bytes:
                raise SweepError(
                    f"{name} holds more than the {header.pixel_bytes} bytes of pixels that its header declares; "
                    "header and pixels do not belong together, copy or export it again"
                )
    except zlib.error as error:
        raise SweepError(
            f"{name} is damaged, its pixels cannot be decompressed: {error}; copy or record it again"
        ) from error
    if len(data) != header.pixel_bytes:
        raise _wrong_size(name, header.pixel_bytes, len(data))
    return data


def _wrong_size(name: str, expected: int, found: int) -> SweepError:
    if found == expected:
        return SweepError(
            f"{name} is cut off: expected {expected} bytes and their checksum, which is missing; copy it again"
        )
    if found < expected:
        return SweepError(f"{name} is cut off: expected {expected} bytes, found {found}; copy it again")
    return SweepError(
        f"{name}: expected {expected} bytes, found {found}; header and pixels do not belong together, "
        "copy or export it again"
    )


def _timestamp(fields: dict[str, str], number: int, name: str) -> float:
    """Return the time of a frame in seconds; 0 where it has none."""
    text = fields.get(TIMESTAMP, "0")
    try:
        time_s = float(text)
    except ValueError:
        time_s = math.nan
    if not 0 <= time_s <= MAX_TIME_S:
        raise SweepError(f"{name}: frame {number} has no timestamp that can be read: '{text[:40]}'")
    return time_s


def _image_status(fields: dict[str, str]) -> str:
    return next((fields[key].upper() for key in IMAGE_STATUSES if key in fields), STATUS_OK)


def _tracks(frames: list[dict[str, str]], name: str) -> tuple[dict[str, TransformTrack], list[str]]:
    """Return the transforms of all frames by name, with notes on what the file leaves out."""
    keys = dict.fromkeys(key.removesuffix(TRANSFORM) for f in frames for key in f if key.endswith(TRANSFORM))
    unstated = [key for key in keys if key and not any(key + STATUS in fields for fields in frames)]
    tracks = {key: _track(key, frames, STATUS_OK if key in unstated else UNSTATED, name) for key in keys if key}
    if not unstated:
        return tracks, []
    return tracks, [f"the file does not say when {', '.join(unstated)} was tracked; taken as valid in each frame"]


def _track(key: str, frames: list[dict[str, str]], unstated: str, name: str) -> TransformTrack:
    """Return one transform over all frames.

    Args:
        unstated: the status of a frame that has the transform but no status of it.
    """
    matrices, statuses = np.tile(np.eye(4), (len(frames), 1, 1)), []
    for number, fields in enumerate(frames):
        text = fields.get(key + TRANSFORM)
        status = fields.get(key + STATUS, unstated).upper() if text is not None else STATUS_MISSING
        statuses.append(status)
        if text is None:
            continue
        matrix = parse_matrix(text)
        if matrix is not None:
            matrices[number] = matrix
        elif status == STATUS_OK:
            raise SweepError(f"{name}: {key} of frame {number} is not a 4x4 matrix: '{text[:60]}'")
    return TransformTrack(matrices, tuple(statuses))


def parse_matrix(text: str) -> np.ndarray | None:
    """Parse a finite 4x4 matrix of 16 numbers, row by row; None where the text is something else."""
    try:
        numbers = np.array([float(word) for word in text.split()])
    except ValueError:
        return None
    return numbers.reshape(4, 4) if numbers.size == 16 and np.isfinite(numbers).all() else None


def _other_fields(frames: list[dict[str, str]]) -> dict[str, str]:
    return {
        f"Seq_Frame{number:04d}_{key}": value
        for number, fields in enumerate(frames)
        for key, value in fields.items()
        if key not in (TIMESTAMP, *IMAGE_STATUSES) and not key.endswith((TRANSFORM, STATUS))
    }


def write_sequence(sequence: TrackedSequence, path: Path | str, compress: bool = True) -> None:
    """Write a sequence file as PLUS does, with the orientation that the sequence names.

    Args:
        path: .mha or .nrrd, pixels and header in one file.
        compress: zlib in MetaImage, gzip in NRRD.

    Raises:
        SweepError: another suffix, pixels of a type that the format does not have, or a field of two lines.
    """
    path = Path(path)
    if path.suffix.lower() not in (".mha", ".nrrd"):
        raise SweepError(f"cannot write a sequence to {path.name}; expected .mha or .nrrd")
    pixels = np.ascontiguousarray(from_mf(sequence.frames, sequence.orientation))
    code = pixels.dtype.str[1:]
    if code not in META_TYPES.values():
        raise SweepError(f"pixels of type {pixels.dtype} cannot be written; expected one of {list(META_TYPES)}")
    is_nrrd = path.suffix.lower() in NRRD_SUFFIXES
    raw = pixels.astype("<" + code, copy=False).tobytes()
    data = zlib.compress(raw, 6) if compress and not is_nrrd else _gzip(raw) if compress else raw
    head = _nrrd_head(pixels, sequence, compress) if is_nrrd else _meta_head(pixels, sequence, len(data), compress)
    head += _frame_lines(sequence, is_nrrd)
    if any("\n" in line or "\r" in line for line in head):
        raise SweepError(f"a field of {sequence.name} has more than one line and cannot be written into a header")
    end = "\n\n" if is_nrrd else "\nElementDataFile = LOCAL\n"
    path.write_bytes(("\n".join(head) + end).encode() + data)


def _gzip(raw: bytes) -> bytes:
    packer = zlib.compressobj(6, wbits=31)
    return packer.compress(raw) + packer.flush()


def _meta_head(pixels: np.ndarray, sequence: TrackedSequence, data_bytes: int, compress: bool) -> list[str]:
    count, rows, columns = pixels.shape[:3]
    return [
        "ObjectType = Image",
        "NDims = 3",
        "AnatomicalOrientation = RAI",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CenterOfRotation = 0 0 0",
        f"CompressedData = {compress}",
        *([f"CompressedDataSize = {data_bytes}"] if compress else []),
        f"DimSize = {columns} {rows} {count}",
        "Kinds = domain domain list",
        f"ElementNumberOfChannels = {_channels(pixels)}",
        "ElementSpacing = 1 1 1",
        f"ElementType = {next(name for name, code in META_TYPES.items() if code == pixels.dtype.str[1:])}",
        "Offset = 0 0 0",
        "TransformMatrix = 1 0 0 0 1 0 0 0 1",
        f"UltrasoundImageOrientation = {sequence.orientation or 'XX'}",
        f"UltrasoundImageType = {'BRIGHTNESS' if pixels.ndim == 3 else 'RGB_COLOR'}",
    ]


def _nrrd_head(pixels: np.ndarray, sequence: TrackedSequence, compress: bool) -> list[str]:
    count, rows, columns = pixels.shape[:3]
    colour = pixels.ndim == 4
    code = pixels.dtype.str[1:]
    return [
        "NRRD0004",
        f"type: {NRRD_NAMES.get(code) or {'f4': 'float', 'f8': 'double'}[code]}",
        f"dimension: {3 + colour}",
        f"kinds: {'vector ' * colour}domain domain list",
        f"sizes: {f'{_channels(pixels)} ' * colour}{columns} {rows} {count}",
        "space dimension: 2",
        f"space directions: {'none ' * colour}(1,0) (0,1) none",
        "space origin: (0,0)",
        "endian: little",
        f"encoding: {'gzip' if compress else 'raw'}",
        f"ultrasound image orientation:={sequence.orientation or 'XX'}",
        f"ultrasound image type:={'RGB_COLOR' if colour else 'BRIGHTNESS'}",
    ]


def _channels(pixels: np.ndarray) -> int:
    return pixels.shape[3] if pixels.ndim == 4 else 1


def _frame_lines(sequence: TrackedSequence, is_nrrd: bool) -> list[str]:
    """Return the lines of the header: first the fields of the file, then those of each frame in their order."""
    equals, image_status = (":=", IMAGE_STATUSES[1]) if is_nrrd else (" = ", IMAGE_STATUSES[0])
    others = {key: value for key, value in sequence.fields.items() if not key.startswith("Seq_Frame")}
    lines = [f"{key}{equals}{value}" for key, value in others.items()]
    for number in range(len(sequence)):
        prefix = f"Seq_Frame{number:04d}_"
        for name, track in sequence.transforms.items():
            text = " ".join(f"{value:.12g}" for value in track.matrices[number].ravel())
            lines.append(f"{prefix}{name}{TRANSFORM}{equals}{text}")
            lines.append(f"{prefix}{name}{STATUS}{equals}{track.statuses[number]}")
        lines += [f"{key}{equals}{value}" for key, value in sequence.fields.items() if key.startswith(prefix)]
        if sequence.timestamps_s[number] > 0:
            lines.append(f"{prefix}{TIMESTAMP}{equals}{float(sequence.timestamps_s[number])!r}")
        lines.append(f"{prefix}{image_status}{equals}{sequence.image_statuses[number]}")
    return lines
