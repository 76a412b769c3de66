"""The bodies of STRING and STATUS messages."""

from __future__ import annotations

import struct

from ..core.errors import MessageError
from .content import ASCII, Content, Envelope, decode_text
from .messages import PatientFrame, StatusMessage, StringMessage
from .points import text_of

STATUS_HEAD = struct.Struct(">Hq20s")
STRING_HEAD = struct.Struct(">HH")
MAX_ERROR_NAME_BYTES = 19
MAX_STRING_BYTES = 0xFFFF


def read_string(content: memoryview, envelope: Envelope, frame: PatientFrame) -> StringMessage:
    """Read the content of a STRING.

    Raises:
        MessageError: its length disagrees with its size.
    """
    encoding, length = STRING_HEAD.unpack(content[: STRING_HEAD.size])
    if len(content) != STRING_HEAD.size + length:
        raise MessageError(f"STRING of {len(content)} bytes, which disagrees with its length of {length}")
    text = decode_text(bytes(content[STRING_HEAD.size :]), encoding)
    return StringMessage(envelope.device, envelope.timestamp_s, text, envelope.metadata)


def read_status(content: memoryview, envelope: Envelope, frame: PatientFrame) -> StatusMessage:
    """Read the content of a STATUS."""
    code, subcode, name = STATUS_HEAD.unpack(content[: STATUS_HEAD.size])
    text = decode_text(bytes(content[STATUS_HEAD.size :])).rstrip("\0")
    return StatusMessage(
        envelope.device, envelope.timestamp_s, code, subcode, text_of(name), text, envelope.metadata
    )  # fmt: skip


def pack_string(message: StringMessage, frame: PatientFrame) -> Content:
    """Return the content of a STRING.

    Raises:
        MessageError: the text is too long, or not ASCII.
    """
    if not message.text.isascii() or len(message.text) > MAX_STRING_BYTES:
        raise MessageError(f"a STRING is at most {MAX_STRING_BYTES} ASCII characters, got {len(message.text)}")
    return Content("STRING", [STRING_HEAD.pack(ASCII, len(message.text)), message.text.encode("ascii")])


def pack_status(message: StatusMessage, frame: PatientFrame) -> Content:
    """Return the content of a STATUS.

    Raises:
        MessageError: the name of the error is too long.
    """
    if len(message.error_name) > MAX_ERROR_NAME_BYTES:
        raise MessageError(f"the error name of a STATUS is at most {MAX_ERROR_NAME_BYTES} bytes; put more into text")
    head = STATUS_HEAD.pack(message.code, message.subcode, message.error_name.encode("ascii"))
    return Content("STATUS", [head, message.text.encode("ascii"), b"\0"])
