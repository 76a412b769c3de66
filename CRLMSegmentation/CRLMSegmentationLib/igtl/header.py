"""The header of 58 bytes that precedes the body of each message."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.errors import MessageError
from .checksum import crc64
from .messages import MAX_NAME_BYTES, TRANSFORM_STATUS_KEY, Message

HEADER = struct.Struct(">H12s20sIIQQ")
HEADER_BYTES = HEADER.size
SUPPORTED_VERSIONS = (1, 2)


@dataclass(frozen=True)
class Header:
    """Values of a header.

    Attributes:
        device: cut at 20 bytes.
        name_is_full: the name fills all 20 bytes, so that it may have been cut.
    """

    version: int
    type: str
    device: str
    timestamp_s: float
    body_bytes: int
    crc: int
    name_is_full: bool = False


def parse_header(data: bytes | memoryview) -> Header:
    """Read a header, without checking version and size.

    Raises:
        MessageError: the type of message is no printable text, so that these bytes are not OpenIGTLink.
    """
    version, kind, name, seconds, fraction, body_bytes, crc = HEADER.unpack(data)
    kind = kind.rstrip(b"\0 ")
    if not kind or not all(33 <= c < 127 for c in kind):
        raise MessageError(f"{kind!r} is not a message type: the peer does not speak OpenIGTLink, or lost its place")
    letters = name.split(b"\0")[0]
    device, is_full = letters.decode("utf8", "replace").rstrip(), len(letters) == MAX_NAME_BYTES
    return Header(version, kind.decode("ascii"), device, seconds + fraction / 2**32, body_bytes, crc, is_full)


def may_be_cut(header: Header, message: Message) -> bool:
    """Return whether the device name of a message may be cut: it fills the header, and no metadata gives it in full.

    PLUS sends metadata with each pose, and in it any name that is longer than the header has room for.
    """
    is_whole = header.version > 1 and TRANSFORM_STATUS_KEY in message.metadata
    return header.name_is_full and message.device == header.device and not is_whole


def pack_header(version: int, message_type: str, message: Message, body: Sequence[bytes | memoryview]) -> bytes:
    """Return the header of a message, with the size and the checksum of its body."""
    crc = 0
    for part in body:
        crc = crc64(part, crc)
    seconds = int(message.timestamp_s)
    fraction = int((message.timestamp_s - seconds) * 2**32)
    name = message.device[:MAX_NAME_BYTES].encode("ascii")
    return HEADER.pack(version, message_type.encode("ascii"), name, seconds, fraction, sum(map(len, body)), crc)
