"""Messages as a hostile or broken peer might send them: valid ones of every type, changed where it hurts."""

from __future__ import annotations

import math
import random
import struct

import numpy as np
from CRLMSegmentationLib.igtl.messages import (
    ImageMessage,
    Message,
    PointMessage,
    StatusMessage,
    StringMessage,
    TransformMessage,
)
from CRLMSegmentationLib.igtl.packing import HEADER, HEADER_BYTES, pack
from pyigtl.messages import CRC64, PolyDataMessage

TYPES = (
    b"IMAGE",
    b"TRANSFORM",
    b"STRING",
    b"STATUS",
    b"POINT",
    b"POLYDATA",
    b"NDARRAY",
    b"GET_IMAGE",
    b"",
    b"\xff\xfe",
)
EDGES = (0, 1, 2, 11, 12, 13, 47, 48, 71, 72, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
FLOATS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-45, 1e38, -1e38, 1e20, 1.0)
SIZES = (0, 1, 57, 58, 1 << 16, 1 << 20, (1 << 20) + 1, 512 << 20, (512 << 20) + 1, 3_000_000_000, 1 << 63, 2**64 - 1)
REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: localhost:18944\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)),
    b"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13\r\n".ljust(64, b"\0"),
    b"\0" * 200,
    b"\xff" * 200,
)
METADATA = {"TransformStatus": "OK", "IGTL_DEVICE_NAME": "a name that is too long for a header of 20 bytes", "": "x"}


def samples() -> list[bytes]:
    """Valid messages of every known type in both header versions, with metadata in the second."""
    time_s = 1_700_000_000.25
    metadata = dict(METADATA)
    pose = np.eye(4)
    messages: list[Message] = [
        ImageMessage("recvol_Reference", time_s, np.arange(60, dtype=np.uint8).reshape(3, 4, 5), pose, metadata),
        ImageMessage("Image_Probe", time_s, np.ones((1, 4, 5, 3), np.float32), pose, metadata),
        ImageMessage("Wide", time_s, np.ones((2, 2, 2), np.float64), pose, metadata),
        TransformMessage("ProbeToReference", time_s, pose, metadata),
        TransformMessage("Lost", time_s, pose, {"TransformStatus": "MISSING"}),
        StringMessage("CMD_1", time_s, '<Command Name="RequestChannelIds" />', metadata),
        StatusMessage("", 0.0, 1, 0, "OK", "fine", metadata),
        PointMessage("Seeds", time_s, np.arange(6.0).reshape(2, 3), ("a", "b"), metadata=metadata),
    ]
    packed = [pack(message, version) for message in messages for version in (1, 2)]
    return packed + _meshes()


def _meshes() -> list[bytes]:
    """By this program where it has them, and by pyigtl, which packs them differently."""
    triangle = np.eye(3, dtype=np.float32)
    made = [PolyDataMessage(points=triangle, timestamp=1.0, device_name="Mesh").pack()]
    try:
        from CRLMSegmentationLib.igtl.messages import PolyDataMessage as Mesh
    except ImportError:
        return made
    mesh = Mesh("Mesh", 1.0, triangle.astype(float), np.array([[0, 1, 2]]))
    return [*made, pack(mesh, 1), pack(mesh, 2)]


class Mutator:
    """Makes one hostile message after the other, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._samples = samples()
        self._recipes = (
            self._flip_bits, self._flip_bits, self._set_number, self._set_number, self._set_floats, self._set_floats,
            self._cut_body, self._cut_body, self._grow_body, self._splice, self._other_type, self._other_version,
            self._other_size, self._header_only, self._truncate, self._metadata, self._name, self._time, self._garbage,
            self._valid,
        )  # fmt: skip

    def message(self) -> bytes:
        """Bytes that begin like a message, mostly with a right checksum, so that the body is really read."""
        data = self._random.choice(self._recipes)(bytearray(self._random.choice(self._samples)))
        if self._random.random() < 0.1 and len(data) > HEADER_BYTES:  # two at a time
            data = self._random.choice(self._recipes)(bytearray(data))
        return bytes(data if self._random.random() < 0.15 else _repaired(data))

    def split(self, data: bytes) -> list[bytes]:
        """Cut into pieces at any place."""
        cuts = sorted(self._random.randrange(len(data) + 1) for _ in range(self._random.randrange(4)))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)])]

    def _at(self, data: bytearray, size: int = 1) -> int:
        """A place in the body, or rarely in the header."""
        low = HEADER_BYTES if len(data) > HEADER_BYTES + size and self._random.random() < 0.9 else 0
        return self._random.randrange(low, max(low + 1, len(data) - size + 1))

    def _flip_bits(self, data: bytearray) -> bytearray:
        for _ in range(self._random.choice((1, 1, 2, 8))):
            data[self._at(data)] ^= 1 << self._random.randrange(8)
        return data

    def _set_number(self, data: bytearray) -> bytearray:
        code = self._random.choice(("B", ">H", ">I"))
        value = self._random.choice(EDGES) % 256 ** struct.calcsize(code)
        at = self._at(data, struct.calcsize(code))
        data[at : at + struct.calcsize(code)] = struct.pack(code, value)
        return data

    def _set_floats(self, data: bytearray) -> bytearray:
        """On the grid of 4 bytes, where the numbers of matrices and points lie, in both header versions."""
        for _ in range(self._random.choice((1, 1, 3, 9))):
            at = HEADER_BYTES + 4 * self._random.randrange(max(1, (len(data) - HEADER_BYTES) // 4))
            data[at : at + 4] = struct.pack(">f", self._random.choice(FLOATS))
        return data

    def _cut_body(self, data: bytearray) -> bytearray:
        return data[: self._random.randrange(HEADER_BYTES, len(data) + 1)] if len(data) > HEADER_BYTES else data

    def _grow_body(self, data: bytearray) -> bytearray:
        return data + self._random.randbytes(self._random.choice((1, 4, 136, 5000)))

    def _splice(self, data: bytearray) -> bytearray:
        other = self._random.choice(self._samples)[HEADER_BYTES:]
        at = self._at(data)
        return data[:at] + other[self._random.randrange(len(other) + 1) :]

    def _other_type(self, data: bytearray) -> bytearray:
        data[2:14] = self._random.choice((*TYPES, self._random.randbytes(12))).ljust(12, b"\0")
        return data

    def _other_version(self, data: bytearray) -> bytearray:
        data[0:2] = struct.pack(">H", self._random.choice((0, 1, 1, 2, 2, 3, 256, 0xFFFF)))
        return data

    def _other_size(self, data: bytearray) -> bytearray:
        """Declared, but not there: left alone by the repair."""
        data[42:50] = struct.pack(">Q", self._random.choice(SIZES))
        return _Final(data)

    def _header_only(self, data: bytearray) -> bytearray:
        return data[:HEADER_BYTES]

    def _truncate(self, data: bytearray) -> bytearray:
        return _Final(data[: self._random.randrange(len(data) + 1)])

    def _metadata(self, data: bytearray) -> bytearray:
        """Extended header and index, where every number decides over what is read next."""
        data[0:2] = b"\0\2"
        at = HEADER_BYTES + 2 * self._random.randrange(6)
        data[at : at + 2] = struct.pack(">H", self._random.choice(EDGES) & 0xFFFF)
        if self._random.random() < 0.3:
            body = data[HEADER_BYTES:] + self._random.randbytes(self._random.choice((70_000, 300_000)))
            body[0:12] = struct.pack(">HHII", 12, 10, len(body) // 2, 0)
            data = data[:HEADER_BYTES] + body
        return data

    def _name(self, data: bytearray) -> bytearray:
        data[14:34] = self._random.choice((b"\0" * 20, b"a\0b" * 6 + b"cd", b"\xff" * 20, b"a\nb\r" * 5, b"<b>&" * 5))
        for old, new in ((b"a name that", b"\n\0\r\x1b[2J name"), (b"too long", b"\xff\xfe\xfd\xfc     ")):
            if self._random.random() < 0.5 and len(new) == len(old):
                data = data.replace(old, new)
        return data

    def _time(self, data: bytearray) -> bytearray:
        data[34:42] = struct.pack(">II", self._random.choice(EDGES), self._random.choice(EDGES))
        return data

    def _garbage(self, data: bytearray) -> bytearray:
        if self._random.random() < 0.5:
            return _Final(self._random.choice(REQUESTS))
        return _Final(self._random.randbytes(self._random.randrange(1, 400)))

    def _valid(self, data: bytearray) -> bytearray:
        return data


class _Final(bytearray):
    """Not to be repaired."""


def _repaired(data: bytearray) -> bytearray:
    """With the size and the checksum that the body has."""
    if isinstance(data, _Final) or len(data) < HEADER_BYTES:
        return data
    fields = HEADER.unpack(data[:HEADER_BYTES])
    body = data[HEADER_BYTES:]
    return bytearray(HEADER.pack(*fields[:5], len(body), CRC64(bytes(body)))) + body
