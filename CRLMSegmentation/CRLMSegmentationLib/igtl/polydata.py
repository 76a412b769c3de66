"""The body of a POLYDATA message (OpenIGTLink v2), which pyigtl does not write as the standard says and cannot read.

Polygons are read as triangle fans around their first corner, and triangle strips as triangles. Vertices, lines and
attributes (colours, normals) are skipped: the result is a surface.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..core.errors import GeometryError, MessageError
from .content import Content, Envelope, points_between_frames
from .messages import PatientFrame, PolyDataMessage

HEAD = struct.Struct(">10I")
WORD_BYTES = 4
POINT_BYTES = 12
MIN_ATTRIBUTE_BYTES = 7
"""Type, number of components, size, and the NUL of an empty name."""
MAX_WORDS = 4_000_000
"""Limit of the numbers in polygons and strips together: one million triangles. An organ has some hundred thousand."""


@dataclass(frozen=True, eq=False)
class _Cells:
    """Polygons or strips in the layout of VTK: number of corners, their indices, the next number of corners ..."""

    what: str
    count: int
    words: np.ndarray


def read_polydata_message(content: memoryview, envelope: Envelope, frame: PatientFrame) -> PolyDataMessage:
    """Read the content of a POLYDATA.

    Raises:
        MessageError, GeometryError: see `unpack_polydata`.
    """
    points, triangles = unpack_polydata(content)
    points = points_between_frames(points, frame)
    return PolyDataMessage(envelope.device, envelope.timestamp_s, points, triangles, envelope.metadata)


def pack_polydata_message(message: PolyDataMessage, frame: PatientFrame) -> Content:
    """Return the content of a POLYDATA.

    Raises:
        MessageError, GeometryError: see `pack_polydata`.
    """
    points = np.asarray(message.points_ras_mm, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise MessageError(f"the points of a surface must be of shape (N, 3), got {points.shape}")
    return Content("POLYDATA", [pack_polydata(points_between_frames(points, frame), message.triangles)])


def pack_polydata(points_mm: np.ndarray, triangles: np.ndarray) -> bytes:
    """Return the body of a surface of points (N, 3), mm, and triangles (M, 3), indices of points.

    Raises:
        MessageError: an array has another shape or type, or an index is out of range.
        GeometryError: a point holds NaN or infinity.
    """
    points, triangles = np.asarray(points_mm), np.asarray(triangles)
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu":
        raise MessageError(f"triangles must be whole numbers of shape (M, 3), got {triangles.dtype} {triangles.shape}")
    _check_finite(points)
    _check_indices(triangles, len(points))
    words = np.full((len(triangles), 4), 3, ">u4")
    words[:, 1:] = triangles
    head = HEAD.pack(len(points), 0, 0, 0, 0, len(words), words.nbytes, 0, 0, 0)
    return head + points.astype(">f4").tobytes() + words.tobytes()


def unpack_polydata(content: memoryview) -> tuple[np.ndarray, np.ndarray]:
    """Return the points (N, 3), float64, and triangles (M, 3), int32, of a body.

    Sizes are checked before memory is allocated.

    Raises:
        MessageError: sizes disagree with one another or with the body, it is too large, or an index is out of range.
        GeometryError: a point holds NaN or infinity.
    """
    if len(content) < HEAD.size:
        raise MessageError(f"POLYDATA of {len(content)} bytes is shorter than its head of {HEAD.size}")
    n_points, *pairs, n_attributes = HEAD.unpack(content[: HEAD.size])
    counts, sizes = pairs[::2], pairs[1::2]
    _check_sizes(len(content), n_points, counts, sizes, n_attributes)
    ends = list(itertools.accumulate(sizes, initial=HEAD.size + n_points * POINT_BYTES))
    points = np.frombuffer(content[HEAD.size : ends[0]], ">f4").reshape(-1, 3).astype(np.float64)
    polygons = _Cells("polygons", counts[2], _words(content[ends[2] : ends[3]]))
    strips = _Cells("triangle strips", counts[3], _words(content[ends[3] : ends[4]]))
    _check_finite(points)
    triangles = np.concatenate([_triangles_of_polygons(polygons), _triangles_of_strips(strips)])
    _check_indices(triangles, n_points)
    return points, triangles.astype(np.int32)


def _check_sizes(length: int, n_points: int, counts: list[int], sizes: list[int], n_attributes: int) -> None:
    """Check the sizes in the head of a body, with integers of Python, which do not overflow."""
    rest = length - HEAD.size - n_points * POINT_BYTES - sum(sizes)
    if rest < n_attributes * MIN_ATTRIBUTE_BYTES or (rest and not n_attributes):
        declared = f"{n_points} points, cells of {sizes} bytes and {n_attributes} attributes"
        raise MessageError(f"POLYDATA of {length} bytes disagrees with its head: {declared}")
    for count, size in zip(counts, sizes):
        if size % WORD_BYTES or size < WORD_BYTES * count or (size and not count):
            raise MessageError(f"{count} cells of a surface cannot take {size} bytes")
    words = (sizes[2] + sizes[3]) // WORD_BYTES
    if words > MAX_WORDS:
        raise MessageError(f"a surface of {words} indices is too large, at most {MAX_WORDS} are taken; simplify it")


def _words(content: memoryview) -> np.ndarray:
    return np.frombuffer(content, ">u4").astype(np.uint32)


def _check_finite(points: np.ndarray) -> None:
    if not np.isfinite(points).all():
        raise GeometryError("a point of the surface holds NaN or infinity")


def _check_indices(triangles: np.ndarray, n_points: int) -> None:
    if triangles.size and (triangles.min() < 0 or triangles.max() >= n_points):
        span = f"{triangles.min()} to {triangles.max()}"
        raise MessageError(f"the triangles name points {span}, the surface has {n_points}")


def _triangles_of_polygons(cells: _Cells) -> np.ndarray:
    """Return triangle fans around the first corner: right for triangles, quads and convex polygons."""
    first, nth, _ = _corners(cells)
    return np.take(cells.words, np.stack([first, first + nth + 1, first + nth + 2], axis=-1))


def _triangles_of_strips(cells: _Cells) -> np.ndarray:
    """Return the triangles of strips; every second one is reversed, so that all have the same orientation."""
    first, nth, odd = _corners(cells)
    return np.take(cells.words, np.stack([first + nth + odd, first + nth + 1 - odd, first + nth + 2], axis=-1))


def _corners(cells: _Cells) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each triangle the index of the first corner of its cell, its number there, and whether that is odd."""
    starts, sizes = _starts(cells)
    triangles = sizes - 2
    first = np.repeat(starts + 1, triangles)
    nth = np.arange(len(first)) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    return first, nth, nth % 2


def _starts(cells: _Cells) -> tuple[np.ndarray, np.ndarray]:
    """Return the index at which each cell begins, and its number of corners."""
    starts = _equal_starts(cells)
    if starts is None:
        starts = np.fromiter(_walk(cells), np.int64)
    return starts, cells.words[starts].astype(np.int64)


def _equal_starts(cells: _Cells) -> np.ndarray | None:
    """Return the starts of cells that all have the same number of corners; else None. The usual case, and fast."""
    size = int(cells.words[0]) if cells.count else 0
    starts = np.arange(cells.count) * (size + 1)
    if size < 3 or len(cells.words) != cells.count * (size + 1) or (cells.words[starts] != size).any():
        return None
    return starts


def _walk(cells: _Cells) -> Iterator[int]:
    """Yield the start of each cell.

    Raises:
        MessageError: the numbers of corners do not add up to the size of the cells.
    """
    at, words = 0, cells.words.data  # read twice as fast as from the array
    for _ in range(cells.count):
        size = words[at] if at < len(words) else 0
        if size < 3 or at + 1 + size > len(words):
            raise MessageError(f"the {cells.what} of a surface disagree with their size: {size} corners at {at}")
        yield at
        at += 1 + size
    if at != len(words):
        raise MessageError(f"the {cells.what} of a surface disagree with their size: {len(words) - at} left over")
