"""What correction points are refused, and the crop that they need."""

from __future__ import annotations

import math

import numpy as np
import pytest
from CRLMSegmentationLib.core.box import Box
from CRLMSegmentationLib.core.crop_format import LARGEST_CROP_MM
from CRLMSegmentationLib.core.errors import SeedError
from CRLMSegmentationLib.core.point_checks import CROP_MARGIN_MM, check_points, crop_size_holding
from CRLMSegmentationLib.core.points import MAX_POINTS
from CRLMSegmentationLib.core.volume import Volume
from helpers.ball_helpers import GRIDS, ball
from helpers.point_helpers import exclude, include

SEED = (20.0, 20.0, 20.0)


@pytest.fixture
def volume() -> Volume:
    array = np.full((40, 40, 40), 100, np.uint8)
    array[:, :, 35:] = 0
    return Volume(array, np.eye(4))


def test_points_in_the_volume_and_apart_are_taken(volume):
    check_points(volume, SEED, [include(20, 20, 21), exclude(20, 20, 23), include(20, 20, 20)])


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (
            [exclude(20, 21.5, 20)],
            r"the exclude point \(20.0, 21.5, 20.0\) mm lies 1.5 mm from the seed \(20.0, 20.0, 20.0\) mm, so that "
            "they contradict each other; place it at least 2 mm away, or remove one of the two",
        ),
        (
            [exclude(30, 20, 20), include(25, 20, 20), include(31, 20, 21)],
            r"the exclude point \(30.0, 20.0, 20.0\) mm lies 1.4 mm from the include point \(31.0, 20.0, 21.0\) mm",
        ),
        ([include(20, 20, 60)], r"the include point \(20.0, 20.0, 60.0\) mm lies outside the volume, which spans"),
        ([exclude(39, 20, 20)], r"the exclude point \(39.0, 20.0, 20.0\) mm lies where the probe has not been"),
        ([include(math.nan, 20, 20)], "the include point must be three numbers"),
        ([include(20, 20, 22)] * (MAX_POINTS + 1), f"at most {MAX_POINTS} correction points, got {MAX_POINTS + 1}"),
    ],
)
def test_points_that_cannot_be_are_refused_by_their_names(volume, points, message):
    with pytest.raises(SeedError, match=message):
        check_points(volume, SEED, points)


def test_contradiction_within_a_coarse_voxel_is_refused():
    coarse = Volume(np.full((12, 12, 12), 100, np.uint8), np.diag([4.0, 4.0, 4.0, 1.0]))
    with pytest.raises(SeedError, match="lies in the voxel of the seed"):
        check_points(coarse, (18.5, 20, 20), [exclude(21.5, 20, 20)])


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_point_lies_in_the_same_voxel_of_a_part_of_the_volume(grid):
    volume, _, centre = ball(grid)
    place = centre + 0.45 * grid[:3, 0]
    middle = Box.of_part(volume.voxel_at(centre), (1, 1, 1))
    part, offset_kji = volume.part_around(middle.padded(3, volume.array.shape))
    assert tuple(np.add(part.voxel_at(place), offset_kji)) == volume.voxel_at(place) == middle.start_kji


def test_crop_holds_include_points_with_a_margin_and_needs_no_room_for_others():
    points = [include(20, -15, 20), exclude(20, 20, 120), include(25, 20, 20)]
    assert crop_size_holding(60.0, SEED, points) == 2 * (35 + CROP_MARGIN_MM)
    assert crop_size_holding(95.0, SEED, points) == 95.0
    assert crop_size_holding(60.0, SEED, points[1:]) == 60.0


def test_include_point_that_no_crop_holds_is_refused_with_the_size_that_would():
    far = include(20, 20, 20 + LARGEST_CROP_MM / 2)
    with pytest.raises(SeedError, match="a crop that holds both would be 220 mm wide, more than 200 mm"):
        crop_size_holding(60.0, SEED, [far])
    assert crop_size_holding(300.0, SEED, [far]) == 300.0
