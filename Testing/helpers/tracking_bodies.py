"""Messages of tracking data, written from the specification and not by the code under test."""

from __future__ import annotations

import struct

import numpy as np
from pyigtl.messages import CRC64

TIME = (1700000000, 2**30)


def framed(kind: str, body: bytes, version: int = 1, device: str = "Tracker", time: tuple[int, int] = TIME) -> bytes:
    """A whole message."""
    head = struct.pack(">H12s20sIIQQ", version, kind.encode(), device.encode(), *time, len(body), CRC64(body))
    return head + body


def tdata(*tools: tuple[str | bytes, int, np.ndarray]) -> bytes:
    """Name, type and 4x4 matrix of each."""
    return b"".join(_head(name, kind) + struct.pack(">12f", *matrix[:3].T.ravel()) for name, kind, matrix in tools)


def qtdata(*tools: tuple[str | bytes, int, tuple, tuple]) -> bytes:
    """Name, type, position and quaternion x y z w of each."""
    return b"".join(_head(name, kind) + struct.pack(">7f", *place, *turn) for name, kind, place, turn in tools)


def position(place: tuple, quaternion: tuple) -> bytes:
    """With a quaternion of four, three or no numbers."""
    return struct.pack(f">{3 + len(quaternion)}f", *place, *quaternion)


def v2_body(content: bytes, metadata: dict[str, str] | None = None) -> bytes:
    """Content between extended header and metadata."""
    pairs = [(key.encode(), value.encode()) for key, value in (metadata or {}).items()]
    index = struct.pack(">H", len(pairs)) + b"".join(struct.pack(">HHI", len(k), 3, len(v)) for k, v in pairs)
    strings = b"".join(k + v for k, v in pairs)
    return struct.pack(">HHII", 12, len(index), len(strings), 0) + content + index + strings


def _head(name: str | bytes, kind: int) -> bytes:
    return struct.pack(">20sBB", name if isinstance(name, bytes) else name.encode(), kind, 0)
