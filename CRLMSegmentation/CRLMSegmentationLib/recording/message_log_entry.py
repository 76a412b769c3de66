"""The entry of a message in a log: type, device, times and size, without its content."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from ..core.errors import MessageError
from ..igtl.messages import MAX_NAME_BYTES
from ..igtl.packing import (
    EXTENDED_HEADER,
    FULL_NAME_KEY,
    HEADER_BYTES,
    IMAGE_HEAD,
    Header,
    content_and_metadata,
    read_metadata,
)
from ..igtl.protocol import MAX_RECEIVED_METADATA_BYTES, MAX_SMALL_BODY_BYTES
from ..igtl.tracking_data import ELEMENTS, POSE_TYPES, element_names

BIG_ENDIAN = 1
ReadBody = Callable[[int, int], bytes]
"""Gives bytes of a body: from where, how many."""


class Entry(NamedTuple):
    """A message of a recording, without its content.

    Attributes:
        received_s: when it was complete here, seconds since 1970; never less than that of the message before.
        offset_bytes: where its header begins in `messages.igtl`.
        size_bytes: header and body.
        device: the full name, also where the header cuts it.
        shape: of an IMAGE, (K, J, I) or (K, J, I, components); None for other types.
        is_arrival_known: `received_s` was recorded, and not guessed from the times of the sender.
        tools: names of the tools of a TDATA or QTDATA message; empty for other types.
    """

    received_s: float
    offset_bytes: int
    size_bytes: int
    type: str
    device: str
    timestamp_s: float
    shape: tuple[int, ...] | None = None
    is_arrival_known: bool = True
    tools: tuple[str, ...] = ()

    @property
    def poses(self) -> tuple[str, ...]:
        """The names of the poses that it carries."""
        return self.tools or ((self.device,) if self.type in POSE_TYPES and self.type not in ELEMENTS else ())

    @property
    def is_volume(self) -> bool:
        """An image of more than one slice."""
        return self.shape is not None and self.shape[0] > 1


class ImageLayout(NamedTuple):
    """Where and how the voxels of an IMAGE lie in its body; `scalar_type` is OpenIGTLink's number."""

    shape: tuple[int, ...]
    scalar_type: int
    is_big_endian: bool
    voxels_at_bytes: int


def entry_of(header: Header, read: ReadBody, offset_bytes: int, received_s: float) -> Entry:
    """Make the entry of a message without reading all of its body."""
    layout = image_layout(header, read)
    shape = layout.shape if layout else None
    size_bytes = HEADER_BYTES + header.body_bytes
    device = _full_name(header, read)
    tools = _tools(header, read) if header.type in ELEMENTS else ()
    return Entry(received_s, offset_bytes, size_bytes, header.type, device, header.timestamp_s, shape, tools=tools)


def image_layout(header: Header, read: ReadBody) -> ImageLayout | None:
    """Return how the voxels of an IMAGE lie in its body; None for other types and for a body that is too short."""
    if header.type != "IMAGE":
        return None
    try:
        start = EXTENDED_HEADER.unpack(read(0, EXTENDED_HEADER.size))[0] if header.version > 1 else 0
        _, components, scalar_type, endian, _, i, j, k, *_ = IMAGE_HEAD.unpack(read(start, IMAGE_HEAD.size))
    except struct.error:
        return None
    shape = (k, j, i) if components == 1 else (k, j, i, components)
    return ImageLayout(shape, scalar_type, endian == BIG_ENDIAN, start + IMAGE_HEAD.size)


def _full_name(header: Header, read: ReadBody) -> str:
    """Return the full device name, which stands in the metadata where it is too long for the header."""
    if header.version == 1 or len(header.device) < MAX_NAME_BYTES:
        return header.device
    try:
        _, index, strings, _ = EXTENDED_HEADER.unpack(read(0, EXTENDED_HEADER.size))
        start = header.body_bytes - index - strings
        if start < EXTENDED_HEADER.size or index + strings > MAX_RECEIVED_METADATA_BYTES:
            return header.device
        metadata = read_metadata(bytes(read(start, index)), bytes(read(start + index, strings)))
    except (struct.error, MessageError):
        return header.device
    return metadata.get(FULL_NAME_KEY, header.device)


def _tools(header: Header, read: ReadBody) -> tuple[str, ...]:
    """Return the names of the tools in a message with several; none where it cannot be read."""
    if header.body_bytes > MAX_SMALL_BODY_BYTES:
        return ()
    try:
        content, metadata = content_and_metadata(header, memoryview(bytes(read(0, header.body_bytes))))
        return element_names(header.type, content, metadata)
    except (struct.error, MessageError):
        return ()
