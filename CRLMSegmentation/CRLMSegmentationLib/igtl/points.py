"""The body of a POINT message: 136 bytes a point (OpenIGTLink v2).

pyigtl loses a message whose names are not UTF-8, and cuts long names without an error.
"""

from __future__ import annotations

import numpy as np

from ..core.errors import GeometryError, MessageError
from .content import Content, Envelope, points_between_frames
from .messages import PatientFrame, PointMessage

POINT = np.dtype(
    [("name", "S64"), ("group", "S32"), ("rgba", "u1", 4), ("xyz", ">f4", 3), ("diameter", ">f4"), ("owner", "S20")]
)
POINT_BYTES = POINT.itemsize
DEFAULT_RGBA = (255, 255, 0, 255)
"""Yellow, the default of pyigtl."""


def read_points_message(content: memoryview, envelope: Envelope, frame: PatientFrame) -> PointMessage:
    """Read the content of a POINT.

    Raises:
        MessageError: its size is wrong.
        GeometryError: a point holds NaN or infinity.
    """
    records = read_points(content)
    points = points_between_frames(records["xyz"], frame)
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


def pack_points_message(message: PointMessage, frame: PatientFrame) -> Content:
    """Return the content of a POINT.

    Raises:
        MessageError: the points are not finite or of another shape, or see `pack_points`.
    """
    points = np.asarray(message.points_ras_mm, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points) or not np.isfinite(points).all():
        raise MessageError(f"points must be finite and of shape (N, 3), got {points.shape}")
    points, m = points_between_frames(points, frame), message
    return Content("POINT", [pack_points(points, m.names, m.groups, m.colours_rgba, m.diameters_mm, m.owners)])


def pack_points(
    points_mm: np.ndarray,
    names: tuple[str, ...],
    groups: tuple[str, ...],
    colours_rgba: tuple[tuple[int, int, int, int], ...],
    diameters_mm: tuple[float, ...],
    owners: tuple[str, ...],
) -> bytes:
    """Return the body of points (N, 3); each of the tuples is empty or has one entry for each point.

    Raises:
        MessageError: a tuple has another length, or a value does not fit into its field.
    """
    records = np.zeros(len(points_mm), POINT)
    records["xyz"] = points_mm
    for field, texts in (("name", names), ("group", groups), ("owner", owners)):
        records[field] = _encoded(field, texts, len(records))
    records["rgba"] = _checked_colours(colours_rgba, len(records))
    records["diameter"] = _one_each("diameters", diameters_mm or (0.0,) * len(records), len(records))
    if not np.isfinite(records["diameter"]).all() or (records["diameter"] < 0).any():
        raise MessageError(f"diameters of points must be finite and not negative, got {diameters_mm}")
    return records.tobytes()


def read_points(content: memoryview) -> np.ndarray:
    """Return the points of a body as records of type `POINT`; `text_of` reads their names.

    Raises:
        MessageError: the size of the body is no multiple of that of a point.
    """
    if len(content) % POINT_BYTES:
        raise MessageError(f"POINT of {len(content)} bytes, expected a multiple of {POINT_BYTES}")
    return np.frombuffer(content, POINT)


def text_of(data: bytes) -> str:
    """Return the text of a field of fixed length, up to its first NUL."""
    return data.split(b"\0")[0].decode("utf8", "replace")


def _one_each(what: str, values: tuple, count: int) -> tuple:
    if len(values) != count:
        raise MessageError(f"{what} of points are one each or none at all, got {len(values)} for {count} points")
    return values


def _encoded(field: str, texts: tuple[str, ...], count: int) -> list[bytes]:
    """Return texts as UTF-8 that leaves a byte for NUL: the C++ library reads beyond the end of a full field."""
    encoded = [text.encode("utf8") for text in _one_each(f"{field}s", texts or ("",) * count, count)]
    capacity = POINT[field].itemsize - 1
    for text, data in zip(texts, encoded):
        if len(data) > capacity or b"\0" in data:
            raise MessageError(
                f"the {field} of a point is at most {capacity} bytes without NUL, got {text!r:.80}; shorten it"
            )
    return encoded


def _checked_colours(colours_rgba: tuple[tuple[int, int, int, int], ...], count: int) -> np.ndarray:
    colours = np.array(_one_each("colours", colours_rgba or (DEFAULT_RGBA,) * count, count))
    if colours.shape != (count, 4) or colours.dtype.kind not in "iu" or colours.min() < 0 or colours.max() > 255:
        raise MessageError(f"colours of points are four whole numbers from 0 to 255 each, got {colours_rgba}")
    return colours
