"""What travels between the engine and its worker: frames of a small JSON header and raw bytes.

A frame is PREFIX (magic, length of the header, length of the payload), the header, the payload. There is no
I/O here: the reader says where the next bytes belong, so that a large array is received without a copy.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

import numpy as np

from ..core.errors import WorkerError

PREFIX = struct.Struct(">4sIQ")
MAGIC = b"CRLM"
MAX_HEADER_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 1 << 32


@dataclass(frozen=True, eq=False)
class Frame:
    """Attributes: header: JSON object with a "type"; payload: bytes, empty for most types."""

    header: dict
    payload: memoryview

    @property
    def type(self) -> str:
        return self.header["type"]

    def array(self) -> np.ndarray:
        """The payload as float32 of the header's shape (K, J, I)."""
        shape = tuple(int(n) for n in self.header["shape"])
        if 4 * int(np.prod(shape, dtype=np.int64)) != len(self.payload):
            raise WorkerError(f"an array of shape {shape} came with {len(self.payload)} bytes")
        return np.frombuffer(self.payload, np.float32).reshape(shape)


def encode(header: dict, array: np.ndarray | None = None) -> list[memoryview]:
    """The parts of a frame, to be written one after the other; the array is not copied."""
    payload = memoryview(b"") if array is None else memoryview(np.ascontiguousarray(array, np.float32)).cast("B")
    if array is not None:
        header = {**header, "shape": list(array.shape)}
    text = json.dumps(header).encode()
    return [memoryview(PREFIX.pack(MAGIC, len(text), len(payload)) + text), payload]


class FrameReader:
    """Puts frames together from bytes that arrive in pieces of any size.

    Write the next bytes into `wanted()` and say with `filled(n)` how many they were.
    """

    def __init__(self) -> None:
        self._begin()

    def wanted(self) -> memoryview:
        return self._target[self._count :]

    def filled(self, count: int) -> Frame | None:
        """Take note of `count` more bytes; returns a frame when it is complete.

        Raises:
            WorkerError: the bytes are no frame.
        """
        self._count += count
        while self._count == len(self._target):
            frame = self._next_part()
            if frame is not None:
                return frame
        return None

    def _begin(self) -> None:
        self._header: dict | None = None
        self._payload_bytes = 0
        self._part = "prefix"
        self._want(PREFIX.size)

    def _want(self, count: int) -> None:
        self._target = memoryview(np.empty(count, np.uint8)).cast("B")
        self._count = 0

    def _next_part(self) -> Frame | None:
        if self._part == "prefix":
            magic, header_bytes, self._payload_bytes = PREFIX.unpack(self._target)
            if magic != MAGIC or not 0 < header_bytes <= MAX_HEADER_BYTES or self._payload_bytes > MAX_PAYLOAD_BYTES:
                raise WorkerError(f"expected a frame, got the bytes {bytes(self._target)!r}")
            self._part = "header"
            self._want(header_bytes)
            return None
        if self._part == "header":
            self._header = _parse_header(bytes(self._target))
            self._part = "payload"
            self._want(self._payload_bytes)
            return None
        frame = Frame(self._header, self._target)
        self._begin()
        return frame


def _parse_header(text: bytes) -> dict:
    try:
        header = json.loads(text)
    except ValueError as error:
        raise WorkerError(f"a frame's header is not JSON: {text[:80]!r}") from error
    if not isinstance(header, dict) or "type" not in header:
        raise WorkerError(f"a frame's header has no type: {text[:80]!r}")
    return header
