"""A lesion over several volumes."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.postprocessing import LesionMask, measure
from CRLMSegmentationLib.core.volume import VolumeIdentity
from CRLMSegmentationLib.segmentation.lesion_follow_up import MAX_SIGHTINGS, LesionFollowUp

VOXEL = np.array([[0, 0, 2.0, 5], [1.0, 0, 0, 6], [0, 1.0, 0, 7], [0, 0, 0, 1]])
"""i runs along A, j along S, k along R in steps of 2 mm."""


def segmentation(first_k: int, layers: int = 4) -> LesionMask:
    part = np.ones((layers, 4, 4), bool) if layers else np.zeros((0, 0, 0), bool)
    volume_ml, diameters_mm = measure(part, VOXEL) if layers else (0.0, (0.0, 0.0, 0.0))
    return LesionMask(part, (first_k, 3, 3), (30, 30, 30), VOXEL, part, VOXEL, volume_ml, diameters_mm, 0.9, ())


def volume(number: int) -> VolumeIdentity:
    return VolumeIdentity("recvol_Reference", float(number), "same grid", f"voxels {number}")


@pytest.fixture
def history():
    return LesionFollowUp()


def test_first_sighting_knows_no_shift(history):
    seen = history.add(segmentation(10), volume(1), 5.0)
    assert (seen.shift_mm, seen.change) == (None, None)
    assert seen.volume_ml == pytest.approx(4 * 4 * 4 * 2 / 1000)
    assert seen.centre_ras_mm == pytest.approx([5 + 2 * 11.5, 6 + 4.5, 7 + 4.5])


def test_shift_and_change_are_those_since_the_volume_before(history):
    history.add(segmentation(10), volume(1), 5.0)
    seen = history.add(segmentation(13), volume(2), 6.0)
    assert seen.shift_mm == pytest.approx(6.0)
    assert seen.change == pytest.approx(0.0)
    assert history.add(segmentation(13, 8), volume(3), 7.0).change == pytest.approx(1.0)
    assert [s.seen_s for s in history.sightings] == [5.0, 6.0, 7.0]


def test_segmentation_that_is_made_again_in_the_same_volume_takes_the_place_of_the_first(history):
    history.add(segmentation(10), volume(1), 5.0)
    history.add(segmentation(11), volume(2), 6.0)
    seen = history.add(segmentation(12), volume(2), 7.0)
    assert seen.shift_mm == pytest.approx(4.0)
    assert len(history.sightings) == 2


def test_nothing_found_says_nothing_of_a_lesion(history):
    assert history.add(segmentation(10, 0), volume(1), 5.0) is None
    assert history.sightings == ()


def test_history_begins_anew(history):
    history.add(segmentation(10), volume(1), 5.0)
    history.clear()
    assert history.sightings == ()
    assert history.add(segmentation(13), volume(2), 6.0).shift_mm is None


def test_history_is_bounded_and_keeps_its_beginning(history):
    for number in range(MAX_SIGHTINGS + 5):
        history.add(segmentation(number % 20), volume(number), float(number))
    seen = history.sightings
    assert len(seen) == MAX_SIGHTINGS
    assert (seen[0].seen_s, seen[-1].seen_s) == (0.0, MAX_SIGHTINGS + 4.0)
