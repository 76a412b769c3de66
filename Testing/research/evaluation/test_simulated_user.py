"""Where a simulated user clicks: kind, place, and the error of placing."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.points import PointKind
from CRLMSegmentationLib.research.evaluation.simulated_user import PLACING_ERROR_MM, correcting_click, misplaced

ISOTROPIC = np.ones(3)


def boxes(*slices) -> np.ndarray:
    mask = np.zeros((20, 20, 30), bool)
    for k, j, i in slices:
        mask[slice(*k), slice(*j), slice(*i)] = True
    return mask


TRUTH = ((2, 9), (2, 9), (2, 9))


def test_missing_part_is_included_at_its_deepest_voxel():
    found = boxes(((2, 4), (2, 9), (2, 9)))
    kind, place = correcting_click(boxes(TRUTH), found, ISOTROPIC)
    assert kind is PointKind.INCLUDE
    assert place[0] == 6  # the middle of what is missing, 4 to 8
    assert place.tolist()[1:] in ([5, 5], [4, 4], [4, 5], [5, 4])


def test_larger_error_is_corrected_first():
    truth = boxes(TRUTH)
    excess = ((2, 11), (2, 11), (15, 24))
    kind, place = correcting_click(truth, boxes(((2, 6), (2, 9), (2, 9)), excess), ISOTROPIC)
    assert kind is PointKind.EXCLUDE
    np.testing.assert_array_equal(place, [6, 6, 19])


def test_size_of_an_error_is_that_of_one_part():
    many_small = [((k, k + 2), (12, 14), (i, i + 2)) for k in range(0, 18, 3) for i in range(0, 27, 3)]
    found = boxes(((2, 5), (2, 9), (2, 9)), *many_small)
    kind, _ = correcting_click(boxes(TRUTH), found, ISOTROPIC)
    assert np.count_nonzero(found & ~boxes(TRUTH)) > np.count_nonzero(boxes(TRUTH) & ~found)
    assert kind is PointKind.INCLUDE


def test_depth_is_measured_in_mm():
    cube, plate = ((5, 12), (0, 7), (0, 7)), ((5, 8), (7, 18), (0, 11))
    missing = boxes(cube, plate)
    _, of_cubes = correcting_click(missing, boxes(), ISOTROPIC)
    _, of_slices = correcting_click(missing, boxes(), np.array([20.0, 1.0, 1.0]))
    np.testing.assert_array_equal(of_cubes, [8, 3, 3])
    np.testing.assert_array_equal(of_slices, [5, 12, 5])


def test_right_segmentation_needs_no_click():
    assert correcting_click(boxes(TRUTH), boxes(TRUTH), ISOTROPIC) is None


def test_click_misses_its_place_by_two_mm():
    rng = np.random.default_rng(0)
    spacing = np.array([0.5, 1.0, 2.0])
    errors_mm = np.array([misplaced(np.array([3, 4, 5]), spacing, rng) - [3, 4, 5] for _ in range(2000)]) * spacing
    assert np.sqrt((errors_mm**2).sum(1).mean()) == pytest.approx(PLACING_ERROR_MM, rel=0.05)
    assert errors_mm.std(axis=0) == pytest.approx(np.full(3, PLACING_ERROR_MM / np.sqrt(3)), rel=0.1)
