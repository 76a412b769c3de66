"""Messages between a program and its child process: frames of a small JSON header and arrays.

A frame is PREFIX (magic, length of the header, length of the payload), the header, the payload: the bytes of the
arrays that the header's "arrays" lists. There is no I/O here: the reader provides a buffer for the next bytes, so that
a large array is received without a copy.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import JsonError, WorkerError
from .json_files import JsonLimits, parse_json

PREFIX = struct.Struct(">4sIQ")
MAGIC = b"CRLM"
MAX_HEADER_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 1 << 32
LIMITS = JsonLimits(size_bytes=MAX_HEADER_BYTES, text_characters=MAX_HEADER_BYTES)


@dataclass(frozen=True, eq=False)
class Frame:
    """A message with its arrays.

    Attributes:
        header: JSON object with the text "type".
        payload: bytes of the arrays, empty for most types.
    """

    header: dict[str, Any]
    payload: memoryview

    @property
    def type(self) -> str:
        kind: str = self.header["type"]
        return kind

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the payload by name, read-only.

        Raises:
            WorkerError: the header describes other arrays than came.
        """
        found, start = {}, 0
        for name, dtype, shape in self.header.get("arrays", ()):
            kind = np.dtype(dtype)
            if kind.hasobject:
                raise WorkerError(f"an array of {dtype} cannot be sent")
            count = int(np.prod(shape, dtype=np.int64))
            stop = start + count * kind.itemsize
            found[name] = np.frombuffer(self.payload[start:stop], kind).reshape([int(n) for n in shape])
            start = stop
        if start != len(self.payload):
            raise WorkerError(f"arrays of {start} bytes came with {len(self.payload)} bytes")
        return found


def encode(header: dict[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> list[memoryview]:
    """Return the parts of a frame, to be written one after the other; contiguous arrays are not copied."""
    solid = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    described = [(name, array.dtype.str, array.shape) for name, array in solid.items()]
    text = json.dumps({**header, "arrays": described}).encode()
    payload = [array.reshape(-1).view(np.uint8).data for array in solid.values()]
    return [memoryview(PREFIX.pack(MAGIC, len(text), sum(map(len, payload))) + text), *payload]


def decode(data: bytes | memoryview) -> Frame:
    """Return the frame that some bytes are, no more and no fewer.

    Raises:
        WorkerError: they are none.
    """
    whole = memoryview(data)
    if len(whole) < PREFIX.size:
        raise WorkerError(f"expected a frame, got {len(whole)} bytes")
    magic, header_bytes, payload_bytes = PREFIX.unpack(whole[: PREFIX.size])
    start = PREFIX.size + header_bytes
    if magic != MAGIC or not 0 < header_bytes <= MAX_HEADER_BYTES or start + payload_bytes != len(whole):
        raise WorkerError(f"expected a frame of {len(whole)} bytes, got the bytes {bytes(whole[: PREFIX.size])!r}")
    return Frame(_parse_header(bytes(whole[PREFIX.size : start])), whole[start:])


class FrameReader:
    """Assembles frames from bytes that arrive in pieces of any size.

    Write the next bytes into the buffer `wanted()`, and call `filled(n)` with their number.

    Args:
        max_payload_bytes: a frame that announces more is refused before memory is taken for it.
    """

    def __init__(self, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self._max_payload_bytes = max_payload_bytes
        self._begin()

    def wanted(self) -> memoryview:
        """The buffer for the next bytes."""
        return self._target[self._count :]

    def filled(self, count: int) -> Frame | None:
        """Accept `count` more bytes in the buffer; return a frame when it is complete, else None.

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
        self._header: dict[str, Any] = {}
        self._payload_bytes = 0
        self._part = "prefix"
        self._want(PREFIX.size)

    def _want(self, count: int) -> None:
        self._target = np.empty(count, np.uint8).data
        self._count = 0

    def _next_part(self) -> Frame | None:
        if self._part == "prefix":
            magic, header_bytes, self._payload_bytes = PREFIX.unpack(self._target)
            if (
                magic != MAGIC
                or not 0 < header_bytes <= MAX_HEADER_BYTES
                or self._payload_bytes > self._max_payload_bytes
            ):
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


def _parse_header(text: bytes) -> dict[str, Any]:
    try:
        header = parse_json(text, LIMITS, finite=False)
    except JsonError as error:
        raise WorkerError(f"a frame's header is not JSON: {text[:80]!r}") from error
    if not isinstance(header, dict) or not isinstance(header.get("type"), str):
        raise WorkerError(f"a frame's header has no type: {text[:80]!r}")
    return header
