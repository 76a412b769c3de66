"""Messages to bytes and back, with the checks that pyigtl leaves out.

Header version 1 has no metadata; version 2 has, but a peer built on the 1.x C++ library can read neither it nor what
follows. So version 1 is sent until the peer has shown version 2 (as PLUS does), and a version 1 peer gets no metadata.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import partial, singledispatch

from ..core.errors import GeometryError, MessageError
from .content import Content, Envelope
from .header import HEADER, HEADER_BYTES, SUPPORTED_VERSIONS, Header, pack_header, parse_header
from .image import IMAGE_BEGINNING_BYTES, IMAGE_HEAD, is_single_slice, pack_image, read_image, wire_array
from .messages import (
    MAX_NAME_BYTES,
    ImageMessage,
    Message,
    PatientFrame,
    PointMessage,
    PolyDataMessage,
    StatusMessage,
    StringMessage,
    TransformMessage,
)
from .metadata import (
    EXTENDED_HEADER,
    FULL_NAME_KEY,
    METADATA_ENTRY,
    check_metadata,
    content_and_metadata,
    metadata_to_send,
    read_metadata,
    with_metadata,
)
from .points import pack_points_message, read_points_message
from .polydata import pack_polydata_message, read_polydata_message
from .poses import pack_transform, read_position_message, read_tracking, read_transform
from .texts import pack_status, pack_string, read_status, read_string
from .tracking_data import ELEMENTS, POSITION_TYPES

__all__ = [
    "EXTENDED_HEADER",
    "FULL_NAME_KEY",
    "HEADER",
    "HEADER_BYTES",
    "IMAGE_BEGINNING_BYTES",
    "IMAGE_HEAD",
    "MAX_NAME_BYTES",
    "METADATA_ENTRY",
    "SUPPORTED_VERSIONS",
    "Header",
    "content_and_metadata",
    "is_known",
    "is_single_slice",
    "pack",
    "parse_header",
    "read_metadata",
    "unpack",
    "wire_array",
]

UNPACK_ERRORS = (
    struct.error, ValueError, KeyError, IndexError, TypeError, OverflowError, NotImplementedError, GeometryError,
)  # fmt: skip
_UNPACKERS: dict[str, Callable[[memoryview, Envelope, PatientFrame], Message]] = {
    "IMAGE": read_image,
    "TRANSFORM": read_transform,
    "STRING": read_string,
    "STATUS": read_status,
    "POINT": read_points_message,
    "POLYDATA": read_polydata_message,
    **dict.fromkeys(POSITION_TYPES, read_position_message),
    **{message_type: partial(read_tracking, message_type) for message_type in ELEMENTS},
}


def is_known(message_type: str) -> bool:
    """Return whether messages of a type can be read."""
    return message_type in _UNPACKERS


def unpack(header: Header, body: memoryview, frame: PatientFrame = PatientFrame.RAS) -> Message:
    """Read the body of a message. An image takes over the memory of `body` where it can.

    Args:
        frame: patient frame that the peer uses.

    Raises:
        MessageError: the body disagrees with its header, or a position in it is impossible.
    """
    try:
        content, metadata = content_and_metadata(header, body)
        device = metadata.pop(FULL_NAME_KEY, header.device)
        return _UNPACKERS[header.type](content, Envelope(device, header.timestamp_s, metadata), frame)
    except (*UNPACK_ERRORS, MessageError) as error:
        raise MessageError(f"{header.type} '{header.device}' cannot be read: {error}") from error


def pack(message: Message, version: int = 1, frame: PatientFrame = PatientFrame.RAS) -> bytes:
    """Return the bytes of a message for a peer that has shown this header version.

    Raises:
        MessageError: OpenIGTLink cannot carry it; says why and what it could.
    """
    if version not in SUPPORTED_VERSIONS:
        raise MessageError(f"header version must be 1 or 2, got {version}")
    _check_envelope(message)
    try:
        content = _content_of(message, frame)
        body = with_metadata(content.parts, metadata_to_send(message)) if version == 2 else content.parts
        return b"".join([pack_header(version, content.type, message, body), *body])
    except UNPACK_ERRORS as error:
        raise MessageError(f"'{message.device}' cannot be sent over OpenIGTLink: {error}") from error


def _check_envelope(message: Message) -> None:
    if not message.device.isascii():
        raise MessageError(f"OpenIGTLink device names are ASCII, got {message.device!r}; rename the device")
    if not math.isfinite(message.timestamp_s) or not 0 <= message.timestamp_s < 2**32:
        raise MessageError(f"a timestamp lies within 0 to 2^32 seconds since 1970, got {message.timestamp_s}")
    check_metadata(metadata_to_send(message))


@singledispatch
def _content_of(message: Message, frame: PatientFrame) -> Content:
    """Return the type and the body of a message, for a peer that uses this frame."""
    raise TypeError(f"a {type(message).__name__} is only received")


_content_of.register(ImageMessage, pack_image)
_content_of.register(TransformMessage, pack_transform)
_content_of.register(StringMessage, pack_string)
_content_of.register(StatusMessage, pack_status)
_content_of.register(PointMessage, pack_points_message)
_content_of.register(PolyDataMessage, pack_polydata_message)
