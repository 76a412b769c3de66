"""Messages to bytes and back, with the checks that pyigtl leaves out.

pyigtl reads IMAGE and TRANSFORM. All is packed here, in points.py and in polydata.py, and poses of other types are
read in tracking_data.py: pyigtl copies a volume five
times over, and rounds its matrix before it calculates the centre from it.

Header version 1 carries no metadata; version 2 does, but desynchronises the 1.x C++ library. So version 1
is spoken until the peer has shown version 2 (as PLUS does), and metadata is lost on a version 1 peer.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, singledispatch
from typing import NamedTuple

import numpy as np
from pyigtl import messages as wire

from ..core.errors import GeometryError, MessageError
from ..core.geometry import MAX_CALIBRATION_SHEAR, MAX_SHEAR, RAS_TO_LPS, check_ijk_to_ras, transform_points
from .checksum import crc64
from .messages import (
    MAX_NAME_BYTES,
    ORIENTATION_KEY,
    ORIENTATION_UNKNOWN,
    STATUS_OK,
    TRANSFORM_STATUS_KEY,
    Frame,
    ImageMessage,
    Message,
    PointMessage,
    PolyDataMessage,
    StatusMessage,
    StringMessage,
    TrackingMessage,
    TransformMessage,
    check_transform,
)
from .points import pack_points, read_points, text_of
from .polydata import pack_polydata, unpack_polydata
from .tracking_data import ELEMENTS, POSITION_TYPES, Element, PoseInBody, read_elements, read_position

HEADER = struct.Struct(">H12s20sIIQQ")
HEADER_BYTES = wire.MessageBase.IGTL_HEADER_SIZE
EXTENDED_HEADER = struct.Struct(">HHII")
IMAGE_HEAD = struct.Struct(">H4B3H12f6H")
METADATA_ENTRY = struct.Struct(">HHI")
STATUS_HEAD = struct.Struct(">Hq20s")
STRING_HEAD = struct.Struct(">HH")
ASCII, LATIN_1 = 3, 4
"""MIBenum of IANA; other texts are taken for UTF-8."""
MAX_ERROR_NAME_BYTES = 19
MAX_STRING_BYTES = 0xFFFF
MAX_METADATA_BYTES = 0xFFFF
"""Of the index, since the header counts it in 16 bits, and of keys and values together."""
FULL_NAME_KEY = "IGTL_DEVICE_NAME"
"""Metadata key with which PLUS gives a name that the 20 bytes of the header cannot hold."""
SUPPORTED_VERSIONS = (1, 2)
NARROWER = {"b": np.uint8, "i": np.int32, "u": np.uint32, "f": np.float32}
WIRE_DTYPES = {np.dtype(dtype): code for code, dtype in wire.ImageMessage.scalar_types.items()}
BIG_ENDIAN, LITTLE_ENDIAN = 1, 2
NATIVE_ENDIAN = LITTLE_ENDIAN if sys.byteorder == "little" else BIG_ENDIAN
COORDINATE_FLAGS = {1: Frame.RAS, 2: Frame.LPS}
NO_POSE = PoseInBody(np.eye(4))
"""Stands for numbers that are no pose, of a tool that is not seen: its status must arrive all the same."""
UNPACK_ERRORS = (
    struct.error, ValueError, KeyError, IndexError, TypeError, OverflowError, NotImplementedError, GeometryError,
)  # fmt: skip


class _Content(NamedTuple):
    """What a message says, in pieces that are put together once."""

    type: str
    parts: list[bytes | memoryview]


class _Envelope(NamedTuple):
    """What every message has; `device` in full where the metadata gives it."""

    device: str
    timestamp_s: float
    metadata: dict[str, str]


@dataclass(frozen=True)
class Header:
    """The 58 bytes that precede each body.

    Attributes:
        device: cut at 20 bytes.
        name_is_full: no more letters had room, so that the name may have been cut.
    """

    version: int
    type: str
    device: str
    timestamp_s: float
    body_bytes: int
    crc: int
    name_is_full: bool = False


def parse_header(data: bytes | memoryview) -> Header:
    """Read a header; whether its version and size are acceptable is the protocol's decision.

    Raises:
        MessageError: it does not name a message type: these bytes are no OpenIGTLink.
    """
    version, kind, name, seconds, fraction, body_bytes, crc = HEADER.unpack(data)
    kind = kind.rstrip(b"\0 ")
    if not kind or not all(33 <= c < 127 for c in kind):
        raise MessageError(f"{kind!r} is not a message type: the peer does not speak OpenIGTLink, or lost its place")
    letters = name.split(b"\0")[0]
    device, is_full = letters.decode("utf8", "replace").rstrip(), len(letters) == MAX_NAME_BYTES
    return Header(version, kind.decode("ascii"), device, seconds + fraction / 2**32, body_bytes, crc, is_full)


def may_be_cut(header: Header, message: Message) -> bool:
    """Whether the name of a message may be longer than what has come: the header is full, and no metadata tells more.

    PLUS gives metadata of each pose, and in it a name that is longer than the header; where it gives none, the name
    is whole.
    """
    is_whole = header.version > 1 and TRANSFORM_STATUS_KEY in message.metadata
    return header.name_is_full and message.device == header.device and not is_whole


IMAGE_BEGINNING_BYTES = EXTENDED_HEADER.size + IMAGE_HEAD.size
"""So much of the body of an image says how many slices it has."""


def is_single_slice(header: Header, beginning: memoryview) -> bool:
    """Whether the first `IMAGE_BEGINNING_BYTES` of the body of an image say that it is a picture and no volume."""
    start = 0
    if header.version > 1 and len(beginning) >= EXTENDED_HEADER.size:
        start = EXTENDED_HEADER.unpack(beginning[: EXTENDED_HEADER.size])[0]
    head = beginning[start : start + IMAGE_HEAD.size]
    return len(head) == IMAGE_HEAD.size and IMAGE_HEAD.unpack(head)[7] == 1


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
        content, metadata = content_and_metadata(header, body)
        device = metadata.pop(FULL_NAME_KEY, header.device)
        return _UNPACKERS[header.type](content, _Envelope(device, header.timestamp_s, metadata), frame)
    except (*UNPACK_ERRORS, MessageError) as error:
        raise MessageError(f"{header.type} '{header.device}' cannot be read: {error}") from error


def content_and_metadata(header: Header, body: memoryview) -> tuple[memoryview, dict[str, str]]:
    """Part a body into content and metadata, which only version 2 has.

    Raises:
        MessageError, struct.error: the extended header disagrees with the body.
    """
    if header.version == 1:
        return body, {}
    extended, index, strings, _ = EXTENDED_HEADER.unpack(body[: EXTENDED_HEADER.size])
    end = len(body) - index - strings
    if extended < EXTENDED_HEADER.size or end < extended:
        raise MessageError(f"extended header of {extended} and metadata of {index + strings} bytes exceed {len(body)}")
    return body[extended:end], read_metadata(bytes(body[end : end + index]), bytes(body[end + index :]))


def read_metadata(index: bytes, strings: bytes) -> dict[str, str]:
    """Keys and values. What is not what its encoding says is read as far as it can be: it must not cost the message.

    Raises:
        MessageError, struct.error: the index disagrees with the strings, or is none.
    """
    if not index and not strings:
        return {}
    entries = list(METADATA_ENTRY.iter_unpack(index[2:]))
    if struct.unpack(">H", index[:2]) != (len(entries),) or sum(k + v for k, _, v in entries) != len(strings):
        raise MessageError("the metadata index disagrees with the metadata")
    metadata, at = {}, 0
    for key_bytes, encoding, value_bytes in entries:
        key, value = strings[at : at + key_bytes], strings[at + key_bytes : at + key_bytes + value_bytes]
        metadata[_decoded(key)] = _decoded(value, encoding)
        at += key_bytes + value_bytes
    return metadata


def _decoded(text: bytes, encoding: int = ASCII) -> str:
    """UTF-8 whether or not it is announced: it holds ASCII, and PLUS and Slicer send it under that name."""
    return text.decode("latin-1") if encoding == LATIN_1 else text.decode("utf8", "replace")


def _by_pyigtl(message_type: str, content: memoryview | bytes) -> wire.MessageBase:
    """Of the header pyigtl needs no more than version 1, for which it takes all bytes for content."""
    message = wire.MessageBase.create_message(message_type)
    message.unpack(dict.fromkeys(("message_type", "device_name", "timestamp")) | {"header_version": 1}, content)
    return message


def _image(content: memoryview, envelope: _Envelope, frame: Frame) -> ImageMessage:
    label = _check_image_head(content)
    message = _by_pyigtl("IMAGE", content)
    if 0 in message.image.shape:
        raise GeometryError(f"the image is empty: {message.image.shape}")
    native = message.image.dtype.newbyteorder("=")
    array = np.require(message.image, native, ["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"])
    matrix = RAS_TO_LPS @ message.ijk_to_world_matrix if frame is Frame.LPS else message.ijk_to_world_matrix
    return ImageMessage(
        envelope.device, envelope.timestamp_s, array, _check_place(matrix, array), envelope.metadata, label
    )


def _check_image_head(content: memoryview) -> Frame | None:
    """Refuse what the flags of an image leave open; returns the frame that it claims, None for no frame known.

    Raises:
        MessageError: an unknown type of voxels, an unknown order of bytes, or a part of an image.
    """
    _, components, scalar_type, endian, coordinates, i, j, k, *rest = IMAGE_HEAD.unpack(content[: IMAGE_HEAD.size])
    if scalar_type not in wire.ImageMessage.scalar_types:
        known = ", ".join(f"{code} {np.dtype(t).name}" for code, t in wire.ImageMessage.scalar_types.items())
        raise MessageError(f"its voxels are of the type {scalar_type}, OpenIGTLink has {known}")
    if endian not in (BIG_ENDIAN, LITTLE_ENDIAN) and np.dtype(wire.ImageMessage.scalar_types[scalar_type]).itemsize > 1:
        raise MessageError(f"the order of its bytes is {endian}, expected 1 (big-endian) or 2 (little-endian)")
    if tuple(rest[12:]) != (0, 0, 0, i, j, k):
        raise MessageError(f"it is a part of an image of {i} x {j} x {k} voxels; have the sender send it whole")
    if not components:
        raise MessageError("it has 0 components; expected 1, or several for colours")
    return COORDINATE_FLAGS.get(coordinates)


def _check_place(ijk_to_ras: np.ndarray, array: np.ndarray) -> np.ndarray:
    """A single slice may be sheared as calibrations are; it is a picture of a probe, not to be segmented."""
    return check_ijk_to_ras(ijk_to_ras, MAX_CALIBRATION_SHEAR if array.shape[0] == 1 else MAX_SHEAR)


def _transform(content: memoryview, envelope: _Envelope, frame: Frame) -> TransformMessage:
    matrix = _between_frames(_by_pyigtl("TRANSFORM", bytes(content)).matrix, frame)
    pose = TransformMessage(envelope.device, envelope.timestamp_s, matrix, envelope.metadata)
    return replace(pose, matrix=check_transform(pose.matrix)) if pose.status == STATUS_OK else pose


def _position(content: memoryview, envelope: _Envelope, frame: Frame) -> TransformMessage:
    try:
        pose = read_position(content)
    except GeometryError:
        if envelope.metadata.get(TRANSFORM_STATUS_KEY, STATUS_OK) == STATUS_OK:
            raise
        pose = NO_POSE
    return _pose_message(pose, envelope, frame)


def _pose_message(pose: PoseInBody, envelope: _Envelope, frame: Frame) -> TransformMessage:
    """A pose of any type of message; its matrix is checked while its status is OK."""
    metadata = (
        envelope.metadata if pose.has_orientation else {**envelope.metadata, ORIENTATION_KEY: ORIENTATION_UNKNOWN}
    )
    message = TransformMessage(
        envelope.device, envelope.timestamp_s, _between_frames(pose.matrix, frame), metadata
    )  # fmt: skip
    return replace(message, matrix=check_transform(message.matrix)) if message.status == STATUS_OK else message


def _tracking(message_type: str, content: memoryview, envelope: _Envelope, frame: Frame) -> TrackingMessage:
    elements = read_elements(message_type, content, envelope.metadata)
    read = tuple(_tool(number, element, envelope, frame) for number, element in enumerate(elements, 1))
    cut_names = tuple(element.name for element in elements if element.may_be_cut)
    return TrackingMessage(envelope.device, envelope.timestamp_s, read, cut_names, envelope.metadata)


def _tool(number: int, element: Element, envelope: _Envelope, frame: Frame) -> TransformMessage | str:
    """One tool of a TDATA message as a message of its own, or why it is none."""
    shown = f"tool {number} {element.name!r:.60} of '{envelope.device}'"
    if not element.name or not element.name.isprintable():
        return f"{shown} has no name of printable characters"
    status = element.status or envelope.metadata.get(TRANSFORM_STATUS_KEY, "")
    metadata = {TRANSFORM_STATUS_KEY: status} if status else {}
    if isinstance(element.pose, str) and (status or STATUS_OK) == STATUS_OK:
        return f"{shown} cannot be read: {element.pose}"
    own = _Envelope(element.name, envelope.timestamp_s, metadata)
    try:
        return _pose_message(NO_POSE if isinstance(element.pose, str) else element.pose, own, frame)
    except GeometryError as error:
        return f"{shown} cannot be read: {error}"


def _string(content: memoryview, envelope: _Envelope, frame: Frame) -> StringMessage:
    encoding, length = STRING_HEAD.unpack(content[: STRING_HEAD.size])
    if len(content) != STRING_HEAD.size + length:
        raise MessageError(f"STRING of {len(content)} bytes, which disagrees with its length of {length}")
    text = _decoded(bytes(content[STRING_HEAD.size :]), encoding)
    return StringMessage(envelope.device, envelope.timestamp_s, text, envelope.metadata)


def _status(content: memoryview, envelope: _Envelope, frame: Frame) -> StatusMessage:
    code, subcode, name = STATUS_HEAD.unpack(content[: STATUS_HEAD.size])
    text = _decoded(bytes(content[STATUS_HEAD.size :])).rstrip("\0")
    return StatusMessage(
        envelope.device, envelope.timestamp_s, code, subcode, text_of(name), text, envelope.metadata
    )  # fmt: skip


def _points(content: memoryview, envelope: _Envelope, frame: Frame) -> PointMessage:
    records = read_points(content)
    points = _points_between_frames(records["xyz"], frame)
    if not np.isfinite(points).all():
        raise GeometryError("a point holds NaN or infinity")
    return PointMessage(
        envelope.device,
        envelope.timestamp_s,
        points,
        names=tuple(text_of(name) for name in records["name"]),
        groups=tuple(text_of(group) for group in records["group"]),
        colours_rgba=tuple(tuple(rgba) for rgba in records["rgba"].tolist()),
        diameters_mm=tuple(records["diameter"].tolist()),
        owners=tuple(text_of(owner) for owner in records["owner"]),
        metadata=envelope.metadata,
    )


def _polydata(content: memoryview, envelope: _Envelope, frame: Frame) -> PolyDataMessage:
    points, triangles = unpack_polydata(content)
    points = _points_between_frames(points, frame)
    return PolyDataMessage(envelope.device, envelope.timestamp_s, points, triangles, envelope.metadata)


_UNPACKERS: dict[str, Callable[[memoryview, _Envelope, Frame], Message]] = {
    "IMAGE": _image,
    "TRANSFORM": _transform,
    "STRING": _string,
    "STATUS": _status,
    "POINT": _points,
    "POLYDATA": _polydata,
    **dict.fromkeys(POSITION_TYPES, _position),
    **{message_type: partial(_tracking, message_type) for message_type in ELEMENTS},
}


def _between_frames(matrix: np.ndarray, frame: Frame) -> np.ndarray:
    """A pose between tools and Reference, told in the other frame; its own inverse."""
    return RAS_TO_LPS @ matrix @ RAS_TO_LPS if frame is Frame.LPS else np.array(matrix, dtype=np.float64)


def _points_between_frames(points: np.ndarray, frame: Frame) -> np.ndarray:
    """Points (N, 3) told in the other frame; its own inverse."""
    points = np.asarray(points, dtype=np.float64)
    return transform_points(RAS_TO_LPS, points) if frame is Frame.LPS else points


def pack(message: Message, version: int = 1, frame: Frame = Frame.RAS) -> bytes:
    """Turn a message into bytes for a peer that has shown this header version.

    Raises:
        MessageError: OpenIGTLink cannot carry it; says why and what it could.
    """
    if version not in SUPPORTED_VERSIONS:
        raise MessageError(f"header version must be 1 or 2, got {version}")
    _check_envelope(message)
    try:
        content = _content_of(message, frame)
        body = _with_metadata(content.parts, _metadata_to_send(message)) if version == 2 else content.parts
        return b"".join([_header(version, content.type, message, body), *body])
    except UNPACK_ERRORS as error:
        raise MessageError(f"'{message.device}' cannot be sent over OpenIGTLink: {error}") from error


def _header(version: int, message_type: str, message: Message, body: list[bytes | memoryview]) -> bytes:
    crc = 0
    for part in body:
        crc = crc64(part, crc)
    seconds = int(message.timestamp_s)
    fraction = int((message.timestamp_s - seconds) * 2**32)
    name = message.device[:MAX_NAME_BYTES].encode("ascii")
    return HEADER.pack(version, message_type.encode("ascii"), name, seconds, fraction, sum(map(len, body)), crc)


def _with_metadata(parts: list[bytes | memoryview], metadata: dict[str, str]) -> list[bytes | memoryview]:
    index = struct.pack(">H", len(metadata))
    index += b"".join(METADATA_ENTRY.pack(len(key), ASCII, len(value)) for key, value in metadata.items())
    strings = "".join(key + value for key, value in metadata.items()).encode("ascii")
    return [EXTENDED_HEADER.pack(EXTENDED_HEADER.size, len(index), len(strings), 0), *parts, index, strings]


def _check_envelope(message: Message) -> None:
    if not message.device.isascii():
        raise MessageError(f"OpenIGTLink device names are ASCII, got {message.device!r}; rename the device")
    if not math.isfinite(message.timestamp_s) or not 0 <= message.timestamp_s < 2**32:
        raise MessageError(f"a timestamp lies within 0 to 2^32 seconds since 1970, got {message.timestamp_s}")
    metadata = _metadata_to_send(message)
    for text in (*metadata, *metadata.values()):
        if not isinstance(text, str) or not text.isascii():
            raise MessageError(f"metadata is ASCII text, got {text!r:.60}")
    size = max(sum(map(len, (*metadata, *metadata.values()))), 2 + METADATA_ENTRY.size * len(metadata))
    if size > MAX_METADATA_BYTES:
        raise MessageError(f"metadata takes at most {MAX_METADATA_BYTES} bytes, got {size} in {len(metadata)} entries")


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


@singledispatch
def _content_of(message: Message, frame: Frame) -> _Content:
    """Return the type and the body of a message, for a peer that counts in this frame."""
    raise TypeError(f"a {type(message).__name__} is only received")


@_content_of.register
def _pack_image(message: ImageMessage, frame: Frame) -> _Content:
    array = np.ascontiguousarray(wire_array(message.array))
    matrix = _check_place(message.ijk_to_ras, array)
    matrix = RAS_TO_LPS @ matrix if frame is Frame.LPS else matrix
    size = array.shape[2::-1]
    centre = transform_points(matrix, (np.array(size) - 1) / 2)
    components, coordinates = (*array.shape, 1)[3], {Frame.RAS: 1, Frame.LPS: 2}[frame]
    kind = (1, components, WIRE_DTYPES[array.dtype], NATIVE_ENDIAN, coordinates)
    head = IMAGE_HEAD.pack(*kind, *size, *matrix[:3, :3].T.ravel(), *centre, 0, 0, 0, *size)
    return _Content("IMAGE", [head, array.reshape(-1).view(np.uint8).data])


@_content_of.register
def _pack_transform(message: TransformMessage, frame: Frame) -> _Content:
    matrix = check_transform(message.matrix) if message.status == STATUS_OK else message.matrix
    columns = _between_frames(matrix, frame)[:3].T.ravel()
    return _Content("TRANSFORM", [struct.pack(">12f", *columns)])


@_content_of.register
def _pack_string(message: StringMessage, frame: Frame) -> _Content:
    if not message.text.isascii() or len(message.text) > MAX_STRING_BYTES:
        raise MessageError(f"a STRING is at most {MAX_STRING_BYTES} ASCII characters, got {len(message.text)}")
    return _Content("STRING", [STRING_HEAD.pack(ASCII, len(message.text)), message.text.encode("ascii")])


@_content_of.register
def _pack_points(message: PointMessage, frame: Frame) -> _Content:
    points = np.asarray(message.points_ras_mm, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points) or not np.isfinite(points).all():
        raise MessageError(f"points must be finite and of shape (N, 3), got {points.shape}")
    points, m = _points_between_frames(points, frame), message
    return _Content("POINT", [pack_points(points, m.names, m.groups, m.colours_rgba, m.diameters_mm, m.owners)])


@_content_of.register
def _pack_polydata(message: PolyDataMessage, frame: Frame) -> _Content:
    points = np.asarray(message.points_ras_mm, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise MessageError(f"the points of a surface must be of shape (N, 3), got {points.shape}")
    return _Content("POLYDATA", [pack_polydata(_points_between_frames(points, frame), message.triangles)])


@_content_of.register
def _pack_status(message: StatusMessage, frame: Frame) -> _Content:
    if len(message.error_name) > MAX_ERROR_NAME_BYTES:
        raise MessageError(f"the error name of a STATUS is at most {MAX_ERROR_NAME_BYTES} bytes; put more into text")
    head = STATUS_HEAD.pack(message.code, message.subcode, message.error_name.encode("ascii"))
    return _Content("STATUS", [head, message.text.encode("ascii"), b"\0"])
