"""Messages to bytes and back, by pyigtl, with the checks that it leaves out.

Header version 1 carries no metadata; version 2 does, but desynchronises the 1.x C++ library. So version 1
is spoken until the peer has shown version 2 (as PLUS does), and metadata is lost on a version 1 peer.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace

import numpy as np
from pyigtl import messages as wire

from ..core.errors import GeometryError, MessageError
from ..core.geometry import RAS_TO_LPS, check_ijk_to_ras, transform_points
from .messages import (
    STATUS_OK,
    Frame,
    ImageMessage,
    Message,
    PointMessage,
    StatusMessage,
    StringMessage,
    TransformMessage,
    check_transform,
)

HEADER = struct.Struct(">H12s20sIIQQ")
HEADER_BYTES = wire.MessageBase.IGTL_HEADER_SIZE
EXTENDED_HEADER = struct.Struct(">HHII")
POINT_BYTES = 136
MAX_NAME_BYTES = 20
MAX_STRING_BYTES = 0xFFFF
FULL_NAME_KEY = "IGTL_DEVICE_NAME"
"""Metadata key with which PLUS gives a name that the 20 bytes of the header cannot hold."""
SUPPORTED_VERSIONS = (1, 2)
NARROWER = {"b": np.uint8, "i": np.int32, "u": np.uint32, "f": np.float32}
WIRE_DTYPES = tuple(np.dtype(t) for t in wire.ImageMessage.scalar_types.values())
UNPACK_ERRORS = (
    struct.error, ValueError, KeyError, IndexError, TypeError, OverflowError, NotImplementedError, GeometryError,
)  # fmt: skip


class _WireStatus(wire.MessageBase):
    """STATUS, which pyigtl lacks: code, subcode, error name, text that ends in NUL (OpenIGTLink v2)."""

    HEAD = struct.Struct(">Hq20s")

    def __init__(self, message: StatusMessage | None = None) -> None:
        super().__init__(timestamp=0)
        self._message_type = "STATUS"
        self.status = message

    def _pack_content(self) -> bytes:
        s = self.status
        return self.HEAD.pack(s.code, s.subcode, s.error_name.encode("ascii")) + s.text.encode("ascii") + b"\0"

    def _unpack_content(self, content: bytes) -> None:
        code, subcode, name = self.HEAD.unpack(content[: self.HEAD.size])
        text = bytes(content[self.HEAD.size :]).decode("utf8", "replace").rstrip("\0")
        self.status = StatusMessage("", 0.0, code, subcode, name.decode("ascii", "replace").rstrip("\0"), text)


@dataclass(frozen=True)
class Header:
    """The 58 bytes that precede each body. `device` is cut at 20 bytes."""

    version: int
    type: str
    device: str
    timestamp_s: float
    body_bytes: int
    crc: int


def parse_header(data: bytes) -> Header:
    """Read a header; whether its version and size are acceptable is the protocol's decision.

    Raises:
        MessageError: it does not name a message type: these bytes are no OpenIGTLink.
    """
    version, kind, name, seconds, fraction, body_bytes, crc = HEADER.unpack(data)
    kind = kind.rstrip(b"\0 ")
    if not kind or not all(33 <= c < 127 for c in kind):
        raise MessageError(f"{kind!r} is not a message type: the peer does not speak OpenIGTLink, or lost its place")
    device = name.split(b"\0")[0].decode("utf8", "replace").rstrip()
    return Header(version, kind.decode("ascii"), device, seconds + fraction / 2**32, body_bytes, crc)


def is_known(message_type: str) -> bool:
    """Whether `unpack` has a message for this type."""
    return message_type in _UNPACKERS


def unpack(header: Header, body: memoryview, frame: Frame = Frame.RAS) -> Message:
    """Turn a body into a message. An image takes over the memory of `body` where it can.

    Args:
        frame: the frame in which the peer counts.

    Raises:
        MessageError: the body is not what its header says, or places something where nothing can be.
    """
    try:
        content, metadata = _split(header, body)
        _check_content_size(header.type, content)
        message = _WireStatus() if header.type == "STATUS" else wire.MessageBase.create_message(header.type)
        # As version 1, pyigtl takes all of it for content and copies none of it.
        message.unpack(_fields(header, version=1), content if header.type == "IMAGE" else bytes(content))
        device = metadata.pop(FULL_NAME_KEY, header.device)
        return _UNPACKERS[header.type](message, device, header.timestamp_s, metadata, frame)
    except UNPACK_ERRORS as error:
        raise MessageError(f"{header.type} '{header.device}' cannot be read: {error}") from error


def _check_content_size(message_type: str, content: memoryview) -> None:
    """For those types whose missing or surplus bytes pyigtl would ignore."""
    if message_type == "POINT" and len(content) % POINT_BYTES:
        raise MessageError(f"POINT of {len(content)} bytes, expected a multiple of {POINT_BYTES}")
    if message_type == "STRING" and len(content) != 4 + struct.unpack(">H", content[2:4])[0]:
        raise MessageError(f"STRING of {len(content)} bytes, which disagrees with its length")


def _fields(header: Header, version: int) -> dict:
    time_s, kind = header.timestamp_s, header.type
    return {"header_version": version, "message_type": kind, "device_name": header.device, "timestamp": time_s}


def _split(header: Header, body: memoryview) -> tuple[memoryview, dict[str, str]]:
    """Part a body into content and metadata, which only version 2 has."""
    if header.version == 1:
        return body, {}
    extended, index, strings, _ = EXTENDED_HEADER.unpack(body[: EXTENDED_HEADER.size])
    end = len(body) - index - strings
    if extended < EXTENDED_HEADER.size or end < extended:
        raise MessageError(f"extended header of {extended} and metadata of {index + strings} bytes exceed {len(body)}")
    metadata = bytes(body[end:])
    if metadata:
        sizes = [key + value for key, _, value in struct.iter_unpack(">HHI", metadata[2:index])]
        if struct.unpack(">H", metadata[:2]) != (len(sizes),) or sum(sizes) != strings:
            raise MessageError("the metadata index disagrees with the metadata")
    reader = wire.MessageBase()
    reader.unpack(_fields(header, version=2), bytes(body[: EXTENDED_HEADER.size]) + metadata)
    return body[extended:end], reader.metadata


def _image(message: wire.ImageMessage, device: str, time_s: float, metadata: dict, frame: Frame) -> ImageMessage:
    if 0 in message.image.shape:
        raise GeometryError(f"the image is empty: {message.image.shape}")
    native = message.image.dtype.newbyteorder("=")
    array = np.require(message.image, native, ["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"])
    matrix = message.ijk_to_world_matrix
    ijk_to_ras = check_ijk_to_ras(RAS_TO_LPS @ matrix if frame is Frame.LPS else matrix)
    return ImageMessage(device, time_s, array, ijk_to_ras, metadata, Frame(message.world_coordinate_system))


def _transform(
    message: wire.TransformMessage, name: str, time_s: float, metadata: dict, frame: Frame
) -> TransformMessage:
    pose = TransformMessage(name, time_s, _between_frames(message.matrix, frame), metadata)
    return replace(pose, matrix=check_transform(pose.matrix)) if pose.status == STATUS_OK else pose


def _string(message: wire.StringMessage, device: str, time_s: float, metadata: dict, frame: Frame) -> StringMessage:
    return StringMessage(device, time_s, message.string, metadata)


def _status(message: _WireStatus, device: str, time_s: float, metadata: dict, frame: Frame) -> StatusMessage:
    return replace(message.status, device=device, timestamp_s=time_s, metadata=metadata)


def _points(message: wire.PointMessage, device: str, time_s: float, metadata: dict, frame: Frame) -> PointMessage:
    points = np.array(message.positions, dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(points).all():
        raise GeometryError("a point holds NaN or infinity")
    points = transform_points(RAS_TO_LPS, points) if frame is Frame.LPS else points
    return PointMessage(device, time_s, points, tuple(message.names), metadata)


_UNPACKERS = {"IMAGE": _image, "TRANSFORM": _transform, "STRING": _string, "STATUS": _status, "POINT": _points}


def _between_frames(matrix: np.ndarray, frame: Frame) -> np.ndarray:
    """A pose between tools and Reference, told in the other frame; its own inverse."""
    return RAS_TO_LPS @ matrix @ RAS_TO_LPS if frame is Frame.LPS else np.array(matrix, dtype=np.float64)


def pack(message: Message, version: int = 1, frame: Frame = Frame.RAS) -> bytes:
    """Turn a message into bytes for a peer that has shown this header version.

    Raises:
        MessageError: OpenIGTLink cannot carry it; says why and what it could.
    """
    if version not in SUPPORTED_VERSIONS:
        raise MessageError(f"header version must be 1 or 2, got {version}")
    _check_envelope(message)
    try:
        packed = _PACKERS[type(message)](message, frame)
        packed.device_name, packed.timestamp = message.device[:MAX_NAME_BYTES], message.timestamp_s
        packed.header_version = version
        packed.metadata = _metadata_to_send(message) if version == 2 else {}
        return packed.pack()
    except UNPACK_ERRORS as error:
        raise MessageError(f"'{message.device}' cannot be sent over OpenIGTLink: {error}") from error


def _check_envelope(message: Message) -> None:
    if not message.device.isascii():
        raise MessageError(f"OpenIGTLink device names are ASCII, got {message.device!r}; rename the device")
    if not math.isfinite(message.timestamp_s) or not 0 <= message.timestamp_s < 2**32:
        raise MessageError(f"a timestamp lies within 0 to 2^32 seconds since 1970, got {message.timestamp_s}")
    for text in (*message.metadata, *message.metadata.values()):
        if not isinstance(text, str) or not text.isascii() or len(text) > MAX_STRING_BYTES:
            raise MessageError(f"metadata is ASCII text, got {text!r:.60}")


def _metadata_to_send(message: Message) -> dict[str, str]:
    full_name = {FULL_NAME_KEY: message.device} if len(message.device) > MAX_NAME_BYTES else {}
    return {**message.metadata, **full_name}


def wire_array(array: np.ndarray) -> np.ndarray:
    """Voxels in a type that OpenIGTLink has: bool becomes uint8, float16 float32, 64-bit integers 32-bit ones.

    Raises:
        MessageError: not (K, J, I) or (K, J, I, C), empty, too long, or of a type or values that cannot be carried.
    """
    if array.ndim not in (3, 4) or array.size == 0 or max(array.shape[:3]) > 0xFFFF or array.shape[3:] > (255,):
        raise MessageError(f"an image must be (K, J, I) or (K, J, I, components), got shape {array.shape}")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype in WIRE_DTYPES:
        return array
    if array.dtype.kind not in NARROWER or array.dtype.itemsize > 8:
        raise MessageError(f"OpenIGTLink has no voxels of type {array.dtype}; use an integer or float of 32 bits")
    narrower = array.astype(NARROWER[array.dtype.kind])
    if array.dtype.kind in "iu" and not np.array_equal(narrower, array):
        raise MessageError(f"{array.dtype} voxels exceed 32 bits: {array.min()} to {array.max()}; rescale them first")
    return narrower


def _pack_image(message: ImageMessage, frame: Frame) -> wire.ImageMessage:
    matrix = check_ijk_to_ras(message.ijk_to_ras)
    return wire.ImageMessage(
        wire_array(message.array),
        ijk_to_world_matrix=RAS_TO_LPS @ matrix if frame is Frame.LPS else matrix,
        world_coordinate_system=frame.value,
    )


def _pack_transform(message: TransformMessage, frame: Frame) -> wire.TransformMessage:
    matrix = check_transform(message.matrix) if message.status == STATUS_OK else message.matrix
    return wire.TransformMessage(_between_frames(matrix, frame))


def _pack_string(message: StringMessage, frame: Frame) -> wire.StringMessage:
    if not message.text.isascii() or len(message.text) > MAX_STRING_BYTES:
        raise MessageError(f"a STRING is at most {MAX_STRING_BYTES} ASCII characters, got {len(message.text)}")
    return wire.StringMessage(message.text)


def _pack_points(message: PointMessage, frame: Frame) -> wire.PointMessage:
    points = np.asarray(message.points_ras_mm, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points) or not np.isfinite(points).all():
        raise MessageError(f"points must be finite and of shape (N, 3), got {points.shape}")
    points = transform_points(RAS_TO_LPS, points) if frame is Frame.LPS else points
    return wire.PointMessage(positions=points, names=list(message.names))


def _pack_status(message: StatusMessage, frame: Frame) -> _WireStatus:
    return _WireStatus(message)


_PACKERS = {
    ImageMessage: _pack_image,
    TransformMessage: _pack_transform,
    StringMessage: _pack_string,
    StatusMessage: _pack_status,
    PointMessage: _pack_points,
}
