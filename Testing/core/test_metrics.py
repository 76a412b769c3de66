import numpy as np
import pytest
from CRLMSegmentationLib.core.metrics import (
    METRICS,
    ROC_FALSE_POSITIVES,
    THOROUGH_METRICS,
    compare,
    compare_thoroughly,
    roc_area,
    roc_area_of_sparse,
    roc_curve_of,
    roc_curves,
    share_changed_far_away,
    surface_distances,
)


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


def test_thorough_comparison_agrees_with_the_short_one_and_names_its_regions():
    mask, truth, crop = cube(4, 8), cube(5, 10), cube(2, 11)
    probability = np.where(crop, np.random.default_rng(0).random(mask.shape), 0.0)
    result = compare_thoroughly(mask, truth, np.eye(4), probability, crop)
    assert tuple(result) == THOROUGH_METRICS
    near, far = (compare(mask, truth, np.eye(4), probability, region) for region in (crop, None))
    assert result["dice"] == near["dice"]
    assert result["hausdorff95_mm"] == near["hausdorff95_mm"]
    for name in ("hard", "probability"):
        assert result[f"auc_{name}_crop"] == pytest.approx(near[f"auc_{name}"])
        assert result[f"auc_{name}_volume"] == pytest.approx(far[f"auc_{name}"])


def test_mean_surface_distance_by_hand():
    """Two plates of one voxel, 3 mm apart: every voxel is 3 mm from the other."""
    mask, truth = np.zeros((12, 12, 12), bool), np.zeros((12, 12, 12), bool)
    mask[3, 2:10, 2:10], truth[6, 2:10, 2:10] = True, True
    result = compare_thoroughly(mask, truth, np.eye(4), mask.astype(float), mask | True)
    assert (result["mean_surface_mm"], result["hausdorff_mm"]) == (3, 3)


@pytest.mark.parametrize("truth", [cube(5, 10), cube(0, 12), np.zeros((12, 12, 12), bool)])
def test_area_over_many_zeros_is_that_of_all_voxels(truth):
    score = np.where(cube(4, 9), np.random.default_rng(1).random(truth.shape), 0.0)
    expected = roc_area(truth, score)
    assert roc_area_of_sparse(truth, score) == (None if expected is None else pytest.approx(expected))


def test_curve_of_scores_by_hand():
    """Two of four tumour voxels lie above all others, one more above half of them."""
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool)
    score = np.array([0.9, 0.8, 0.5, 0.1, 0.6, 0.3, 0.2, 0.6])
    curve = dict(zip(ROC_FALSE_POSITIVES, roc_curve_of(truth, score)))
    assert curve[0.0] == 0.5
    assert curve[0.5] == 0.75
    assert curve[1.0] == 1.0
    assert curve[0.26] == pytest.approx(0.5)


@pytest.mark.parametrize("truth", [cube(5, 10), cube(0, 12), np.zeros((12, 12, 12), bool)])
def test_curves_over_many_zeros_are_those_of_all_voxels(truth):
    crop = cube(2, 11)
    score = np.where(crop, np.random.default_rng(1).random(truth.shape), 0.0)
    curves = roc_curves(truth, score, crop)
    for name, region in (("crop", crop), ("volume", np.ones_like(crop))):
        expected = roc_curve_of(truth[region], score[region])
        assert curves[name] == (None if expected is None else pytest.approx(expected, abs=1e-3))


def test_without_probabilities_their_areas_are_missing_and_the_others_not():
    mask, truth = cube(4, 8), cube(5, 10)
    result = compare_thoroughly(mask, truth, np.eye(4), None, cube(2, 11))
    assert result["auc_probability_crop"] is None
    assert result["auc_probability_volume"] is None
    assert result["auc_hard_volume"] == pytest.approx(compare(mask, truth, np.eye(4))["auc_hard"])


def test_share_of_changes_far_from_a_click_is_measured_in_space():
    before = np.zeros((4, 4, 40), bool)
    after = before.copy()
    after[1, 2, [5, 10, 12, 30]] = True
    matrix = np.diag([2.0, 3.0, -4.0, 1.0])
    click = (10.0, 6.0, -4.0)  # at the first of them; the others lie 10, 14 and 50 mm away
    assert share_changed_far_away(before, after, matrix, click) == 0.25
    assert share_changed_far_away(after, before, matrix, click, far_mm=12.0) == 0.5
    assert share_changed_far_away(before, before, matrix, click) is None
