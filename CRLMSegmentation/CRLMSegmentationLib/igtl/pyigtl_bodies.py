"""The bodies that pyigtl reads, IMAGE and TRANSFORM, and the types of voxels that it knows.

No other module of this library imports pyigtl. It is not used for writing: it copies a volume five times, and rounds
the matrix before it calculates the centre from it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pyigtl import messages as pyigtl_messages

SCALAR_TYPES: dict[int, np.dtype] = {
    code: np.dtype(dtype) for code, dtype in pyigtl_messages.ImageMessage.scalar_types.items()
}
"""Types of voxels by their code in an IMAGE."""


class ImageBody(NamedTuple):
    """Content of an IMAGE as pyigtl gives it.

    Attributes:
        array: shape (K, J, I) or (K, J, I, components), possibly read-only and big-endian.
        ijk_to_frame: 4x4, mm, in the frame of the peer.
    """

    array: np.ndarray
    ijk_to_frame: np.ndarray


def read_image_body(content: memoryview) -> ImageBody:
    """Read the content of an IMAGE."""
    message = _read("IMAGE", content)
    return ImageBody(message.image, message.ijk_to_world_matrix)


def read_transform_body(content: memoryview) -> np.ndarray:
    """Read the matrix (4x4, mm, in the frame of the peer) of a TRANSFORM."""
    matrix: np.ndarray = _read("TRANSFORM", bytes(content)).matrix
    return matrix


def _read(message_type: str, content: memoryview | bytes) -> pyigtl_messages.MessageBase:
    """Have pyigtl read a content. With header version 1 it takes all bytes for content."""
    message = pyigtl_messages.MessageBase.create_message(message_type)
    message.unpack(dict.fromkeys(("message_type", "device_name", "timestamp")) | {"header_version": 1}, content)
    return message
