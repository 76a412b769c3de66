"""Brush strokes that a simulated user paints for "Grow from seeds" on the three slices through the seed.

The user is simulated, and sees the ground truth: an oracle, which favours the method. The strokes use no more than
the eye takes in: on each slice the cross-section of the lesion as an ellipse (of equal moments, not its contour),
seen with an error of centre and size, and followed by a hand that wobbles. So a stroke may leave an irregular lesion,
as strokes do. Of each section the user paints the middle (along its longer axis, and a loop around that), and a loop
around the lesion as background. A correction is one more stroke, along the longer axis of the section of an error.

All numbers of `Painter` are assumptions; none was measured on users. Where 3D Slicer has a default it is taken: a round
brush of 3 % of the view (`BrushRelativeDiameter`), flat on the slice (`BrushSphere` off), is 3 mm where a view shows
100 mm. Painting on three slices, and around the structure as well, is what Slicer's own guide to the tool shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ...core.geometry import transform_points
from ...core.volume import Volume

LESION, BACKGROUND = 1, 2
HARMONICS = 4
"""Of the wobble: a hand drifts several times along a loop, it does not tremble from voxel to voxel."""
LEAST_HALF_AXIS_MM = 1.0


@dataclass(frozen=True)
class Painter:
    """How precisely the simulated user sees and paints; all values are assumptions.

    Attributes:
        brush_mm: diameter of the brush.
        brush_share: of the shorter half-axis of a section; the brush is made smaller where it would be wider.
        inside: where the loop in the lesion lies, in shares of the way from its centre to its border.
        outside: the same for the loop of background, above 1.
        clearance_mm: that the background keeps at least.
        centre_error_mm: standard deviation along each axis of where the middle of a section is taken to be.
        size_error: standard deviation of each half-axis, as a share of it.
        hand_mm: standard deviation of the hand around the line that it wants to draw.
        small_share: of the shorter half-axis; errors of centre and hand are at most so large, as one zooms in.
    """

    brush_mm: float = 3.0
    brush_share: float = 0.5
    inside: float = 0.5
    outside: float = 1.5
    clearance_mm: float = 4.0
    centre_error_mm: float = 1.0
    size_error: float = 0.1
    hand_mm: float = 0.5
    small_share: float = 0.15


@dataclass(frozen=True, eq=False)
class _Ellipse:
    """An ellipse on a slice, in mm from the centre of its first voxel.

    Attributes:
        axes_mm: the two half-axes as rows, longer first.
    """

    centre_mm: np.ndarray
    axes_mm: np.ndarray

    @property
    def half_mm(self) -> np.ndarray:
        half_mm: np.ndarray = np.linalg.norm(self.axes_mm, axis=1)
        return half_mm


def paint(
    volume: Volume, truth: np.ndarray, seed_ras_mm: np.ndarray, rng: np.random.Generator, painter: Painter | None = None
) -> np.ndarray:
    """Paint the strokes for one lesion.

    Args:
        truth: of the lesion, bool, shape (K, J, I) of the volume.
        seed_ras_mm: the click, through which the three slices go, along the axes of the volume.

    Returns:
        uint8, shape (K, J, I): `LESION`, `BACKGROUND`, 0 where nothing was painted. All 0 when none of the three
        slices shows the lesion.
    """
    painter = painter or Painter()
    click_kji = np.round(transform_points(volume.ras_to_ijk, seed_ras_mm)[::-1]).astype(int)
    click_kji = np.clip(click_kji, 0, np.array(truth.shape) - 1)
    strokes = np.zeros(truth.shape, np.uint8)
    for axis in range(3):
        place = tuple(click_kji[axis] if n == axis else slice(None) for n in range(3))
        spacing_mm = np.delete(volume.spacing_mm[::-1], axis)
        section = _section_at(truth[place], np.delete(click_kji, axis), spacing_mm)
        if section.any():
            _paint_slice(
                strokes[place], _perceived(_ellipse_of(section, spacing_mm), painter, rng), spacing_mm, painter, rng
            )
    return strokes


def paint_correction(
    strokes: np.ndarray,
    volume: Volume,
    error: np.ndarray,
    label: int,
    point_ras_mm: np.ndarray,
    rng: np.random.Generator,
    painter: Painter | None = None,
) -> None:
    """Paint one stroke more, into an error of what was grown.

    It lies on the slice through a point on which the error is largest; a dab at the point where no slice shows it.

    Args:
        strokes: uint8, shape (K, J, I), changed in place.
        error: bool, same shape: what is missing, or too much.
        label: `LESION` for what is missing, else `BACKGROUND`.
        point_ras_mm: in the error or near it, shape (3,).
    """
    painter = painter or Painter()
    point_kji = np.round(transform_points(volume.ras_to_ijk, point_ras_mm)[::-1]).astype(int)
    point_kji = np.clip(point_kji, 0, np.array(error.shape) - 1)
    spacing_mm = volume.spacing_mm[::-1]
    places = [tuple(point_kji[axis] if n == axis else slice(None) for n in range(3)) for axis in range(3)]
    sections = [
        _section_at(error[place], np.delete(point_kji, axis), np.delete(spacing_mm, axis))
        for axis, place in enumerate(places)
    ]
    areas_mm2 = [section.sum() * np.delete(spacing_mm, axis).prod() for axis, section in enumerate(sections)]
    axis = int(np.argmax(areas_mm2))
    section, in_slice_mm = sections[axis], np.delete(spacing_mm, axis)
    if section.any():
        seen = _perceived(_ellipse_of(section, in_slice_mm), painter, rng)
        way_mm, width_mm = _line(seen, painter.inside, painter, rng), painter.brush_share * seen.half_mm[1]
    else:
        way_mm, width_mm = (np.delete(point_kji, axis) * in_slice_mm)[None], painter.brush_mm
    strokes[places[axis]][_brushed(way_mm, section.shape, in_slice_mm, min(painter.brush_mm, width_mm))] = label


def _section_at(shown: np.ndarray, click: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """Return the connected section of the lesion on a slice that is at the seed, or nearest to it."""
    labels: np.ndarray
    labels, count = ndimage.label(shown)
    if count < 2:
        return shown
    away_mm = np.linalg.norm((np.argwhere(shown) - click) * spacing_mm, axis=1)
    nearest: np.ndarray = labels == labels[tuple(np.argwhere(shown)[np.argmin(away_mm)])]
    return nearest


def _ellipse_of(section: np.ndarray, spacing_mm: np.ndarray) -> _Ellipse:
    """Return the ellipse with the second moments of a section; a half-axis is twice the standard deviation."""
    points_mm = np.argwhere(section) * spacing_mm
    covariance = np.cov(points_mm, rowvar=False, bias=True) if len(points_mm) > 1 else np.zeros((2, 2))
    variances, directions = np.linalg.eigh(covariance)
    half_mm = np.maximum(2 * np.sqrt(np.maximum(variances, 0)), LEAST_HALF_AXIS_MM)
    return _Ellipse(points_mm.mean(axis=0), (directions * half_mm).T[::-1])


def _perceived(ellipse: _Ellipse, painter: Painter, rng: np.random.Generator) -> _Ellipse:
    """Return the ellipse with the error that the user makes in judging its centre and size."""
    error_mm = min(painter.centre_error_mm, painter.small_share * ellipse.half_mm[1])
    factors = np.exp(rng.normal(0, painter.size_error, 2))
    return _Ellipse(ellipse.centre_mm + rng.normal(0, error_mm, 2), ellipse.axes_mm * factors[:, None])


def _paint_slice(
    strokes: np.ndarray, seen: _Ellipse, spacing_mm: np.ndarray, painter: Painter, rng: np.random.Generator
) -> None:
    """Paint on one slice, a view of all strokes; the last stroke on a voxel counts, as in Slicer."""
    around = np.maximum(painter.outside, 1 + painter.clearance_mm / seen.half_mm)
    brush_mm = min(painter.brush_mm, painter.brush_share * seen.half_mm[1])
    ways = [
        (BACKGROUND, painter.brush_mm, _loop(seen, around, painter, rng)),
        (LESION, brush_mm, _loop(seen, np.full(2, painter.inside), painter, rng)),
        (LESION, brush_mm, _line(seen, painter.inside, painter, rng)),
    ]
    for label, width_mm, way_mm in ways:
        strokes[_brushed(way_mm, strokes.shape, spacing_mm, width_mm)] = label


def _loop(seen: _Ellipse, shares: np.ndarray, painter: Painter, rng: np.random.Generator) -> np.ndarray:
    """Return a closed path around the centre of an ellipse, mm, shape (N, 2)."""
    turn = np.linspace(0, 2 * np.pi, 240)
    way_mm = np.stack([np.cos(turn), np.sin(turn)], axis=1) * shares @ seen.axes_mm
    loop_mm: np.ndarray = seen.centre_mm + way_mm + _wobble(turn, seen, painter, rng)
    return loop_mm


def _line(seen: _Ellipse, share: float, painter: Painter, rng: np.random.Generator) -> np.ndarray:
    """Return a path along the longer axis of an ellipse, mm, shape (N, 2)."""
    along = np.linspace(-share, share, 120)
    turn = np.linspace(0, np.pi, len(along))
    line_mm: np.ndarray = seen.centre_mm + along[:, None] * seen.axes_mm[0] + _wobble(turn, seen, painter, rng)
    return line_mm


def _wobble(turn: np.ndarray, seen: _Ellipse, painter: Painter, rng: np.random.Generator) -> np.ndarray:
    """Return slow deviations of the hand from a path, mm, shape (N, 2)."""
    hand_mm = min(painter.hand_mm, painter.small_share * seen.half_mm[1])
    phases = np.arange(1, HARMONICS + 1)[:, None] * turn
    amounts = rng.normal(0, hand_mm / np.sqrt(HARMONICS), (2, 2, HARMONICS))
    wobble_mm: np.ndarray = (amounts[0] @ np.cos(phases) + amounts[1] @ np.sin(phases)).T
    return wobble_mm


def _brushed(
    way_mm: np.ndarray, shape: Sequence[int], spacing_mm: np.ndarray, brush_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the voxels of a slice whose centres a round brush covers along a path.

    A brush smaller than a voxel paints the voxel it is in.
    """
    low = np.floor((way_mm.min(axis=0) - brush_mm) / spacing_mm).astype(int)
    high = np.ceil((way_mm.max(axis=0) + brush_mm) / spacing_mm).astype(int)
    near = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high)), indexing="ij"), axis=-1)
    near = near.reshape(-1, 2)
    away_mm, _ = cKDTree(way_mm).query(near * spacing_mm)
    painted = np.concatenate([near[away_mm <= brush_mm / 2], np.round(way_mm / spacing_mm).astype(int)])
    inside = ((painted >= 0) & (painted < np.array(shape))).all(axis=1)
    return tuple(painted[inside].T)
