"""The body of an IMAGE message."""

from __future__ import annotations

import struct
import sys

import numpy as np

from ..core.errors import GeometryError, MessageError
from ..core.geometry import MAX_CALIBRATION_SHEAR, MAX_SHEAR, RAS_TO_LPS, check_ijk_to_ras, transform_points
from .content import Content, Envelope
from .header import Header
from .messages import ImageMessage, PatientFrame
from .metadata import EXTENDED_HEADER
from .pyigtl_bodies import SCALAR_TYPES, read_image_body

IMAGE_HEAD = struct.Struct(">H4B3H12f6H")
NARROWER = {"b": np.uint8, "i": np.int32, "u": np.uint32, "f": np.float32}
WIRE_DTYPES = {dtype: code for code, dtype in SCALAR_TYPES.items()}
BIG_ENDIAN, LITTLE_ENDIAN = 1, 2
NATIVE_ENDIAN = LITTLE_ENDIAN if sys.byteorder == "little" else BIG_ENDIAN
COORDINATE_FLAGS = {1: PatientFrame.RAS, 2: PatientFrame.LPS}
IMAGE_BEGINNING_BYTES = EXTENDED_HEADER.size + IMAGE_HEAD.size
"""Bytes at the start of the body of an IMAGE that are needed to know its number of slices."""


def is_single_slice(header: Header, beginning: memoryview) -> bool:
    """Return whether the first `IMAGE_BEGINNING_BYTES` of the body say that the image has a single slice."""
    start = 0
    if header.version > 1 and len(beginning) >= EXTENDED_HEADER.size:
        start = EXTENDED_HEADER.unpack(beginning[: EXTENDED_HEADER.size])[0]
    head = beginning[start : start + IMAGE_HEAD.size]
    return len(head) == IMAGE_HEAD.size and IMAGE_HEAD.unpack(head)[7] == 1


def read_image(content: memoryview, envelope: Envelope, frame: PatientFrame) -> ImageMessage:
    """Read the content of an IMAGE; the message takes over its memory where it can.

    Raises:
        MessageError: its head is not understood.
        GeometryError: it is empty, or its matrix is impossible.
    """
    label = _check_image_head(content)
    body = read_image_body(content)
    if 0 in body.array.shape:
        raise GeometryError(f"the image is empty: {body.array.shape}")
    native = body.array.dtype.newbyteorder("=")
    array = np.require(body.array, native, ["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"])
    matrix = RAS_TO_LPS @ body.ijk_to_frame if frame is PatientFrame.LPS else body.ijk_to_frame
    return ImageMessage(
        envelope.device, envelope.timestamp_s, array, _check_ijk_to_ras(matrix, array), envelope.metadata, label
    )


def pack_image(message: ImageMessage, frame: PatientFrame) -> Content:
    """Return the content of an IMAGE; its voxels are not copied where their type can be sent.

    Raises:
        MessageError: see `wire_array`.
        GeometryError: the matrix is impossible.
    """
    array = np.ascontiguousarray(wire_array(message.array))
    matrix = _check_ijk_to_ras(message.ijk_to_ras, array)
    matrix = RAS_TO_LPS @ matrix if frame is PatientFrame.LPS else matrix
    size = array.shape[2::-1]
    centre = transform_points(matrix, (np.array(size) - 1) / 2)
    components, coordinates = (*array.shape, 1)[3], {PatientFrame.RAS: 1, PatientFrame.LPS: 2}[frame]
    kind = (1, components, WIRE_DTYPES[array.dtype], NATIVE_ENDIAN, coordinates)
    head = IMAGE_HEAD.pack(*kind, *size, *matrix[:3, :3].T.ravel(), *centre, 0, 0, 0, *size)
    return Content("IMAGE", [head, array.reshape(-1).view(np.uint8).data])


def wire_array(array: np.ndarray) -> np.ndarray:
    """Return voxels in a type that OpenIGTLink has: bool becomes uint8, float16 float32, 64-bit integers 32-bit ones.

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


def _check_image_head(content: memoryview) -> PatientFrame | None:
    """Check the head of an IMAGE; return the frame that it states, None for an unknown flag.

    Raises:
        MessageError: the type of the voxels or the order of bytes is unknown, or it is a part of an image.
    """
    _, components, scalar_type, endian, coordinates, i, j, k, *rest = IMAGE_HEAD.unpack(content[: IMAGE_HEAD.size])
    if scalar_type not in SCALAR_TYPES:
        known = ", ".join(f"{code} {t.name}" for code, t in SCALAR_TYPES.items())
        raise MessageError(f"its voxels are of the type {scalar_type}, OpenIGTLink has {known}")
    if endian not in (BIG_ENDIAN, LITTLE_ENDIAN) and SCALAR_TYPES[scalar_type].itemsize > 1:
        raise MessageError(f"the order of its bytes is {endian}, expected 1 (big-endian) or 2 (little-endian)")
    if tuple(rest[12:]) != (0, 0, 0, i, j, k):
        raise MessageError(f"it is a part of an image of {i} x {j} x {k} voxels; have the sender send it whole")
    if not components:
        raise MessageError("it has 0 components; expected 1, or several for colours")
    return COORDINATE_FLAGS.get(coordinates)


def _check_ijk_to_ras(ijk_to_ras: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Return a checked matrix. That of a single slice, a live 2D image, may be sheared as calibrations are."""
    return check_ijk_to_ras(ijk_to_ras, MAX_CALIBRATION_SHEAR if array.shape[0] == 1 else MAX_SHEAR)
