"""Region growing from a click."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import SeedError
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.research.baselines.region_growing import Growth, grow_region
from helpers.ball_helpers import BRIGHT, DARK, GRIDS, STRAIGHT, ball, dice


@pytest.mark.parametrize("grid", GRIDS)
def test_ball_in_noise_is_outlined(grid):
    volume, truth, centre = ball(GRIDS[grid])
    assert dice(grow_region(volume, centre), truth) > 0.85


def test_bright_ball_is_found_as_a_dark_one():
    volume, truth, centre = ball(STRAIGHT)
    inverted = Volume((BRIGHT + DARK - volume.array.astype(int)).clip(0).astype(np.uint8), STRAIGHT)
    assert dice(grow_region(inverted, centre), truth) > 0.85


def test_region_does_not_leak_through_a_thin_bridge():
    volume, truth, centre = ball(STRAIGHT, 8.0, noise=1)
    array = volume.array.copy()
    array[24:27, 24:27, 25:46] = DARK
    array[15:36, 15:36, 42:49] = DARK
    mask = grow_region(Volume(array, STRAIGHT), centre, Growth(sigma_mm=0.5))
    assert not mask[:, :, 40:].any()
    assert dice(mask, truth) > 0.85


def test_nothing_belongs_beyond_the_reach():
    volume = Volume(np.full((60, 60, 60), 90, np.uint8), STRAIGHT)
    mask = grow_region(volume, np.array([30.0, 30.0, 30.0]), Growth(reach_mm=10.0))
    k, j, i = np.nonzero(mask)
    assert len(k) > 0
    assert np.linalg.norm(np.stack([k, j, i]) - 30, axis=0).max() <= 10


def test_what_was_never_swept_does_not_belong():
    volume, _, _ = ball(STRAIGHT)
    array = volume.array.copy()
    array[:, :, :20] = 0
    mask = grow_region(Volume(array, STRAIGHT), np.array([25.0, 25.0, 25.0]))
    assert mask.any()
    assert not mask[:, :, :20].any()


def test_swept_mask_of_a_volume_is_not_written_to():
    volume, _, centre = ball(STRAIGHT)
    insonified = np.ones(volume.array.shape, bool)
    grow_region(Volume(volume.array, STRAIGHT, insonified=insonified), centre, Growth(reach_mm=12.0))
    assert insonified.all()


def test_click_where_nothing_was_swept_is_refused():
    volume, _, _ = ball(STRAIGHT)
    array = volume.array.copy()
    array[:, :, :20] = 0
    with pytest.raises(SeedError):
        grow_region(Volume(array, STRAIGHT), np.array([5.0, 25.0, 25.0]))
