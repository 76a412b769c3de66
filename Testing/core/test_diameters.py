"""Diameters of lesions that few voxels show."""

import numpy as np
import pytest
from CRLMSegmentationLib.core.postprocessing import measure

ANGLE = np.radians(30)
OBLIQUE = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1.0]])


def matrix_of(spacing, axes):
    matrix = np.eye(4)
    matrix[:3, :3] = axes * spacing
    return matrix


@pytest.mark.parametrize("axes", [np.eye(3), OBLIQUE, OBLIQUE * [1, 1, -1]])
@pytest.mark.parametrize(("middle_mm", "expected"), [(0, (12, 12, 8)), (4, (12, 12, 12))])
def test_ball_of_12_mm_in_one_or_two_slices_of_8_mm(middle_mm, expected, axes):
    k, j, i = np.mgrid[-2:3, -25:26, -25:26]
    mask = (8 * k + middle_mm) ** 2 + (0.5 * j) ** 2 + (0.5 * i) ** 2 <= 36
    assert measure(mask, matrix_of((0.5, 0.5, 8), axes))[1] == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize("axes", [np.eye(3), OBLIQUE])
def test_single_voxel_is_as_large_as_it_is(axes):
    assert measure(np.ones((1, 1, 1), bool), matrix_of((1, 2, 3), axes))[1] == pytest.approx((3, 2, 1))


def test_ellipsoid_of_many_voxels_has_its_own_diameters():
    k, j, i = np.mgrid[-15:16, -15:16, -15:16]
    assert measure(4 * k**2 + j**2 + i**2 <= 144, np.eye(4))[1] == pytest.approx((24, 24, 12), abs=0.3)
