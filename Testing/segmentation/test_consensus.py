"""Shells of segmentations that are boxes."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.postprocessing import LesionMask, measure
from CRLMSegmentationLib.segmentation.consensus import MIN_JITTER_MM, consensus_of, repeats_of

SHAPE, VOXEL = (20, 20, 20), np.diag([1.0, 1.0, 2.0, 1.0])


def segmentation(k: tuple[int, int], j: tuple[int, int] = (5, 15), i: tuple[int, int] = (5, 15)) -> LesionMask:
    part = np.ones([b - a for a, b in (k, j, i)], bool)
    volume_ml, diameters_mm = measure(part, VOXEL)
    return LesionMask(part, (k[0], j[0], i[0]), SHAPE, VOXEL, part, VOXEL, volume_ml, diameters_mm, 0.9, ())


NOTHING = LesionMask(
    np.zeros((0, 0, 0), bool), (0, 0, 0), SHAPE, VOXEL, np.zeros(SHAPE), VOXEL, 0.0, (0.0, 0.0, 0.0), 0.0, ()
)


def in_volume(shell, offset):
    whole = np.zeros(SHAPE, bool)
    whole[tuple(slice(o, o + n) for o, n in zip(offset, shell.shape))] = shell
    return whole


def test_inner_is_what_all_share_and_outer_what_any_has():
    consensus = consensus_of([segmentation((4, 12)), segmentation((6, 14)), segmentation((5, 13))])
    expected = segmentation((6, 12)).mask, segmentation((4, 14)).mask
    assert (in_volume(consensus.inner, consensus.offset_kji) == expected[0]).all()
    assert (in_volume(consensus.outer, consensus.offset_kji) == expected[1]).all()
    assert consensus.agreement == pytest.approx(6 / 10)
    assert consensus.runs == 3


def test_segmentations_that_agree_leave_no_room_between_the_shells():
    consensus = consensus_of([segmentation((4, 12))] * 3)
    assert consensus.agreement == 1
    assert consensus.spread_mm == 0


def test_spread_is_the_distance_between_balls_as_large():
    consensus = consensus_of([segmentation((4, 12)), segmentation((4, 14))])
    radii = [(3 * n * 100 * 2 / (4 * np.pi)) ** (1 / 3) for n in (8, 10)]
    assert consensus.spread_mm == pytest.approx(radii[1] - radii[0])


def test_run_that_found_nothing_leaves_no_voxel_certain():
    consensus = consensus_of([segmentation((4, 12)), NOTHING])
    assert not consensus.inner.any()
    assert consensus.agreement == 0


def test_nothing_at_all_has_no_shells():
    assert consensus_of([NOTHING, NOTHING]) is None


def test_runs_are_the_same_each_time_and_surround_the_seed():
    mask, seed = segmentation((4, 12)), np.array([10.0, 10.0, 16.0])
    runs = repeats_of(seed, mask)
    assert runs == repeats_of(seed, mask)
    moved = np.array([run.seed_ras_mm for run in runs if not run.flip])
    assert moved.mean(axis=0) == pytest.approx(seed)
    assert len({np.round(np.linalg.norm(place - seed), 6) for place in moved}) == 1
    assert {run.flip for run in runs if run.flip} == {(0,), (1,), (2,)}


def test_seeds_of_a_small_lesion_still_move():
    small = segmentation((8, 11), (7, 12), (7, 12))
    seed = np.array([9.0, 9.0, 18.0])
    away_mm = [np.linalg.norm(np.subtract(run.seed_ras_mm, seed)) for run in repeats_of(seed, small)[:4]]
    assert away_mm == pytest.approx([MIN_JITTER_MM] * 4)


def test_seeds_stay_in_the_lesion():
    flat, seed = segmentation((9, 10)), np.array([10.0, 10.0, 18.0])
    for run in repeats_of(seed, flat)[:4]:
        kji = np.round(np.linalg.solve(VOXEL, [*run.seed_ras_mm, 1])[2::-1]).astype(int)
        assert flat.mask[tuple(kji)]
