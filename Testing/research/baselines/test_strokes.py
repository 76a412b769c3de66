"""What the simulated user paints: on three slices, in the lesion and around it, and never its segmentation."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.research.baselines.strokes import BACKGROUND, LESION, Painter, paint, paint_correction
from helpers.ball_helpers import GRIDS, STRAIGHT, ball
from scipy import ndimage

NO_ERROR = Painter(centre_error_mm=0, size_error=0, hand_mm=0)


def painted(matrix=STRAIGHT, radius_mm=10.0, seed=0, painter=None, away_mm=(0.0, 0.0, 0.0)):
    volume, truth, centre = ball(matrix, radius_mm)
    click = centre + np.array(away_mm)
    return paint(volume, truth, click, np.random.default_rng(seed), painter), truth, volume


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("radius_mm", [5.0, 10.0, 14.0])
def test_strokes_lie_inside_and_around_a_ball(grid, radius_mm):
    strokes, truth, _ = painted(GRIDS[grid], radius_mm)
    assert truth[strokes == LESION].mean() > 0.95
    assert truth[strokes == BACKGROUND].mean() < 0.02


def test_strokes_lie_on_the_three_slices_through_the_click_alone():
    strokes, _, _ = painted(away_mm=(3.0, -2.0, 1.0))
    k, j, i = np.nonzero(strokes)
    assert ((k == 26) | (j == 23) | (i == 28)).all()
    for plane in (strokes[26], strokes[:, 23], strokes[:, :, 28]):
        assert {LESION, BACKGROUND} <= set(np.unique(plane))


def test_lesion_is_marked_far_from_its_segmentation_and_only_in_a_small_part():
    strokes, truth, volume = painted()
    depth_mm = ndimage.distance_transform_edt(truth, sampling=volume.spacing_mm[::-1])
    assert depth_mm[(strokes == LESION) & truth].min() > 1.5
    assert np.count_nonzero(strokes == LESION) < 0.2 * truth.sum()


def test_strokes_without_error_are_where_they_are_said_to_be():
    strokes, truth, _ = painted(painter=NO_ERROR)
    k, j, i = np.nonzero(strokes == BACKGROUND)
    away_mm = np.linalg.norm(np.stack([k, j, i]) - 25, axis=0)
    assert away_mm.min() == pytest.approx(15 - 1.5, abs=1)
    assert away_mm.max() == pytest.approx(15 + 1.5, abs=1)
    assert truth[strokes == LESION].all()


def test_what_no_slice_shows_changes_no_stroke():
    volume, truth, centre = ball(STRAIGHT)
    other = truth.copy()
    other[26:, 26:, 26:] = False
    first, again = (paint(volume, t, centre, np.random.default_rng(0)) for t in (truth, other))
    assert (other != truth).any()
    assert (first == again).all()


def test_a_section_is_seen_as_an_ellipse_not_by_its_segmentation():
    """A square and the ellipse of its moments are painted alike, corners or not."""
    volume, _, _ = ball(STRAIGHT)
    square, round_one = np.zeros((2, 50, 50, 50), bool)
    square[25, 15:36, 15:36] = True
    j, i = np.indices((50, 50)) - 25
    round_one[25] = (j**2 + i**2) <= (2 * np.sqrt((21**2 - 1) / 12)) ** 2
    seen = [
        paint(volume, t, np.array([25.0, 25, 25]), np.random.default_rng(0), NO_ERROR)[25] for t in (square, round_one)
    ]
    assert np.count_nonzero(seen[0] != seen[1]) < 0.15 * np.count_nonzero(seen[0])


def test_background_keeps_clear_of_a_small_lesion():
    strokes, truth, volume = painted(radius_mm=3.0, painter=NO_ERROR)
    away_mm = ndimage.distance_transform_edt(~truth, sampling=volume.spacing_mm[::-1])
    assert away_mm[strokes == BACKGROUND].min() > NO_ERROR.clearance_mm - NO_ERROR.brush_mm / 2 - 1


def test_same_generator_paints_the_same_and_another_something_else():
    first, again, other = (painted(seed=seed)[0] for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_click_far_from_the_lesion_paints_nothing():
    strokes, _, _ = painted(radius_mm=5.0, away_mm=(12.0, 12.0, 12.0))
    assert not strokes.any()


def test_of_two_parts_in_a_slice_the_one_at_the_click_is_painted():
    volume, truth, centre = ball(STRAIGHT, 5.0)
    both = truth | np.roll(truth, 17, axis=2)
    strokes = paint(volume, both, centre, np.random.default_rng(0), NO_ERROR)
    assert truth[strokes == LESION].all()


def test_strokes_are_cut_off_where_the_volume_ends():
    volume, _, _ = ball(STRAIGHT)
    truth = np.zeros(volume.array.shape, bool)
    truth[:6, :6, :6] = True
    strokes = paint(volume, truth, np.array([2.0, 2.0, 2.0]), np.random.default_rng(0))
    assert (strokes == LESION).any()
    assert not strokes[-20:].any()


def test_strokes_are_the_same_wherever_the_volume_lies():
    """Slices go along the axes of the volume: turning or mirroring them in space leaves the hand alone."""
    volume, truth, _ = ball(np.diag([1.0, 1.0, 1.5, 1.0]))
    patterns = []
    for matrix in (volume.ijk_to_ras, GRIDS["oblique"], GRIDS["left-handed"]):
        moved = Volume(volume.array, matrix)
        click = transform_points(matrix, [25, 24, 16])
        patterns.append(paint(moved, truth, click, np.random.default_rng(0)))
    assert patterns[0].any()
    assert (patterns[0] == patterns[1]).all()
    assert (patterns[0] == patterns[2]).all()


def test_correction_is_one_stroke_along_the_error_on_the_slice_that_shows_most_of_it():
    volume, _, _ = ball(STRAIGHT)
    error = np.zeros((50, 50, 50), bool)
    error[20:24, 15:25, 10:40] = True
    strokes = np.zeros(error.shape, np.uint8)
    paint_correction(strokes, volume, error, BACKGROUND, np.array([25.0, 20, 22]), np.random.default_rng(0), NO_ERROR)
    k, _, i = np.nonzero(strokes)
    assert set(np.unique(strokes)) == {0, BACKGROUND}
    assert set(k) == {22}
    assert error[strokes > 0].all()
    assert np.ptp(i) > 12


def test_correction_beside_an_error_is_a_dab():
    volume, _, _ = ball(STRAIGHT)
    strokes = np.zeros((50, 50, 50), np.uint8)
    nothing = np.zeros(strokes.shape, bool)
    paint_correction(strokes, volume, nothing, LESION, np.array([25.0, 20, 22]), np.random.default_rng(0), NO_ERROR)
    assert strokes[22, 20, 25] == LESION
    assert 0 < np.count_nonzero(strokes) <= 9
