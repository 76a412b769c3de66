import numpy as np
import pytest
from CRLMSegmentationLib.core.metrics import METRICS, compare, surface_distances


def cube(start, stop, size=12):
    mask = np.zeros((size, size, size), bool)
    mask[start:stop, start:stop, start:stop] = True
    return mask


def test_same_mask_is_perfect():
    result = compare(cube(3, 8), cube(3, 8), np.eye(4), cube(3, 8).astype(float))
    assert result == pytest.approx(
        {
            "dice": 1,
            "hausdorff_mm": 0,
            "hausdorff95_mm": 0,
            "rvd": 0,
            "recall": 1,
            "precision": 1,
            "auc_hard": 1,
            "auc_probability": 1,
        }
    )
    assert tuple(result) == METRICS


def test_cube_against_a_larger_one_by_hand():
    result = compare(cube(4, 8), cube(3, 9), np.diag([2.0, 2.0, 2.0, 1.0]))
    assert result["dice"] == pytest.approx(2 * 64 / (64 + 216))
    assert result["recall"] == pytest.approx(64 / 216)
    assert result["precision"] == 1
    assert result["rvd"] == pytest.approx(64 / 216 - 1)
    assert result["hausdorff_mm"] == pytest.approx(2 * np.sqrt(3))
    assert result["auc_probability"] is None


@pytest.mark.parametrize("size", range(8, 60))
def test_a_surface_is_nowhere_away_from_itself(size):
    """Fails now and then when voxels are read after their image is gone, as they once were."""
    mask = cube(3, size - 3, size)
    for _ in range(5):
        assert surface_distances(mask, mask, np.eye(4)) == (0, 0)


def test_hausdorff_is_the_maximum_and_hd95_forgives_a_single_voxel():
    truth = cube(3, 9, 20)
    mask = truth.copy()
    mask[5, 5, 18] = True
    result = compare(mask, truth, np.eye(4))
    assert result["hausdorff_mm"] == pytest.approx(10)
    assert result["hausdorff95_mm"] == 0


def test_hard_auc_is_the_mean_of_recall_and_specificity():
    mask, truth = cube(4, 8), cube(5, 10)
    specificity = 1 - (mask & ~truth).sum() / (~truth).sum()
    recall = (mask & truth).sum() / truth.sum()
    assert compare(mask, truth, np.eye(4))["auc_hard"] == pytest.approx((recall + specificity) / 2)


def test_auc_is_taken_over_the_region_only():
    mask, truth = cube(4, 8), cube(5, 10)
    region = cube(2, 11)
    expected = compare(mask[2:11, 2:11, 2:11], truth[2:11, 2:11, 2:11], np.eye(4))["auc_hard"]
    assert compare(mask, truth, np.eye(4), region=region)["auc_hard"] == pytest.approx(expected)


def test_nothing_found_has_no_distance_and_no_precision():
    result = compare(np.zeros((12, 12, 12), bool), cube(3, 8), np.eye(4))
    assert result["dice"] == 0
    assert result["recall"] == 0
    assert result["hausdorff_mm"] is None
    assert result["precision"] is None
    assert result["rvd"] == -1


@pytest.mark.parametrize("mask", [cube(3, 8), np.zeros((12, 12, 12), bool)])
def test_with_an_empty_truth_nothing_is_compared(mask):
    assert compare(mask, mask & False, np.eye(4), mask.astype(float)) == dict.fromkeys(METRICS)


def test_hausdorff_is_never_less_than_its_percentile_even_with_a_cleft():
    k, j, i = np.indices((26, 26, 26)) - 13
    truth = k**2 + j**2 + i**2 <= 100
    mask = truth & ~((k == 0) & (j > 0))
    result = compare(mask, truth, np.eye(4))
    assert result["hausdorff_mm"] >= result["hausdorff95_mm"] > 0
