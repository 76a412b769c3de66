"""Decoder of OpenIGTLink without I/O: bytes in pieces of any size go in, messages come out.

The caller (driven by a QTimer in Slicer, by a loop or asyncio elsewhere) asks for the buffer of the next bytes, and
then says how many it has written there, as with `asyncio.BufferedProtocol`; a large body is received in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..core.errors import LinkError, MessageError
from .checksum import crc64
from .messages import Message, PatientFrame, parts_of
from .oddities import count_oddities
from .packing import (
    EXTENDED_HEADER,
    HEADER_BYTES,
    IMAGE_BEGINNING_BYTES,
    SUPPORTED_VERSIONS,
    Header,
    is_known,
    is_single_slice,
    parse_header,
    unpack,
)
from .statistics import DropReason, LinkStatistics
from .tracking_data import POSE_TYPES

MAX_BODY_BYTES = 512 << 20
MAX_SMALL_BODY_BYTES = 1 << 20
SMALL_TYPES = (*POSE_TYPES, "STATUS", "STRING", "POINT")
"""Types of which no message needs a larger body; the limit bounds the time to read one to milliseconds."""
MAX_DEVICE_NAME = 256
MAX_RECEIVED_METADATA_BYTES = 256 << 10
"""Limit of the metadata of one message; PLUS needs some hundreds of bytes, the standard has no limit."""
SKIP_BUFFER_BYTES = 64 << 10
Refusal = Callable[[str, int], str]
"""Called with device name and size in bytes of each volume before memory is allocated for it.

Returns the reason to refuse the volume, or an empty text. Not called for an image of a single slice.
"""
OnMessage = Callable[[memoryview, memoryview], None]
"""Called with the 58 bytes of a header and the body that follows; both are valid during the call only."""


class ReceiveProgress(NamedTuple):
    """Progress of a message that is being received."""

    device: str
    received_bytes: int
    total_bytes: int


@dataclass
class _IncomingBody:
    """A body that is being received.

    Attributes:
        buffer: memory for its bytes; while `is_beginning`, for the first of them only.
        is_kept: False if the bytes are read and discarded.
        is_beginning: whether it is still unknown if this is a volume, which may be refused.
        refused: reason why it is discarded, see `Refusal`.
        filled: bytes received so far.
        crc: checksum of these bytes.
    """

    header: Header
    buffer: memoryview = field(default_factory=lambda: memoryview(b""))
    is_kept: bool = True
    is_beginning: bool = False
    refused: str = ""
    filled: int = 0
    crc: int = 0

    @property
    def is_complete(self) -> bool:
        return self.filled == self.header.body_bytes


class Decoder:
    """Turns the bytes of one connection into messages.

    A body that is damaged or of an unknown type is discarded and counted, and the next message is read as usual. A
    header that cannot be valid ends the connection, since the start of the next message is unknown then.

    Args:
        frame: patient frame that the peer uses.
        max_body_bytes: a larger body ends the connection, before memory is allocated.
        statistics: counts of this connection, and possibly of earlier ones.
        on_message: called with the bytes of each message whose checksum is right, before it is unpacked, whether or not
            its type is known and its body can be read; but not for a body that is too large for its type.
        refusal: decides which volumes are discarded; the connection continues.
    """

    def __init__(
        self,
        frame: PatientFrame = PatientFrame.RAS,
        max_body_bytes: int = MAX_BODY_BYTES,
        statistics: LinkStatistics | None = None,
        on_message: OnMessage | None = None,
        refusal: Refusal | None = None,
    ) -> None:
        self.frame, self._on_message, self._refusal = frame, on_message, refusal
        self.max_body_bytes = max_body_bytes
        self.statistics = LinkStatistics() if statistics is None else statistics
        self.peer_version = 1
        """The highest header version that the peer has shown."""
        self._header_buffer = memoryview(bytearray(HEADER_BYTES))
        self._skip_buffer = memoryview(bytearray(SKIP_BUFFER_BYTES))
        self._header_filled = 0
        self._body: _IncomingBody | None = None

    @property
    def unfinished(self) -> str:
        """Description of the message that is received in part; empty between two messages."""
        if self._body is None:
            return "a header" if self._header_filled else ""
        header = self._body.header
        return f"'{header.device}' after {self._body.filled} of {header.body_bytes} bytes"

    @property
    def receiving(self) -> ReceiveProgress | None:
        """Progress of the message whose body is being received, or None."""
        body = self._body
        return ReceiveProgress(body.header.device, body.filled, body.header.body_bytes) if body else None

    def writable(self) -> memoryview:
        """Return the buffer for the next bytes; never empty."""
        if self._body is None:
            return self._header_buffer[self._header_filled :]
        if not self._body.is_kept:
            return self._skip_buffer[: self._body.header.body_bytes - self._body.filled]
        return self._body.buffer[self._body.filled :]

    def advance(self, count: int) -> list[Message]:
        """Process bytes that were written into `writable()`, and return the messages that are complete.

        Raises:
            LinkError: the start of the next message is unknown; close the connection.
        """
        self.statistics.received_bytes += count
        body = self._body
        if body is None:
            self._header_filled += count
            return self._begin_body() if self._header_filled == HEADER_BYTES else []
        if body.is_kept:
            body.crc = crc64(body.buffer[body.filled : body.filled + count], body.crc)
        body.filled += count
        if body.is_beginning and body.filled == len(body.buffer):
            self._ask_for_refusal(body)
        return self._finish_body(body) if body.is_complete else []

    def feed(self, data: bytes | memoryview) -> list[Message]:
        """Process bytes that lie in other memory; otherwise as `advance`."""
        data, messages = memoryview(data), []
        while data:
            space = self.writable()
            count = min(len(space), len(data))
            space[:count] = data[:count]
            messages += self.advance(count)
            data = data[count:]
        return messages

    def _expect_header(self) -> None:
        self._header_filled, self._body = 0, None

    def _begin_body(self) -> list[Message]:
        header = self._checked_header()
        self.peer_version = max(self.peer_version, header.version)
        self._body = body = _IncomingBody(header)
        if self._refusal is not None and header.type == "IMAGE" and header.body_bytes > 0:
            body.is_beginning = True
            body.buffer = memoryview(bytearray(min(IMAGE_BEGINNING_BYTES, header.body_bytes)))
        else:
            self._provide_memory(body)
        return self._finish_body(body) if body.is_complete else []

    def _ask_for_refusal(self, body: _IncomingBody) -> None:
        """Ask whether an image is refused, unless it is a single slice, and continue after its first bytes."""
        header, beginning, body.is_beginning = body.header, body.buffer, False
        if self._refusal is not None and not is_single_slice(header, beginning):
            body.refused = self._refusal(header.device, header.body_bytes)
        self._provide_memory(body)
        if body.is_kept:
            body.buffer[: len(beginning)] = beginning

    def _provide_memory(self, body: _IncomingBody) -> None:
        """Allocate memory for a body that is needed; any other is read and discarded."""
        header = body.header
        is_wanted = self._on_message is not None or is_known(header.type)
        body.is_kept = is_wanted and not body.refused and not _is_too_large(header)
        if body.is_kept:
            body.buffer = self._memory_for(header)

    def _checked_header(self) -> Header:
        try:
            header = parse_header(self._header_buffer)
        except MessageError as error:
            raise self._fatal(DropReason.GARBAGE, str(error)) from error
        if header.version not in SUPPORTED_VERSIONS:
            raise self._fatal(DropReason.VERSION, f"got version {header.version}, this program reads 1 and 2")
        if header.body_bytes > self.max_body_bytes:
            size = f"{header.type} '{header.device}' declares {header.body_bytes / 1e6:.0f} MB"
            raise self._fatal(DropReason.TOO_LARGE, f"{size}, at most {self.max_body_bytes / 1e6:.0f} MB are taken")
        return header

    def _memory_for(self, header: Header) -> memoryview:
        try:
            return np.empty(header.body_bytes, np.uint8).data  # takes no time for pages not yet used
        except MemoryError as error:
            size = f"{header.type} '{header.device}' of {header.body_bytes / 1e6:.0f} MB"
            raise self._fatal(DropReason.TOO_LARGE, f"this machine has no memory for {size}") from error

    def _fatal(self, reason: DropReason, text: str) -> LinkError:
        """Count the reason, and return the error that ends the connection; the message does not count as cut short."""
        self._expect_header()
        self.statistics.drop(reason, text)
        return LinkError(f"{reason.value}: {text}")

    def _finish_body(self, body: _IncomingBody) -> list[Message]:
        header = body.header
        self._expect_header()
        discarded = _reason_to_discard(body)
        if discarded is not None:
            self.statistics.drop(*discarded)
            return []
        if self._on_message is not None:
            self._on_message(self._header_buffer, body.buffer)
        if not is_known(header.type):
            self.statistics.skip(header.type, header.device)
            return []
        message = self._read(body)
        if message is None:
            return []
        self.statistics.received[header.type] += 1
        count_oddities(self.statistics, header, message, self.frame)
        return list(parts_of(message))

    def _read(self, body: _IncomingBody) -> Message | None:
        """Return the message of a body, or count why it cannot be read."""
        try:
            return read_message(body.header, body.buffer, self.frame)
        except MessageError as error:
            self.statistics.drop(DropReason.BODY, str(error))
        except MemoryError:
            what = f"{body.header.type} '{body.header.device}'"
            self.statistics.drop(DropReason.TOO_LARGE, f"this machine has no memory to read {what}")
        return None


def read_message(header: Header, body: memoryview, frame: PatientFrame) -> Message:
    """Unpack a message, with limits for its name and metadata: names end in nodes, files and lines of a log.

    Raises:
        MessageError: the body disagrees with its header, or name or metadata exceed the limits.
    """
    if header.version == 2 and len(body) >= EXTENDED_HEADER.size:
        _, index_bytes, strings_bytes, _ = EXTENDED_HEADER.unpack(body[: EXTENDED_HEADER.size])
        if index_bytes + strings_bytes > MAX_RECEIVED_METADATA_BYTES:
            size = f"{header.type} '{header.device}' has {index_bytes + strings_bytes} bytes of metadata"
            raise MessageError(f"{size}, at most {MAX_RECEIVED_METADATA_BYTES} are taken")
    with np.errstate(all="ignore"):  # what NaN and infinity lead to is refused by the checks
        message = unpack(header, body, frame)
    if len(message.device) > MAX_DEVICE_NAME or not message.device.isprintable():
        what = f"{header.type} with the device name {message.device!r:.60}"
        raise MessageError(f"{what}: a name has at most {MAX_DEVICE_NAME} printable characters")
    return message


def _is_too_large(header: Header) -> bool:
    """Return whether a body is too large for its type; it is discarded then, and the connection continues."""
    return header.type in SMALL_TYPES and header.body_bytes > MAX_SMALL_BODY_BYTES


def _reason_to_discard(body: _IncomingBody) -> tuple[DropReason, str] | None:
    header = body.header
    what = f"{header.type} '{header.device}'"
    if _is_too_large(header):
        limit = f"at most {MAX_SMALL_BODY_BYTES / 1e6:.1f} MB are taken"
        return DropReason.TOO_LARGE, f"{what} of {header.body_bytes / 1e6:.1f} MB, {limit}"
    if body.refused:
        return DropReason.TOO_LARGE, f"{what}: {body.refused}"
    if body.is_kept and body.crc != header.crc:
        return DropReason.CRC, f"{what}, {header.body_bytes} bytes"
    return None
