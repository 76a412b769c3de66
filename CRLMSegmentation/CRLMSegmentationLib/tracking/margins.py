"""The surface at a safety margin around a tumour: its Euclidean offset in mm.

It is made of the surface and not of voxels: two voxels across a border know where it lies to a voxel only, and an
offset of them is pushed out by whichever corner sticks out most. Of the surface, the distance is taken on a grid of
its own, so that a volume may be anisotropic, oblique or left-handed: roughly everywhere, exactly near the margin.

It is for display only and therefore coarse: distances to a margin are those to the tumour's full surface. Around four
lumpy lesions of 8 to 20 mm radius, the margins of 5 and 10 mm lie within 0.45 mm of where they should (99 % within
0.18 mm) with 38,260 triangles; on a grid of 1 mm it were 0.29 mm (0.14 mm) with 117,516, in twice the time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import vtk
from scipy import ndimage
from scipy.spatial import cKDTree
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..core.errors import CrlmError
from .surfaces import SurfaceDistance

MARGIN_LIMITS_MM = (0.5, 50.0)
DEFAULT_MARGINS_MM = (5.0, 10.0)
"""Resection margins that are spoken of in liver surgery; a surgeon may set others."""
STEP_MM = 2.0
MAX_STEPS = 48
"""Along the longest edge; distances vary so evenly that a coarser grid costs little: step^2 / 8 / radius."""
SAMPLE_EDGE_MM, SAMPLE_MM = 1.0, 0.5
NEAR_STEPS = 1.5
"""An edge of the grid that crosses the margin has its ends within a step, and the rough distance is half a step off."""
NARROW_STEPS = 2
POINTS_AT_ONCE = 200
"""Take about 5 ms."""
Steps = Generator[None, None, vtk.vtkPolyData]


def margin_surface(surface: vtk.vtkPolyData, margin_mm: float) -> vtk.vtkPolyData:
    """Compute the closed surface at a distance outside another, RAS mm, with normals that point outwards.

    Holes that the margin closes are closed: what lies between two parts of a tumour lies in its margin.

    Args:
        surface: closed, RAS mm, of triangles.

    Raises:
        CrlmError: there is no surface, or no margin of this size is drawn.
    """
    steps = margin_steps(surface, margin_mm)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def margin_steps(surface: vtk.vtkPolyData, margin_mm: float) -> Steps:
    """Compute the same in steps of a few milliseconds, for user interfaces; the last yields the surface."""
    low, high = MARGIN_LIMITS_MM
    if not low <= margin_mm <= high:
        raise CrlmError(f"a margin is {low} to {high:.0f} mm wide, got {margin_mm}")
    if not surface.GetNumberOfPolys():
        raise CrlmError("there is no tumour to draw a margin around; segment it first")
    samples = _samples_of(surface)
    yield
    grid = _Grid.around(samples, margin_mm)
    distances_mm = grid.rough_distances_mm(samples)
    yield
    exact = _exact_distance(surface, samples, margin_mm, grid.step_mm)
    yield
    near = np.argwhere(np.abs(distances_mm - margin_mm) <= NEAR_STEPS * grid.step_mm)
    for start in range(0, len(near), POINTS_AT_ONCE):
        at = near[start : start + POINTS_AT_ONCE]
        distances_mm[tuple(at.T)] = exact(grid.places(at))
        yield
    depth_mm = margin_mm - distances_mm
    depth_mm[ndimage.binary_fill_holes(depth_mm > 0) & (depth_mm <= 0)] = margin_mm
    return _contour(depth_mm, grid)


def _exact_distance(
    surface: vtk.vtkPolyData, samples: np.ndarray, margin_mm: float, step_mm: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that maps points (N, 3) to their distances (N,), mm.

    Near a narrow margin lie points of the grid that are inside the tumour: there the distance is signed, at some cost.
    """
    if margin_mm >= NARROW_STEPS * step_mm:
        tree = cKDTree(samples)
        return lambda points: tree.query(points)[0]
    signed = SurfaceDistance(surface)
    return lambda points: np.array([signed.nearest(point).distance_mm for point in points])


@dataclass(frozen=True)
class _Grid:
    """A regular grid of points along R, A, S: the first point, mm; the spacing, mm; the counts (K, J, I)."""

    low_mm: np.ndarray
    step_mm: float
    shape_kji: tuple[int, int, int]

    @classmethod
    def around(cls, samples: np.ndarray, margin_mm: float) -> _Grid:
        reach_mm = margin_mm + 3 * STEP_MM
        extent_mm = np.ptp(samples, axis=0) + 2 * reach_mm
        step_mm = max(STEP_MM, float(extent_mm.max()) / MAX_STEPS)
        i, j, k = (int(count) for count in np.ceil(extent_mm / step_mm) + 2)
        return cls(samples.min(axis=0) - reach_mm, step_mm, (k, j, i))

    def places(self, kji: np.ndarray) -> np.ndarray:
        """Return the positions of grid indices (..., 3), RAS mm."""
        return self.low_mm + self.step_mm * kji[..., ::-1]

    def rough_distances_mm(self, samples: np.ndarray) -> np.ndarray:
        """Return the distance of each grid point to the sample in the nearest occupied cell, shape (K, J, I)."""
        cells = np.round((samples - self.low_mm) / self.step_mm).astype(int)[:, ::-1]
        sample_in = np.full(self.shape_kji, -1)
        sample_in[tuple(cells.T)] = np.arange(len(samples))
        nearest = ndimage.distance_transform_edt(sample_in < 0, return_distances=False, return_indices=True)
        places = self.places(np.moveaxis(np.indices(self.shape_kji), 0, -1))
        distances_mm: np.ndarray = np.linalg.norm(places - samples[sample_in[tuple(nearest)]], axis=-1)
        return distances_mm


def _samples_of(surface: vtk.vtkPolyData) -> np.ndarray:
    """Sample points on a surface, (N, 3), much denser than the grid; one for each small cube."""
    fine = vtk.vtkAdaptiveSubdivisionFilter()
    fine.SetMaximumEdgeLength(SAMPLE_EDGE_MM)
    fine.SetInputData(surface)
    fine.Update()
    points = vtk_to_numpy(fine.GetOutput().GetPoints().GetData()).astype(float)
    triangles = vtk_to_numpy(fine.GetOutput().GetPolys().GetConnectivityArray()).reshape(-1, 3)
    points = np.concatenate([points, points[triangles].mean(axis=1)])
    cubes = np.round((points - points.min(axis=0)) / SAMPLE_MM).astype(np.int64)
    keys = np.ravel_multi_index(cubes.T, cubes.max(axis=0) + 1)
    return points[np.unique(keys, return_index=True)[1]]


def _contour(array: np.ndarray, grid: _Grid) -> vtk.vtkPolyData:
    """Return the surface on which an array (K, J, I), positive inside, is 0."""
    image = vtk.vtkImageData()
    image.SetDimensions(array.shape[::-1])
    image.SetOrigin(grid.low_mm)
    image.SetSpacing([grid.step_mm] * 3)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array, np.float32).ravel(), deep=True))
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, 0)
    contour.ComputeNormalsOn()
    contour.ComputeGradientsOff()
    contour.ComputeScalarsOff()
    contour.Update()
    return contour.GetOutput()
