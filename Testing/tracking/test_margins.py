"""Margins around balls, whose offset is a larger ball: made of surfaces, and all the way from voxels."""

from __future__ import annotations

import numpy as np
import pytest
import vtk
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.slicer.scene.headless import new_scene
from CRLMSegmentationLib.slicer.scene.segmentations import ShownLesion, lesion_surface, show_lesions
from CRLMSegmentationLib.slicer.scene.volumes import show_volume
from CRLMSegmentationLib.tracking.margins import MARGIN_LIMITS_MM, margin_steps, margin_surface
from CRLMSegmentationLib.tracking.surfaces import SurfaceDistance, measured_surface
from helpers.navigation_helpers import sphere
from scipy.spatial.transform import Rotation
from vtk.util.numpy_support import vtk_to_numpy

CENTER = np.array([3.0, -4.0, 50.0])
OBLIQUE = Rotation.from_rotvec([0.6, 0.3, -0.2]).as_matrix()


def points_of(surface):
    return vtk_to_numpy(surface.GetPoints().GetData()).astype(float)


@pytest.mark.parametrize("radius_mm", [2.5, 10.0, 30.0])
@pytest.mark.parametrize("margin_mm", [1.0, 5.0, 10.0])
def test_margin_of_a_ball_is_a_larger_ball(radius_mm, margin_mm):
    margin = margin_surface(sphere(radius_mm, CENTER), margin_mm)
    away_mm = np.linalg.norm(points_of(margin) - CENTER, axis=1) - radius_mm
    assert away_mm == pytest.approx(margin_mm, abs=0.2)


def test_margin_of_a_lumpy_tumour_is_right_within_half_a_millimetre_and_quick_to_draw():
    """At the corners and in the middle of its triangles, which are as large as that allows."""
    grid = (np.indices((56,) * 3) - 28.0) * 0.6
    radius_mm = np.sqrt((grid**2).sum(axis=0))
    turned, tilted = np.arctan2(grid[1], grid[2]), np.arccos(np.clip(grid[0] / np.maximum(radius_mm, 1e-6), -1, 1))
    lumps = 1 + 0.12 * np.sin(3 * turned) * np.sin(2 * tilted) + 0.08 * np.cos(5 * tilted)
    surface = measured_surface(radius_mm < 12.0 * lumps, np.diag([0.6, 0.6, 0.6, 1.0]))
    margin, distance = margin_surface(surface, 10.0), SurfaceDistance(surface)
    corners = points_of(margin)
    middles = corners[vtk_to_numpy(margin.GetPolys().GetConnectivityArray()).reshape(-1, 3)].mean(axis=1)
    points = np.concatenate([corners[::3], middles[::3]])
    away_mm = np.array([distance.nearest(point).distance_mm for point in points])
    assert away_mm == pytest.approx(10.0, abs=0.4)
    assert margin.GetNumberOfPolys() < 6000


def test_margin_comes_in_steps_for_whoever_must_not_stand_still():
    made = []

    def keep():
        made.append((yield from margin_steps(sphere(20.0, CENTER), 10.0)))

    assert sum(1 for _ in keep()) > 10
    assert points_of(made[0]) == pytest.approx(points_of(margin_surface(sphere(20.0, CENTER), 10.0)))


def test_margin_is_closed_faces_outwards_and_has_no_wall_inside():
    margin = margin_surface(sphere(20.0, CENTER), 3.0)
    assert SurfaceDistance(margin).nearest(CENTER).distance_mm == pytest.approx(-23.0, abs=0.1)
    normals = vtk_to_numpy(margin.GetPointData().GetNormals())
    assert (((points_of(margin) - CENTER) * normals).sum(axis=1) > 0).all()


def test_margins_of_two_balls_that_meet_are_one_surface():
    two = vtk.vtkAppendPolyData()
    for x in (-12.0, 12.0):
        two.AddInputData(sphere(8.0, (x, 0.0, 0.0)))
    two.Update()
    margin = SurfaceDistance(margin_surface(two.GetOutput(), 5.0))
    assert margin.nearest(np.zeros(3)).distance_mm < 0
    assert margin.nearest(np.array([25.0, 0, 0])).distance_mm == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("margin_mm", [0.0, -5.0, MARGIN_LIMITS_MM[1] + 1, np.nan])
def test_width_that_no_margin_has_is_refused(margin_mm):
    with pytest.raises(CrlmError, match=r"a margin is 0\.5 to 50 mm wide"):
        margin_surface(sphere(5.0), margin_mm)


def test_margin_of_nothing_is_refused():
    with pytest.raises(CrlmError, match="segment it first"):
        margin_surface(vtk.vtkPolyData(), 5.0)


@pytest.mark.parametrize("left_handed", [False, True])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.5, 0.5, 2.0), (0.7, 1.2, 1.9)])
def test_margin_of_a_mask_lies_within_half_a_voxel_of_the_true_one(spacing_mm, left_handed):
    """From the voxels of an oblique volume through Slicer's own closed surface."""
    radius_mm, margin_mm = 10.0, 5.0
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3] = OBLIQUE @ np.diag(spacing_mm)
    if left_handed:
        ijk_to_ras[:3, 0] *= -1
    shape_ijk = np.ceil(32 / np.array(spacing_mm)).astype(int)
    ijk_to_ras[:3, 3] = CENTER - ijk_to_ras[:3, :3] @ (shape_ijk / 2 + 0.3)
    indices = np.moveaxis(np.indices(shape_ijk[::-1]), 0, -1)[..., ::-1]
    mask = np.linalg.norm(indices @ ijk_to_ras[:3, :3].T + ijk_to_ras[:3, 3] - CENTER, axis=-1) < radius_mm
    margin = margin_surface(_surface_in_scene(mask, ijk_to_ras), margin_mm)
    away_mm = np.linalg.norm(points_of(margin) - CENTER, axis=1) - radius_mm
    assert np.abs(away_mm - margin_mm).max() < max(spacing_mm) / 2


def _surface_in_scene(mask, ijk_to_ras):
    scene = new_scene()
    volume = Volume(mask.astype(np.uint8), ijk_to_ras, "recvol_Reference", 1.0)
    node = show_volume(scene, volume, volume.device)
    lesion = ShownLesion("Tumour 1", mask, (1, 0, 0), CENTER, volume.identity, "0" * 64)
    return lesion_surface(show_lesions(scene, node, [lesion]), "Tumour 1")
