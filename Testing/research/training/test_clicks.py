"""Simulated clicks of training patches: what they show, in which channel, drawn from what."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.crop import Crop, network_input
from CRLMSegmentationLib.core.crop_format import CLICK_CHANNELS
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.points import CorrectionPoint, PointKind
from CRLMSegmentationLib.research.training import clicks
from CRLMSegmentationLib.research.training.clicks import correct_by_clicks, deformed, deformed_truths

SHAPE, SPACING_MM = (32, 36, 40), 1.25
MIDDLE = np.array([16, 18, 20])


def ball(radius_mm: float = 12.0, middle=MIDDLE) -> np.ndarray:
    away = (np.indices(SHAPE).T - middle).T * SPACING_MM
    return np.linalg.norm(away, axis=0) < radius_mm


def crop_of(seed_kji=MIDDLE) -> Crop:
    grid = np.diag([SPACING_MM] * 3 + [1.0])
    seed = transform_points(grid, np.array(seed_kji[::-1], float))
    return Crop(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), np.ones(SHAPE, bool), grid, seed)


def batch(count: int) -> np.ndarray:
    return np.stack([network_input(crop_of(), CLICK_CHANNELS)] * count)


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, number]) for number in range(count)]


def dice(one, other) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_about_half_of_the_samples_show_the_seed_alone():
    patches = batch(60)
    before = patches.copy()
    truths = np.stack([ball()] * 60)
    correct_by_clicks(patches, truths, SPACING_MM, generators(60), deformed_truths(truths, SPACING_MM, generators(60)))
    is_first = np.array([(patch == old).all() for patch, old in zip(patches, before)])
    assert 0.3 < is_first.mean() < 0.7
    np.testing.assert_array_equal(patches[:, 0], before[:, 0])
    assert (patches[:, clicks.INCLUDE] >= before[:, clicks.INCLUDE]).all()
    corrected = patches[~is_first]
    assert corrected[:, clicks.PREVIOUS].any(axis=(1, 2, 3)).mean() > 0.8
    assert set(np.unique(corrected[:, clicks.PREVIOUS])) == {0, 1}


@pytest.mark.parametrize("kind", PointKind)
def test_click_in_a_patch_is_that_of_inference_in_a_crop(kind, monkeypatch):
    monkeypatch.setattr(clicks, "misplaced", lambda place, spacing, rng: place + 0.4)
    monkeypatch.setattr(clicks, "_corrections", lambda rng: 1)
    truth, other = ball(12.0), ball(12.0) | ball(5.0, MIDDLE + [0, 0, 12])
    found, truth = (truth, other) if kind is PointKind.INCLUDE else (other, truth)
    patches = batch(1)
    correct_by_clicks(patches, truth[None], SPACING_MM, generators(1), lambda patches, samples: found[None])
    _, place = clicks.correcting_click(truth, found, np.full(3, SPACING_MM))
    ras = tuple(transform_points(crop_of().ijk_to_ras, (place + 0.4)[::-1]))
    expected = network_input(crop_of(), CLICK_CHANNELS, [CorrectionPoint(kind, ras)], found)
    np.testing.assert_allclose(patches[0], expected, atol=1e-6)


def test_each_segmentation_sees_the_clicks_before(monkeypatch):
    monkeypatch.setattr(clicks, "_corrections", lambda rng: 3)
    seen = []

    def segment(patches, samples):
        seen.append(patches.copy())
        return np.stack([ball(6.0 + len(seen))] * len(samples))

    patches = batch(2)
    correct_by_clicks(patches, np.stack([ball()] * 2), SPACING_MM, generators(2), segment)
    assert len(seen) == 3
    assert not seen[0][:, clicks.PREVIOUS].any()
    np.testing.assert_array_equal(seen[1][0, clicks.PREVIOUS], ball(7.0))
    np.testing.assert_array_equal(patches[0, clicks.PREVIOUS], ball(9.0))
    totals = [made[:, clicks.INCLUDE].sum() for made in (*seen, patches)]
    assert totals == sorted(totals)
    assert totals[0] < totals[1]


def test_parts_away_from_seed_and_include_points_are_not_shown_again(monkeypatch):
    monkeypatch.setattr(clicks, "_corrections", lambda rng: 1)
    apart = ball(3.0, [5, 5, 5])
    patches = batch(2)
    patches[1, clicks.INCLUDE] = 0.1  # the seed lies outside the patch
    truths = np.stack([ball()] * 2)
    correct_by_clicks(patches, truths, SPACING_MM, generators(2), lambda *_: np.stack([ball(8.0) | apart] * 2))
    np.testing.assert_array_equal(patches[0, clicks.PREVIOUS], ball(8.0))
    np.testing.assert_array_equal(patches[1, clicks.PREVIOUS], ball(8.0) | apart)


def test_what_a_patch_held_of_clicks_is_gone():
    patches = batch(20)
    patches[:, [clicks.EXCLUDE, clicks.PREVIOUS]] = 0.5
    truths = np.zeros((20, *SHAPE), bool)  # no lesion in the patch, none found
    correct_by_clicks(patches, truths, SPACING_MM, generators(20), lambda patches, samples: truths[samples])
    assert not patches[:, clicks.EXCLUDE :].any()


def test_sample_does_not_depend_on_the_others_of_its_batch():
    truths = np.stack([ball(), ball(8.0)])
    both, alone = batch(2), batch(1)
    correct_by_clicks(
        both, truths, SPACING_MM, generators(2, seed=3), deformed_truths(truths, SPACING_MM, generators(2, seed=4))
    )
    own = [np.random.default_rng([3, 1])], [np.random.default_rng([4, 1])]
    correct_by_clicks(alone, truths[1:], SPACING_MM, own[0], deformed_truths(truths[1:], SPACING_MM, own[1]))
    np.testing.assert_array_equal(both[1], alone[0])


def test_deformed_truth_is_wrong_as_a_network_is():
    found = [deformed(ball(), SPACING_MM, np.random.default_rng(number)) for number in range(60)]
    values = np.array([dice(mask, ball()) if mask.any() else 0.0 for mask in found])
    assert 0.6 < np.median(values) < 0.95
    assert 0 < (values == 0).mean() < 0.2
    assert np.ptp(values[values > 0]) > 0.2
    volumes = np.array([np.count_nonzero(mask) for mask in found]) / np.count_nonzero(ball())
    assert (volumes > 1.1).any()
    assert (volumes < 0.9).any()


def test_deformed_truth_obeys_the_clicks_before():
    patches = batch(1)
    patches[0, clicks.EXCLUDE] = network_input(crop_of((16, 18, 35)), CLICK_CHANNELS)[1]
    near = np.maximum(patches[0, clicks.INCLUDE], patches[0, clicks.EXCLUDE]) > clicks.NEAR
    for number in range(20):
        segment = deformed_truths(ball()[None], SPACING_MM, [np.random.default_rng(number)])
        np.testing.assert_array_equal(segment(patches, [0])[0][near], ball()[near])


def test_nothing_is_found_where_nothing_is():
    assert not deformed(np.zeros(SHAPE, bool), SPACING_MM, np.random.default_rng(0)).any()
