"""Signed distances against what is known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import vtk
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.tracking.surfaces import SurfaceDistance, measured_surface, surface_of_mask
from helpers.navigation_helpers import sphere
from scipy import ndimage
from scipy.spatial import cKDTree
from vtk.util.numpy_support import vtk_to_numpy


def test_distance_to_a_ball_is_signed_and_its_point_lies_on_the_way():
    ball = SurfaceDistance(sphere(10.0, (5.0, 0.0, 0.0), resolution=128))
    outside = ball.nearest(np.array([27.0, 0, 0]))
    assert outside.distance_mm == pytest.approx(12.0, abs=0.05)
    assert outside.point_ras_mm == pytest.approx([15, 0, 0], abs=0.3)
    assert ball.nearest(np.array([5.0, 0, 3.0])).distance_mm == pytest.approx(-7.0, abs=0.05)


def test_distance_to_a_cube_is_that_to_its_face_edge_and_corner():
    cube = vtk.vtkCubeSource()
    cube.SetBounds(-1, 1, -1, 1, -1, 1)
    triangles = vtk.vtkTriangleFilter()
    clean = vtk.vtkCleanPolyData()
    clean.SetInputConnection(cube.GetOutputPort())
    triangles.SetInputConnection(clean.GetOutputPort())
    triangles.Update()
    distance = SurfaceDistance(triangles.GetOutput())
    for point, expected in [((3, 0, 0), 2), ((2, 2, 0), 2**0.5), ((2, 2, 2), 3**0.5), ((0.5, 0, 0), -0.5)]:
        assert distance.nearest(np.array(point, float)).distance_mm == pytest.approx(expected, abs=1e-6)


def test_nothing_and_an_open_surface_have_no_inside():
    with pytest.raises(CrlmError, match="no triangle"):
        SurfaceDistance(vtk.vtkPolyData())
    plane = vtk.vtkPlaneSource()
    plane.Update()
    with pytest.raises(CrlmError, match="open"):
        SurfaceDistance(plane.GetOutput())


@pytest.mark.parametrize("surface_of", [measured_surface, surface_of_mask])
@pytest.mark.parametrize("left_handed", [False, True])
def test_inside_of_a_mask_is_inside_in_left_handed_volumes_too(left_handed, surface_of):
    ijk_to_ras = np.diag([-1.5 if left_handed else 1.5, 1.0, 1.0, 1.0])
    mask = np.zeros((20, 20, 20), bool)
    mask[5:15, 5:15, 5:15] = True
    distance = SurfaceDistance(surface_of(mask, ijk_to_ras))
    assert distance.nearest(ijk_to_ras[:3, :3] @ [9.5, 9.5, 9.5]).distance_mm < -3
    assert distance.nearest(ijk_to_ras[:3, :3] @ [9.5, 9.5, 19.0]).distance_mm > 3


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.5, 0.5, 2.0), (2.5, 0.6, 1.0)])
def test_measured_surface_crosses_between_voxels_where_the_distance_transform_is_zero(spacing_mm):
    noise = np.random.default_rng(3).normal(size=(18, 20, 22))
    mask = np.pad(ndimage.gaussian_filter(noise, 1.5) > 0.02, 1)
    inside_mm, outside_mm = (ndimage.distance_transform_edt(part, sampling=spacing_mm[::-1]) for part in (mask, ~mask))
    signed_mm, expected = inside_mm - outside_mm, []
    for axis in range(3):
        here, there = (np.moveaxis(signed_mm, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        crossed = np.moveaxis((here > 0) != (there > 0), 0, axis)
        here, there = (np.moveaxis(part, 0, axis)[crossed] for part in (here, there))
        places = np.argwhere(crossed).astype(float)
        places[:, axis] += here / (here - there)
        expected.append(places[:, ::-1] * spacing_mm)
    found = vtk_to_numpy(measured_surface(mask, np.diag([*spacing_mm, 1.0])).GetPoints().GetData())
    expected_mm = np.concatenate(expected)
    assert len(found) == len(expected_mm)
    assert cKDTree(found).query(expected_mm)[0].max() < 1e-4
    assert cKDTree(expected_mm).query(found)[0].max() < 1e-4


@pytest.mark.parametrize("radius_mm", [2.0, 3.0, 8.0])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.6, 0.8, 1.2)])
def test_measured_surface_of_a_small_ball_is_not_drawn_inwards(radius_mm, spacing_mm):
    off_mm = np.concatenate([_off_mm(radius_mm, np.array(spacing_mm), shift) for shift in np.linspace(0, 0.9, 7)])
    assert abs(off_mm.mean()) < 0.1
    assert np.abs(off_mm).max() < max(spacing_mm) / 2 + 0.1


def _off_mm(radius_mm, spacing_mm, shift_mm):
    """How far the corners of the surface of a ball lie outside of it, at some place between the voxels."""
    shape_ijk = np.ceil((2 * radius_mm + 4) / spacing_mm).astype(int)
    centre = shape_ijk * spacing_mm / 2 + shift_mm
    places = np.moveaxis(np.indices(shape_ijk[::-1]), 0, -1)[..., ::-1] * spacing_mm
    mask = np.linalg.norm(places - centre, axis=-1) < radius_mm
    surface = measured_surface(mask, np.diag([*spacing_mm, 1.0]))
    points = np.array([surface.GetPoint(n) for n in range(surface.GetNumberOfPoints())])
    return np.linalg.norm(points - centre, axis=1) - radius_mm


def test_measured_surface_of_nothing_is_empty():
    assert measured_surface(np.zeros((3, 3, 3), bool), np.eye(4)).GetNumberOfPolys() == 0
