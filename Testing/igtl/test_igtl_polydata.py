"""Surfaces: what becomes a triangle, and sizes that lie."""

from __future__ import annotations

import contextlib
import tracemalloc

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import GeometryError, MessageError
from CRLMSegmentationLib.igtl.polydata import HEAD, MAX_WORDS, pack_polydata, unpack_polydata
from hypothesis import given
from hypothesis import strategies as st

POINTS = np.arange(18.0).reshape(6, 3)
Cells = list[list[int]]


def words(cells: Cells) -> bytes:
    return np.array([n for cell in cells for n in (len(cell), *cell)], ">u4").tobytes()


def body(polygons: Cells = (), strips: Cells = (), lines: Cells = (), attributes: int = 0, tail: bytes = b"") -> bytes:
    """A body whose head is right."""
    p, s, ln = words(polygons), words(strips), words(lines)
    counts = (len(POINTS), 0, 0, len(lines), len(ln), len(polygons), len(p), len(strips), len(s), attributes)
    return HEAD.pack(*counts) + POINTS.astype(">f4").tobytes() + ln + p + s + tail


def triangles_of(data: bytes) -> list[list[int]]:
    return unpack_polydata(memoryview(data))[1].tolist()


def with_head(**changes: int) -> bytes:
    """A body of one triangle whose head says something else."""
    data = body([[0, 1, 2]])
    names = ("points", "n_vertices", "vertices", "n_lines", "lines", "n_polygons", "polygons", "n_strips", "strips")
    head = dict(zip((*names, "attributes"), HEAD.unpack(data[: HEAD.size]))) | changes
    return HEAD.pack(*head.values()) + data[HEAD.size :]


def test_points_and_triangles_come_back() -> None:
    points, triangles = unpack_polydata(memoryview(pack_polydata(POINTS, np.array([[0, 1, 2], [3, 4, 5]]))))
    np.testing.assert_array_equal(points, POINTS)
    assert triangles.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (points.dtype, triangles.dtype) == (np.float64, np.int32)


def test_polygons_become_fans() -> None:
    quads = [[0, 1, 2], [0, 2, 3], [2, 3, 4], [2, 4, 5]]
    assert triangles_of(body([[0, 1, 2, 3], [2, 3, 4, 5]])) == quads
    assert triangles_of(body([[5, 4, 3], [0, 1, 2, 3, 4]])) == [[5, 4, 3], [0, 1, 2], [0, 2, 3], [0, 3, 4]]


def test_triangles_of_a_strip_all_face_one_way() -> None:
    assert triangles_of(body(strips=[[0, 1, 2, 3, 4], [1, 2, 3]])) == [[0, 1, 2], [2, 1, 3], [2, 3, 4], [1, 2, 3]]


def test_lines_and_attributes_are_left_out() -> None:
    assert triangles_of(body([[0, 1, 2]], lines=[[0, 1]], attributes=1, tail=bytes(8 + 24))) == [[0, 1, 2]]


def test_surface_may_be_empty() -> None:
    points, triangles = unpack_polydata(memoryview(pack_polydata(np.empty((0, 3)), np.empty((0, 3), int))))
    assert (points.shape, triangles.shape) == ((0, 3), (0, 3))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"short", "shorter than its head"),
        (with_head(points=2**32 - 1), "disagrees with its head"),
        (with_head(points=5), "disagrees with its head"),
        (with_head(polygons=2**32 - 4), "disagrees with its head"),
        (with_head(attributes=2**32 - 1), "disagrees with its head"),
        (body([[0, 1, 2]], tail=b"\0"), "disagrees with its head"),
        (with_head(n_polygons=2**32 - 1), "cannot take 16 bytes"),
        (with_head(n_polygons=0), "cannot take 16 bytes"),
        (with_head(points=0, n_vertices=1, vertices=72), "the surface has 0"),
        (with_head(n_polygons=2), "polygons of a surface disagree"),
        (body([[0, 1]]), "polygons of a surface disagree"),
        (body([[0, 1, 2], [0, 1]]), "polygons of a surface disagree"),
        (body(strips=[[0, 1]]), "triangle strips of a surface disagree"),
        (body([[0, 1, 6]]), "name points 0 to 6, the surface has 6"),
        (body([[0, 1, 2**31]]), "the surface has 6"),
    ],
)
def test_sizes_and_indices_that_lie_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        unpack_polydata(memoryview(data))


def test_points_that_are_no_numbers_are_refused() -> None:
    data = bytearray(body([[0, 1, 2]]))
    data[HEAD.size : HEAD.size + 4] = np.array(np.nan, ">f4").tobytes()
    with pytest.raises(GeometryError, match="NaN"):
        unpack_polydata(memoryview(data))


def test_a_surface_of_hundreds_of_megabytes_is_refused_at_once() -> None:
    size = 4 * (MAX_WORDS + 4)
    data = np.zeros(HEAD.size + size, np.uint8)
    data[: HEAD.size] = np.frombuffer(HEAD.pack(0, 0, 0, 0, 0, 1, size, 0, 0, 0), np.uint8)
    tracemalloc.start()
    try:
        with pytest.raises(MessageError, match="too large"):
            unpack_polydata(memoryview(data))
        assert tracemalloc.get_traced_memory()[1] < size / 100, "it was read before it was refused"
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("points", "triangles", "words"),
    [
        (POINTS, np.array([[0, 1, 6]]), "the surface has 6"),
        (POINTS, np.array([[-1, 0, 1]]), "name points -1"),
        (POINTS, np.array([[0.0, 1.0, 2.0]]), "whole numbers"),
        (POINTS, np.array([0, 1, 2]), "whole numbers of shape"),
    ],
)
def test_what_is_no_surface_is_not_sent(points: np.ndarray, triangles: np.ndarray, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        pack_polydata(points, triangles)


@given(st.binary(max_size=200), st.lists(st.integers(0, 12), min_size=10, max_size=10))
def test_random_bodies_are_refused_or_read_but_never_crash(data: bytes, head: list[int]) -> None:
    with contextlib.suppress(MessageError, GeometryError):
        points, triangles = unpack_polydata(memoryview(HEAD.pack(*head) + data))
        assert not triangles.size or triangles.max() < len(points)
