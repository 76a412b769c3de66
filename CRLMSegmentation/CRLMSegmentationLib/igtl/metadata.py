"""Metadata of header version 2: the extended header before the content of a body, and keys and values after it."""

from __future__ import annotations

import struct

from ..core.errors import MessageError
from .content import ASCII, decode_text
from .header import Header
from .messages import MAX_NAME_BYTES, Message

EXTENDED_HEADER = struct.Struct(">HHII")
METADATA_ENTRY = struct.Struct(">HHI")
MAX_METADATA_BYTES = 0xFFFF
"""Limit of the index, whose size the header gives in 16 bits, and of keys and values together."""
FULL_NAME_KEY = "IGTL_DEVICE_NAME"
"""Metadata key of PLUS for a device name that is longer than the 20 bytes of the header."""


def content_and_metadata(header: Header, body: memoryview) -> tuple[memoryview, dict[str, str]]:
    """Split a body into content and metadata, which only version 2 has.

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
    """Return keys and values. Text in a wrong encoding is read as far as possible, since the message is still of use.

    Raises:
        MessageError, struct.error: the index disagrees with the strings, or cannot be read.
    """
    if not index and not strings:
        return {}
    entries = list(METADATA_ENTRY.iter_unpack(index[2:]))
    if struct.unpack(">H", index[:2]) != (len(entries),) or sum(k + v for k, _, v in entries) != len(strings):
        raise MessageError("the metadata index disagrees with the metadata")
    metadata, at = {}, 0
    for key_bytes, encoding, value_bytes in entries:
        key, value = strings[at : at + key_bytes], strings[at + key_bytes : at + key_bytes + value_bytes]
        metadata[decode_text(key)] = decode_text(value, encoding)
        at += key_bytes + value_bytes
    return metadata


def with_metadata(parts: list[bytes | memoryview], metadata: dict[str, str]) -> list[bytes | memoryview]:
    """Return the parts of a version 2 body: extended header, content, index of the metadata, keys and values."""
    index = struct.pack(">H", len(metadata))
    index += b"".join(METADATA_ENTRY.pack(len(key), ASCII, len(value)) for key, value in metadata.items())
    strings = "".join(key + value for key, value in metadata.items()).encode("ascii")
    return [EXTENDED_HEADER.pack(EXTENDED_HEADER.size, len(index), len(strings), 0), *parts, index, strings]


def check_metadata(metadata: dict[str, str]) -> None:
    """Check that metadata can be sent.

    Raises:
        MessageError: it holds other than ASCII text, or is too long.
    """
    for text in (*metadata, *metadata.values()):
        if not isinstance(text, str) or not text.isascii():
            raise MessageError(f"metadata is ASCII text, got {text!r:.60}")
    size = max(sum(map(len, (*metadata, *metadata.values()))), 2 + METADATA_ENTRY.size * len(metadata))
    if size > MAX_METADATA_BYTES:
        raise MessageError(f"metadata takes at most {MAX_METADATA_BYTES} bytes, got {size} in {len(metadata)} entries")


def metadata_to_send(message: Message) -> dict[str, str]:
    """Return the metadata of a message, with its device name if the header has no room for it."""
    full_name = {FULL_NAME_KEY: message.device} if len(message.device) > MAX_NAME_BYTES else {}
    return {**message.metadata, **full_name}
