"""Reading of the voxels of a volume file, with a check that there are as many as its header declares."""

from __future__ import annotations

import bz2
import os
import stat
import zlib
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import BinaryIO, Union

import numpy as np

from ..errors import VolumeError
from ..free_memory import free_memory_bytes
from .header import DataLayout, VolumeHeader, unreadable

BLOCK_BYTES = 1 << 20
PACKED_BYTES = 64 << 10
"""Compressed bytes read at once; few, since the rest of them is copied for each member of a gzip file."""
MAX_MEMBERS = 100_000
MAX_SKIPPED_LINES = 100_000
MAX_SKIPPED_BYTES = 256 << 20
"""Limit of the bytes that are decompressed only to be skipped."""
MAX_TEXT_VOXELS = 20_000_000
MAX_NUMBER_CHARACTERS = 40
GZIP_MARK = b"\x1f\x8b"
WINDOW_BITS = {"gzip": zlib.MAX_WBITS | 16, "zlib": zlib.MAX_WBITS}

Decompressor = Union["zlib._Decompress", bz2.BZ2Decompressor]


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; refuse others, since reading a pipe could block for ever.

    Raises:
        VolumeError: it is missing, or a folder, pipe, device, or a loop of links.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise VolumeError(f"no such file: {path}") from error
    except (OSError, ValueError) as error:
        raise unreadable(path.name, getattr(error, "strerror", None) or str(error), "name a file") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise unreadable(path.name, "it is a folder, a pipe or a device instead of a file", "name a file")
    return os.fdopen(descriptor, "rb")


def read_voxels(header: VolumeHeader) -> np.ndarray:
    """Return the voxels in C order and native byte order; the last axis of the array is the first of the header.

    Raises:
        VolumeError: a data file is missing, cut off, damaged, or holds more than is declared.
    """
    _check_memory(header)
    dtype, shape = header.dtype, header.sizes[::-1]
    if header.layout.encoding == "text":
        return _read_text(header).reshape(shape)
    try:
        array = np.empty(prod(shape), dtype)
    except MemoryError as error:
        raise _too_large(header) from error
    target = array.view(np.uint8).data
    part_bytes = len(target) // len(header.layout.files)
    for number, path in enumerate(header.layout.files):
        _read_into(target[number * part_bytes : (number + 1) * part_bytes], path, header)
    if not dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return array.reshape(shape)


def _check_memory(header: VolumeHeader) -> None:
    free = free_memory_bytes()
    if free is not None and header.declared_bytes > free:
        raise _too_large(header)


def _too_large(header: VolumeHeader) -> VolumeError:
    return VolumeError(
        f"{header.name} declares {header.declared_bytes} bytes of voxels, more memory than is free; "
        "close other programs, or crop it"
    )


def _open_data(path: Path, header: VolumeHeader) -> BufferedReader:
    try:
        return open_regular(path)
    except VolumeError as error:
        if header.layout.is_attached:
            raise
        missing = "which is missing" if not path.exists() else "which is no file"
        raise unreadable(
            header.name, f"it keeps its voxels in {path.name}, {missing}", "copy both files into one folder"
        ) from error


def _read_into(target: memoryview, path: Path, header: VolumeHeader) -> None:
    layout = header.layout
    with _open_data(path, header) as file:
        file.seek(layout.start)
        for _ in range(min(layout.line_skip, MAX_SKIPPED_LINES)):
            file.readline(BLOCK_BYTES)
        if layout.encoding == "raw":
            _read_raw(target, file, path, layout)
        else:
            _read_compressed(target, file, path, layout)


def _read_raw(target: memoryview, file: BufferedReader, path: Path, layout: DataLayout) -> None:
    begin = file.tell() + max(0, layout.byte_skip)
    found = max(0, os.fstat(file.fileno()).st_size - begin)
    if found < len(target):
        raise cut_off(path.name, len(target), found)
    if found > len(target) and layout.byte_skip < 0:
        raise unreadable(
            path.name,
            f"its voxels shall be the last {len(target)} of {found} bytes, which does not tell whether it is cut off",
            "write the number of bytes before them into its header",
        )
    if found > len(target) and not layout.may_end_early:
        raise _too_much(path.name, len(target), f"{found}")
    file.seek(begin)
    count = 0
    while count < len(target):
        read = file.readinto(target[count : count + BLOCK_BYTES * 16])
        if not read:
            raise cut_off(path.name, len(target), count)
        count += read


def cut_off(name: str, expected: int, found: int) -> VolumeError:
    """Return the error for a file that lacks some of its voxels."""
    return VolumeError(f"{name} is cut off: expected {expected} bytes, found {found}; copy it again")


def _too_much(name: str, expected: int, found: str) -> VolumeError:
    return unreadable(name, f"its header declares {expected} bytes of voxels, its data has {found}")


def _read_compressed(target: memoryview, file: BinaryIO, path: Path, layout: DataLayout) -> None:
    stream = CompressedStream(file, layout.encoding, path.name, layout.packed_bytes)
    stream.skip(min(max(0, layout.byte_skip), MAX_SKIPPED_BYTES))
    found = stream.readinto(target)
    if found < len(target):
        raise cut_off(path.name, len(target), found)
    stream.finish(len(target))


class CompressedStream:
    """A decompressor that unpacks a file in blocks, never more bytes than requested.

    Args:
        file: stands at the first compressed byte.
        encoding: "gzip", "zlib" or "bzip2".
        name: of the file, for errors.
        packed_bytes: how many compressed bytes belong to the stream; None for all up to the end of the file.
    """

    def __init__(self, file: BinaryIO, encoding: str, name: str, packed_bytes: int | None = None) -> None:
        self._file, self._encoding, self._name, self._left = file, encoding, name, packed_bytes
        self._decompressor = self._new_decompressor()
        self._waiting, self._members = b"", 1

    def skip(self, count: int) -> None:
        """Skip a number of decompressed bytes."""
        scratch = memoryview(bytearray(min(count, BLOCK_BYTES)))
        while count > 0:
            read = self.readinto(scratch[:count])
            if not read:
                return
            count -= read

    def readinto(self, target: memoryview) -> int:
        """Fill a buffer, and return the number of bytes; it is smaller than the buffer only at the end of the data."""
        count = 0
        while count < len(target):
            block = self._decompress(min(len(target) - count, BLOCK_BYTES))
            if block is None:
                break
            target[count : count + len(block)] = block
            count += len(block)
        return count

    def finish(self, expected: int) -> None:
        """Check that no data follows, and that the checksum at the end is right.

        Raises:
            VolumeError: there is more, or the end is cut off or damaged.
        """
        while (block := self._decompress(1)) is not None:
            if block:
                raise _too_much(self._name, expected, "more when it is unpacked")
        if not self._decompressor.eof:
            raise VolumeError(
                f"{self._name} is cut off: expected {expected} bytes and their checksum, found {expected} without it; "
                "copy it again"
            )

    def _decompress(self, most: int) -> bytes | None:
        """Return the next decompressed bytes, which may be none yet; None at the end of the data."""
        if self._decompressor.eof and not self._begin_next_member():
            return None
        has_ended = False
        if not self._waiting and self._wants_input():
            self._waiting = self._read_packed()
            has_ended = not self._waiting
        try:
            block = self._decompressor.decompress(self._waiting, most)
        except (zlib.error, OSError, ValueError, EOFError) as error:
            raise unreadable(self._name, f"it is damaged and cannot be unpacked ({error})", "copy it again") from error
        # At the end of a stream zlib may name what is left twice; it stands in unused_data then.
        has_more = not self._decompressor.eof
        self._waiting = getattr(self._decompressor, "unconsumed_tail", b"") if has_more else b""
        is_short = has_ended and not block and not self._decompressor.eof
        return None if is_short else block

    def _wants_input(self) -> bool:
        return getattr(self._decompressor, "needs_input", True)

    def _begin_next_member(self) -> bool:
        """Begin the next of several concatenated gzip files, if there is one; zeros at the end are skipped."""
        rest = self._decompressor.unused_data.lstrip(b"\0")
        while len(rest) < len(GZIP_MARK) and (block := self._read_packed()):
            rest = (rest + block).lstrip(b"\0")
        if not rest:
            return False
        if self._encoding != "gzip" or not rest.startswith(GZIP_MARK):
            raise unreadable(self._name, "other data follows its compressed voxels")
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise unreadable(self._name, f"it consists of more than {MAX_MEMBERS} compressed parts")
        self._decompressor, self._waiting = self._new_decompressor(), rest
        return True

    def _read_packed(self) -> bytes:
        block = self._file.read(PACKED_BYTES if self._left is None else min(PACKED_BYTES, self._left))
        if self._left is not None:
            self._left -= len(block)
        return block

    def _new_decompressor(self) -> Decompressor:
        if self._encoding == "bzip2":
            return bz2.BZ2Decompressor()
        return zlib.decompressobj(WINDOW_BITS[self._encoding])


def _read_text(header: VolumeHeader) -> np.ndarray:
    """Return voxels that are stored as text, shape (N,)."""
    count = prod(header.sizes)
    if count > MAX_TEXT_VOXELS:
        raise unreadable(header.name, f"it holds {count} voxels as text, at most {MAX_TEXT_VOXELS} are read")
    parts = [_text_of(path, header) for path in header.layout.files]
    words = [word for part in parts for word in part.split(None, count + 1)]
    if len(words) < count:
        raise VolumeError(f"{header.name} is cut off: expected {count} numbers, found {len(words)}; copy it again")
    if not parts[-1][-1:].isspace():
        raise VolumeError(f"{header.name} may be cut off within its last number: no line end follows; copy it again")
    if len(words) > count:
        raise unreadable(header.name, f"its header declares {count} voxels, its data has more numbers")
    if max(map(len, words)) > MAX_NUMBER_CHARACTERS:
        raise unreadable(header.name, "what stands in place of a voxel is no number")
    return _numbers_of(words, header)


def _text_of(path: Path, header: VolumeHeader) -> bytes:
    most = prod(header.sizes) * (MAX_NUMBER_CHARACTERS + 1)
    with _open_data(path, header) as file:
        file.seek(header.layout.start)
        for _ in range(min(header.layout.line_skip, MAX_SKIPPED_LINES)):
            file.readline(BLOCK_BYTES)
        file.seek(max(0, header.layout.byte_skip), os.SEEK_CUR)
        return file.read(most)


def _numbers_of(words: list[bytes], header: VolumeHeader) -> np.ndarray:
    native = header.dtype.newbyteorder("=")
    wide = {"u": np.uint64, "i": np.int64}.get(native.kind, np.float64)
    try:
        numbers = np.array([float(word) for word in words]) if wide is np.float64 else np.array(list(map(int, words)))
        narrow = numbers.astype(wide).astype(native)
        is_same = np.array_equal(narrow, numbers) or native.kind == "f"
    except (ValueError, OverflowError, TypeError) as error:
        raise unreadable(header.name, "what stands in place of a voxel is no number of its type") from error
    if not is_same:
        raise unreadable(header.name, f"numbers in it lie beyond its type {native}")
    return narrow
