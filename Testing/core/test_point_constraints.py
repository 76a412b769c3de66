"""A mask obeys its correction points in the voxels of its volume, whatever the network says."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.box import Box
from CRLMSegmentationLib.core.crop import Crop, extract_crop, part_for_crop
from CRLMSegmentationLib.core.errors import SeedError
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.point_checks import check_points, crop_size_holding
from CRLMSegmentationLib.core.point_constraints import EXCLUDE_MARGIN_MM, constrained, region_of_points
from CRLMSegmentationLib.core.points import CorrectionPoint, PointKind
from CRLMSegmentationLib.core.postprocessing import (
    NOTHING,
    THRESHOLD,
    LesionMask,
    lesion_from_probability,
    lesion_in_crop,
)
from CRLMSegmentationLib.core.volume import Volume
from helpers.ball_helpers import GRIDS
from helpers.point_helpers import exclude, include
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

SEED = (24.0, 24.0, 24.0)
SIZE_MM = 44.0


@pytest.fixture(scope="module")
def volume() -> Volume:
    return Volume(np.full((48, 48, 48), 100, np.uint8), np.eye(4))


@pytest.fixture(scope="module")
def crop(volume) -> Crop:
    return extract_crop(volume, SEED, SIZE_MM, 1.0)


def balls(crop: Crop, *places: tuple[tuple[float, float, float], float], value: float = 0.9) -> np.ndarray:
    """A probability with balls of given centres, RAS mm, and radii, mm."""
    kji = np.moveaxis(np.indices(crop.array.shape), 0, -1)
    ras = transform_points(crop.ijk_to_ras, kji[..., ::-1])
    inside = [np.linalg.norm(ras - np.array(centre), axis=-1) < radius for centre, radius in places]
    return np.where(np.any(inside, axis=0), value, 0.0).astype(np.float32)


def at(lesion: LesionMask, volume: Volume, point: CorrectionPoint | tuple[float, float, float]) -> bool:
    return bool(lesion.mask[volume.voxel_at(getattr(point, "ras_mm", point))])


def pieces(lesion: LesionMask) -> int:
    return ndimage.label(lesion.mask)[1]


def test_without_points_nothing_changes_and_obeyed_points_change_nothing(volume, crop):
    probability = balls(crop, (SEED, 7))
    plain = lesion_from_probability(probability, crop, volume)
    obeyed = lesion_from_probability(probability, crop, volume, [include(28, 24, 24), exclude(24, 24, 36)])
    np.testing.assert_array_equal(obeyed.mask, plain.mask)
    assert obeyed.warnings == plain.warnings == ()
    assert obeyed.mean_probability == plain.mean_probability


def test_include_point_joins_its_component_by_a_strand_two_millimetres_thick(volume, crop):
    probability = balls(crop, (SEED, 5), ((24, 24, 38), 4))
    point = include(24, 24, 38)
    alone, joined = (lesion_from_probability(probability, crop, volume, points) for points in ((), [point]))
    assert not at(alone, volume, point)
    assert at(joined, volume, point)
    assert pieces(joined) == 1
    assert (joined.mask & alone.mask == alone.mask).all()
    between = [np.count_nonzero(joined.mask[k]) for k in range(30, 33)]
    assert between == [5, 5, 5], "a voxel with its four neighbours"


def test_strand_follows_the_greatest_probability(volume, crop):
    """A faint bridge leads around the straight line."""
    probability = balls(crop, (SEED, 5), ((24, 24, 38), 4))
    bridge = [((24, 24 + away, s), 1.6) for away, s in ((4, 27), (6, 29), (7, 31), (7, 33), (5, 35))]
    probability = np.maximum(probability, balls(crop, *bridge, value=0.4))
    joined = lesion_from_probability(probability, crop, volume, [include(24, 24, 38)])
    assert joined.mask[31, 31, 24]
    assert not joined.mask[31, 24, 24]
    assert pieces(joined) == 1


def test_include_point_where_the_network_sees_nothing_is_joined_with_a_warning(volume, crop):
    plain = lesion_from_probability(balls(crop, (SEED, 5)), crop, volume)
    lesion = lesion_from_probability(balls(crop, (SEED, 5)), crop, volume, [include(24, 24, 38)])
    assert at(lesion, volume, include(24, 24, 38))
    assert pieces(lesion) == 1
    added_ml = lesion.volume_ml - plain.volume_ml
    assert added_ml == pytest.approx(0.05, abs=0.01)
    assert lesion.warnings == (
        f"{added_ml:.2f} ml were added for include points where the network sees no tumour: check the segmentation",
    )


def test_nothing_at_the_seed_joins_the_include_point_to_the_seed(volume, crop):
    probability = balls(crop, ((24, 24, 38), 4))
    assert lesion_from_probability(probability, crop, volume).warnings == (NOTHING,)
    lesion = lesion_from_probability(probability, crop, volume, [include(24, 24, 38)])
    assert at(lesion, volume, SEED)
    assert at(lesion, volume, include(24, 24, 38))
    assert pieces(lesion) == 1
    assert lesion.mean_probability == pytest.approx(0.9)


def test_network_that_sees_nothing_at_all_gives_a_strand_of_low_probability(volume, crop):
    nothing = np.full(crop.array.shape, 0.1, np.float32)
    lesion = lesion_from_probability(nothing, crop, volume, [include(24, 24, 30)])
    assert lesion.volume_ml == pytest.approx(0.03, abs=0.015)
    assert lesion.mean_probability == pytest.approx(0.1)
    assert any("low confidence" in warning for warning in lesion.warnings)
    assert lesion_from_probability(nothing, crop, volume, [exclude(24, 24, 30)]).warnings == (NOTHING,)


def test_exclude_point_removes_a_small_ball_with_a_warning(volume, crop):
    probability = balls(crop, (SEED, 8))
    point = exclude(24, 24, 29)
    plain, cut = (lesion_from_probability(probability, crop, volume, points) for points in ((), [point]))
    assert not at(cut, volume, point)
    removed = np.argwhere(plain.mask & ~cut.mask)
    assert (np.linalg.norm(removed - [29, 24, 24], axis=1) <= EXCLUDE_MARGIN_MM).all()
    assert np.count_nonzero(plain.mask & ~cut.mask) == 33
    assert cut.warnings == (
        "0.03 ml were removed for exclude points where the network sees tumour: check the segmentation",
    )


def test_what_an_exclude_point_cuts_off_goes_as_well(volume, crop):
    probability = balls(crop, (SEED, 5), *(((24, 24, s), 1.2) for s in range(28, 36)), ((24, 24, 38), 4))
    leak = exclude(24, 24, 32)
    cut = lesion_from_probability(probability, crop, volume, [leak])
    assert at(lesion_from_probability(probability, crop, volume), volume, (24, 24, 38))
    assert not at(cut, volume, (24, 24, 38))
    kept = lesion_from_probability(probability, crop, volume, [leak, include(24, 24, 38)])
    assert at(kept, volume, (24, 24, 38))
    assert not at(kept, volume, leak)
    assert pieces(kept) == 1


def test_voxels_nearer_to_an_include_point_are_not_removed(volume, crop):
    probability = balls(crop, (SEED, 8))
    points = [exclude(24, 24, 29), include(24, 24, 31.2)]
    lesion = lesion_from_probability(probability, crop, volume, points)
    assert not at(lesion, volume, points[0])
    assert at(lesion, volume, points[1])
    assert lesion.mask[31, 24, 25]


def test_strand_keeps_to_insonified_voxels_where_it_can():
    array = np.full((48, 48, 48), 100, np.uint8)
    array[29:33, 18:30, 18:30] = 0
    volume = Volume(array, np.eye(4))
    crop = extract_crop(volume, SEED, SIZE_MM, 1.0)
    point = include(24, 24, 38)
    lesion = lesion_from_probability(balls(crop, (SEED, 4), ((24, 24, 38), 4)), crop, volume, [point])
    assert at(lesion, volume, point)
    assert pieces(lesion) == 1
    assert volume.insonified_in()[lesion.mask].all()


def test_include_point_that_is_walled_in_is_refused():
    """In the last voxels of a corner, behind one point for each of its neighbours."""
    coarse = Volume(np.full((12, 12, 12), 100, np.uint8), np.diag([4.0, 4.0, 4.0, 1.0]))
    crop = extract_crop(coarse, (22.0, 22.0, 22.0), 60.0, 2.0)
    points = [include(0, 0, 0), exclude(4, 0, 0), exclude(0, 4, 0), exclude(0, 0, 4)]
    with pytest.raises(SeedError, match="stand all around the include point"):
        lesion_from_probability(balls(crop, ((22, 22, 22), 9)), crop, coarse, points)


def test_lesion_in_the_crop_is_what_a_network_is_shown_to_correct(crop):
    shell = balls(crop, (SEED, 6)) - balls(crop, (SEED, 2))
    probability = np.maximum(shell, balls(crop, ((24, 24, 38), 4), ((40, 24, 24), 3)))
    points = [include(24, 24, 38), exclude(24, 24, 20)]
    expected = balls(crop, (SEED, 6)) >= THRESHOLD
    np.testing.assert_array_equal(lesion_in_crop(probability, crop), expected)
    both = expected | (balls(crop, ((24, 24, 38), 4)) >= THRESHOLD)
    np.testing.assert_array_equal(lesion_in_crop(probability, crop, points), both)


def test_what_points_change_is_counted_in_millilitres(volume, crop):
    found = np.zeros(volume.array.shape, bool)
    found[20:28, 20:28, 20:28] = True
    found[40:44, 40:44, 40:44] = True
    box = Box.of_mask(found)
    points = [exclude(27, 24, 24), include(24, 24, 29)]
    region = region_of_points(box, volume, np.array(SEED), points)
    made = constrained(found[region.slices], found[region.slices] * 0.9, region, volume, np.array(SEED), points, 5.0)
    before = found.copy()
    before[40:] = False
    mask = np.zeros_like(found)
    mask[region.slices] = made.mask
    assert made.added_ml == pytest.approx(np.count_nonzero(mask & ~before) / 1000)
    assert made.removed_ml == pytest.approx(np.count_nonzero(before & ~mask) / 1000)
    assert min(made.added_ml, made.removed_ml) > 0
    assert not mask[40:].any(), "another lesion"


def places(draw, volume: Volume, count: int) -> list[tuple[float, float, float]]:
    share = st.floats(0.2, 0.8, allow_nan=False)
    ijk = [[draw(share) * (n - 1) for n in volume.shape_ijk] for _ in range(count)]
    return [tuple(map(float, transform_points(volume.ijk_to_ras, place))) for place in ijk]


@st.composite
def situations(draw):
    """A volume of any kind, a seed, points that contradict nothing, and the lesion of a network that says anything.

    As in a session, it is found in the part of the volume that the crop shows.
    """
    matrix = GRIDS[draw(st.sampled_from(sorted(GRIDS)))] @ np.diag([*draw(st.sampled_from([(1, 1, 1), (2, 1, 2)])), 1])
    spacing_mm = np.linalg.norm(matrix[:3, :3], axis=0)
    shape = tuple(np.round(32 / spacing_mm[::-1]).astype(int))
    number = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(number)
    array = rng.integers(1, 200, shape).astype(np.uint8)
    array[: draw(st.integers(0, 2))] = 0
    volume = Volume(array, matrix)
    seed, *others = places(draw, volume, 1 + draw(st.integers(1, 5)))
    points: list[CorrectionPoint] = []
    for place in others:
        point = CorrectionPoint(draw(st.sampled_from(PointKind)), place)
        try:
            check_points(volume, np.array(seed), [*points, point])
        except SeedError:
            continue
        points.append(point)
    size_mm = crop_size_holding(draw(st.sampled_from([20.0, 26.0, 40.0])), seed, points)
    part, offset_kji = part_for_crop(volume, np.array(seed), size_mm, 1.25)
    crop = extract_crop(part, np.array(seed), size_mm, 1.25)
    noise = ndimage.gaussian_filter(rng.standard_normal(crop.array.shape), draw(st.sampled_from([1.0, 2.0, 4.0])))
    probability = 1 / (1 + np.exp(-(noise / noise.std() + draw(st.floats(-2, 2)))))
    lesion = lesion_from_probability(probability.astype(np.float32), crop, part, points)
    return volume, seed, points, lesion.moved_into(volume, offset_kji)


@given(situations())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_mask_obeys_every_point_and_is_one_piece_whatever_the_network_says(situation):
    volume, seed, points, lesion = situation
    for point in points:
        assert at(lesion, volume, point) is (point.kind is PointKind.INCLUDE)
    assert pieces(lesion) == (0 if lesion.is_empty else 1)
    if any(point.kind is PointKind.INCLUDE for point in points):
        near = np.argwhere(lesion.mask)[:, ::-1]
        away_mm = np.linalg.norm(transform_points(volume.ijk_to_ras, near) - seed, axis=1).min()
        assert away_mm <= 5.0 + 1.5 * np.linalg.norm(volume.spacing_mm), "it is joined to the seed"
