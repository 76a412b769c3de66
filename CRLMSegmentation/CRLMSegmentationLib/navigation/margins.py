"""The surface at a margin around a tumour: a true Euclidean offset in mm of the surface that is shown.

It is made of the surface and not of voxels: two voxels across a border know where it lies to a voxel only, and an
offset of them is pushed out by whichever corner sticks out most. Of the surface, the distance is taken on a grid of
its own, so that a volume may be anisotropic, oblique or left-handed.
"""

from __future__ import annotations

import numpy as np
import vtk
from scipy import ndimage
from scipy.spatial import cKDTree
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..core.errors import CrlmError

MARGIN_LIMITS_MM = (0.5, 50.0)
DEFAULT_MARGINS_MM = (5.0, 10.0)
"""Resection margins that are spoken of in liver surgery; a surgeon may set others."""
STEP_MM = 1.0
MAX_STEPS = 48
"""Along the longest edge; distances vary so evenly that a coarser grid costs little: step^2 / 8 / radius."""


def margin_surface(surface: vtk.vtkPolyData, margin_mm: float) -> vtk.vtkPolyData:
    """The closed surface whose points lie at a distance outside another, RAS mm, with normals that point outwards.

    Holes that the margin closes are closed: what lies between two parts of a tumour lies in its margin.

    Args:
        surface: closed, RAS mm, of triangles.

    Raises:
        CrlmError: there is no surface, or no margin of this size is drawn.
    """
    low, high = MARGIN_LIMITS_MM
    if not low <= margin_mm <= high:
        raise CrlmError(f"a margin is {low} to {high:.0f} mm wide, got {margin_mm}")
    if not surface.GetNumberOfPolys():
        raise CrlmError("there is no tumour to draw a margin around; segment it first")
    samples = _samples_of(surface)
    reach_mm = margin_mm + 3 * STEP_MM
    low_mm, extent_mm = samples.min(0) - reach_mm, np.ptp(samples, axis=0) + 2 * reach_mm
    step_mm = max(STEP_MM, float(extent_mm.max()) / MAX_STEPS)
    shape = tuple(int(n) for n in np.ceil(extent_mm / step_mm) + 2)
    depth_mm = margin_mm - _distances_near(margin_mm, samples, low_mm, step_mm, shape)
    depth_mm[ndimage.binary_fill_holes(depth_mm > 0) & (depth_mm <= 0)] = margin_mm
    return _contour(depth_mm, low_mm, step_mm)


def _samples_of(surface: vtk.vtkPolyData) -> np.ndarray:
    """Points on a surface, (N, 3), closer together than the steps of the grid."""
    fine = vtk.vtkAdaptiveSubdivisionFilter()
    fine.SetMaximumEdgeLength(STEP_MM)
    fine.SetInputData(surface)
    fine.Update()
    points = vtk_to_numpy(fine.GetOutput().GetPoints().GetData()).astype(float)
    return np.concatenate(
        [
            points,
            points[vtk_to_numpy(fine.GetOutput().GetPolys().GetConnectivityArray())].reshape(-1, 3, 3).mean(axis=1),
        ]
    )


def _distances_near(
    level_mm: float, samples: np.ndarray, low_mm: np.ndarray, step_mm: float, shape_ijk: tuple[int, int, int]
) -> np.ndarray:
    """Distance of each point of a grid to the nearest sample, shape (K, J, I): exact where it is near a level."""
    empty = np.ones(shape_ijk[::-1], bool)
    empty[tuple(np.round((samples - low_mm) / step_mm).astype(int).T[::-1])] = False
    distance_mm = ndimage.distance_transform_edt(empty, sampling=step_mm)
    near = np.abs(distance_mm - level_mm) <= 2.5 * step_mm  # a cell is at most 0.87 steps off, at both ends
    points = low_mm + step_mm * np.argwhere(near)[:, ::-1]
    distance_mm[near] = cKDTree(samples).query(points)[0]
    return distance_mm


def _contour(array: np.ndarray, origin_mm: np.ndarray, step_mm: float) -> vtk.vtkPolyData:
    """Where an array (K, J, I) on a grid along R, A, S, positive inside, crosses 0."""
    image = vtk.vtkImageData()
    image.SetDimensions(array.shape[::-1])
    image.SetOrigin(origin_mm)
    image.SetSpacing([step_mm] * 3)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array, np.float32).ravel(), deep=True))
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, 0)
    contour.ComputeNormalsOn()
    contour.ComputeGradientsOff()
    contour.ComputeScalarsOff()
    contour.Update()
    return contour.GetOutput()
