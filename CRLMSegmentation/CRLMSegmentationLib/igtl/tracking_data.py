"""The bodies of POSITION, QTRANS, TDATA and QTDATA messages (OpenIGTLink v2 and v3), which carry poses of tools.

    POSITION, QTRANS    x y z [qx qy qz [w]]: 12, 24 or 28 bytes, float32
    TDATA               for each tool: name[20], type, reserved, 3 x 4 matrix as in TRANSFORM: 70 bytes
    QTDATA              for each tool: name[20], type, reserved, x y z qx qy qz w: 50 bytes

The orientation of a tool of type 3D ("only tip of the instrument defined") or 5D ("not the normal vector") is
undefined, as in a POSITION of 12 bytes: the matrix then holds the position alone, and `has_orientation` is False.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..core.errors import GeometryError, MessageError
from .points import text_of

NAME_BYTES = 20
_ELEMENT = [("name", f"V{NAME_BYTES}"), ("type", "u1"), ("reserved", "u1")]
ELEMENTS = {
    "TDATA": np.dtype([*_ELEMENT, ("matrix", ">f4", 12)]),
    "QTDATA": np.dtype([*_ELEMENT, ("pose", ">f4", 7)]),
}
"""Layout of one tool in the body, by type of message."""
POSITION_TYPES = ("POSITION", "QTRANS")
POSE_TYPES = ("TRANSFORM", *POSITION_TYPES, *ELEMENTS)
"""Types of message that carry poses."""
MAX_ELEMENTS = 256
"""Largest number of tools in a message; trackers have some dozens."""
TYPES_WITHOUT_ORIENTATION = (3, 4)
"""3D and 5D instruments, see the docstring of this module."""
UNIT_TOLERANCE = 0.01
"""Largest deviation of the length of a quaternion from 1; float32 is exact to 1e-7."""
POSITION_BYTES = (12, 24, 28)


class PoseInBody(NamedTuple):
    """A pose of a body, in the frame of the peer.

    Attributes:
        matrix: 4x4; the identity with a position where `has_orientation` is False.
    """

    matrix: np.ndarray
    has_orientation: bool = True


class Element(NamedTuple):
    """One tool of a TDATA or QTDATA message.

    Attributes:
        name: in full where the metadata gives it.
        may_be_cut: the name fills its field, and no metadata gives it in full.
        status: status in the metadata; empty where there is none.
        pose: the pose, or the reason why it cannot be read.
    """

    name: str
    may_be_cut: bool
    status: str
    pose: PoseInBody | str


def read_position(content: memoryview) -> PoseInBody:
    """Read the body of a POSITION or QTRANS message.

    Raises:
        MessageError: it has none of the three sizes.
        GeometryError: the length of the quaternion is not 1.
    """
    if len(content) not in POSITION_BYTES:
        raise MessageError(f"a position of {len(content)} bytes, expected 12, 24 or 28")
    numbers = np.frombuffer(content, ">f4").astype(np.float64)
    return _pose_of(numbers[:3], numbers[3:])


def read_elements(message_type: str, content: memoryview, metadata: Mapping[str, str]) -> list[Element]:
    """Read the tools of a TDATA or QTDATA message. A tool that cannot be read does not affect the others.

    Args:
        metadata: PLUS writes "<name>Index" and "<name>Status" for each tool, with names that are not cut.

    Raises:
        MessageError: the size of the body is no multiple of that of a tool, or there are too many.
    """
    records = _records(message_type, content)
    full_names = _full_names(metadata)
    return [_element(record, full_names.get(index, ""), metadata) for index, record in enumerate(records)]


def element_names(message_type: str, content: memoryview | bytes, metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the tools of a TDATA or QTDATA message, in full where the metadata gives them.

    Raises:
        MessageError: the size of the body is no multiple of that of a tool, or there are too many.
    """
    full_names = _full_names(metadata)
    return tuple(
        _name_of(record, full_names.get(index, ""))[0] for index, record in enumerate(_records(message_type, content))
    )


def _records(message_type: str, content: memoryview | bytes) -> np.ndarray:
    kind = ELEMENTS[message_type]
    count, rest = divmod(len(content), kind.itemsize)
    if rest:
        raise MessageError(f"{message_type} of {len(content)} bytes, expected a multiple of {kind.itemsize}")
    if count > MAX_ELEMENTS:
        raise MessageError(f"{message_type} with {count} tools, at most {MAX_ELEMENTS} are read")
    return np.frombuffer(content, kind)


def _full_names(metadata: Mapping[str, str]) -> dict[int, str]:
    """Return the full names by index of the tool, from the metadata "<name>Index" of PLUS."""
    ending = "Index"
    named = ((key[: -len(ending)], value) for key, value in metadata.items() if key.endswith(ending))
    return {
        int(value): name for name, value in named if name and value.isascii() and value.isdigit() and len(value) < 6
    }


def _name_of(record: np.void, full_name: str) -> tuple[str, bool]:
    """Return the name of a tool, and whether it may be cut."""
    data = record["name"].tobytes().split(b"\0")[0]
    name = text_of(data).rstrip()
    if len(data) < NAME_BYTES:
        return name, False
    is_same = full_name.startswith(name)
    return (full_name, False) if is_same else (name, True)


def _element(record: np.void, full_name: str, metadata: Mapping[str, str]) -> Element:
    name, may_be_cut = _name_of(record, full_name)
    status = metadata.get(f"{name}Status", "")
    try:
        pose: PoseInBody | str = _pose_in(record)
    except GeometryError as error:
        pose = str(error)
    return Element(name, may_be_cut, status, pose)


def _pose_in(record: np.void) -> PoseInBody:
    if record.dtype == ELEMENTS["QTDATA"]:
        numbers = record["pose"].astype(np.float64)
        pose = _pose_of(numbers[:3], numbers[3:])
    else:
        matrix = np.eye(4)
        matrix[:3] = record["matrix"].astype(np.float64).reshape(4, 3).T
        pose = PoseInBody(matrix)
    return _without_orientation(pose.matrix[:3, 3]) if record["type"] in TYPES_WITHOUT_ORIENTATION else pose


def _pose_of(position_mm: np.ndarray, quaternion: np.ndarray) -> PoseInBody:
    """Return the pose of a position and a quaternion: x y z w, x y z (then w is positive), or nothing."""
    if not len(quaternion):
        return _without_orientation(position_mm)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_of(quaternion)
    matrix[:3, 3] = position_mm
    return PoseInBody(matrix)


def _without_orientation(position_mm: np.ndarray) -> PoseInBody:
    matrix = np.eye(4)
    matrix[:3, 3] = position_mm
    return PoseInBody(matrix, has_orientation=False)


def rotation_of(quaternion: np.ndarray) -> np.ndarray:
    """Return the 3x3 rotation of a quaternion x y z w, or of x y z, where w is positive and makes the length 1.

    Raises:
        GeometryError: its length is not 1 within `UNIT_TOLERANCE`, or it is not finite.
    """
    if len(quaternion) == 3:
        quaternion = np.append(quaternion, np.sqrt(max(0.0, 1.0 - float(quaternion @ quaternion))))
    length = float(np.linalg.norm(quaternion))
    if not abs(length - 1) <= UNIT_TOLERANCE:
        raise GeometryError(f"a quaternion must have the length 1, got {length:.3g}: {quaternion.tolist()}")
    x, y, z, w = quaternion / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
