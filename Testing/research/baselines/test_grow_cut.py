"""Grow from seeds: the segmentation of a ball, and the extent in which Slicer grows."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.box import Box
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.research.baselines.grow_cut import effective_extent, grow_from_strokes
from CRLMSegmentationLib.research.baselines.strokes import BACKGROUND, LESION, paint
from helpers.ball_helpers import GRIDS, STRAIGHT, ball, dice


def strokes_of(matrix=STRAIGHT, **keywords):
    volume, truth, centre = ball(matrix, **keywords)
    return volume, truth, paint(volume, truth, centre, np.random.default_rng(0))


@pytest.mark.parametrize("grid", GRIDS)
def test_ball_in_noise_is_outlined(grid):
    volume, truth, strokes = strokes_of(GRIDS[grid])
    labels = grow_from_strokes(volume, strokes)
    assert dice(labels == LESION, truth) > 0.93


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirrored_copy_is_outlined_alike(axis):
    volume, _, strokes = strokes_of(GRIDS["anisotropic"])
    matrix = volume.ijk_to_ras.copy()
    column = 2 - axis
    matrix[:3, 3] += matrix[:3, column] * (volume.array.shape[axis] - 1)
    matrix[:3, column] *= -1
    mirrored = Volume(np.flip(volume.array, axis), matrix)
    one = grow_from_strokes(volume, strokes) == LESION
    other = grow_from_strokes(mirrored, np.flip(strokes, axis)) == LESION
    assert dice(one, np.flip(other, axis)) > 0.99


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, np.int64])
def test_any_kind_of_voxel_gives_the_same(dtype):
    volume, _, strokes = strokes_of()
    expected = grow_from_strokes(volume, strokes)
    assert (grow_from_strokes(Volume(volume.array.astype(dtype), volume.ijk_to_ras), strokes) == expected).all()


def test_everything_in_the_extent_is_one_of_both_and_nothing_beyond():
    volume, _, strokes = strokes_of()
    labels = grow_from_strokes(volume, strokes)
    box = effective_extent(strokes).slices
    assert set(np.unique(labels[box])) == {LESION, BACKGROUND}
    labels[box] = 0
    assert not labels.any()


def test_strokes_keep_their_label():
    volume, _, strokes = strokes_of()
    labels = grow_from_strokes(volume, strokes)
    assert (labels[strokes > 0] == strokes[strokes > 0]).all()


def test_extent_grows_by_a_tenth_at_least_three_voxels_and_ends_with_the_volume():
    strokes = np.zeros((100, 60, 20), np.uint8)
    strokes[20:81, 30:36, 2:18] = 1
    assert effective_extent(strokes) == Box((14, 27, 0), (87, 39, 20))


def test_nothing_painted_is_said():
    volume, _, strokes = strokes_of()
    with pytest.raises(CrlmError, match="nothing was painted"):
        grow_from_strokes(volume, np.zeros_like(strokes))


def test_volume_of_two_slices_is_refused():
    volume = Volume(np.full((2, 30, 30), 9, np.uint8), STRAIGHT)
    strokes = np.zeros((2, 30, 30), np.uint8)
    strokes[0, 15, 15] = LESION
    with pytest.raises(CrlmError, match="3 voxels"):
        grow_from_strokes(volume, strokes)
