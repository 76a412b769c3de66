import numpy as np
import pytest
from CRLMSegmentationLib.core.crop import extract_crop, whole_volume
from CRLMSegmentationLib.core.postprocessing import TOUCHES_VOLUME_EDGE, lesion_from_probability, measure
from CRLMSegmentationLib.core.volume import Volume

SEED = (24.0, 24.0, 24.0)


@pytest.fixture
def volume():
    return Volume(np.full((48, 48, 48), 100, np.uint8), np.eye(4))


@pytest.fixture
def crop(volume):
    return extract_crop(volume, SEED, 30.0, 1.0)


def ball(crop, center, radius):
    return (radius > np.linalg.norm(np.indices(crop.array.shape).T - np.array(center)[::-1], axis=-1).T).astype(
        np.float32
    )


def test_ball_at_the_seed_is_kept_with_its_volume_and_diameters(volume, crop):
    lesion = lesion_from_probability(ball(crop, (14.5, 14.5, 14.5), 8), crop, volume)
    assert lesion.volume_ml == pytest.approx(4 / 3 * np.pi * 8**3 / 1000, rel=0.05)
    assert lesion.diameters_mm == pytest.approx((16, 16, 16), abs=0.5)
    assert lesion.mask[24, 24, 24]
    assert lesion.warnings == ()


def test_another_lesion_in_the_crop_is_left_out(volume, crop):
    probability = np.maximum(ball(crop, (14, 14, 14), 5), ball(crop, (25, 25, 25), 3))
    lesion = lesion_from_probability(probability, crop, volume)
    alone = lesion_from_probability(ball(crop, (14, 14, 14), 5), crop, volume)
    assert (lesion.mask == alone.mask).all()
    assert lesion.probability.sum() > alone.probability.sum()


def test_hole_inside_is_filled(volume, crop):
    probability = ball(crop, (14, 14, 14), 8) - ball(crop, (14, 14, 14), 2)
    lesion = lesion_from_probability(probability, crop, volume)
    assert lesion.mask[23, 23, 23]
    assert lesion.volume_ml == pytest.approx(4 / 3 * np.pi * 8**3 / 1000, rel=0.05)


def test_seed_beside_the_mask_warns_and_far_from_it_finds_nothing(volume, crop):
    beside = lesion_from_probability(ball(crop, (14, 14, 22), 5), crop, volume)
    assert any("seed outside the mask" in w for w in beside.warnings)
    far = lesion_from_probability(ball(crop, (3, 3, 3), 3), crop, volume)
    assert not far.mask.any()
    assert "nothing found" in far.warnings[0]
    assert far.volume_ml == 0


def test_mask_at_the_crop_edge_warns(volume, crop):
    lesion = lesion_from_probability(ball(crop, (14, 14, 14), 17), crop, volume)
    assert any("crop edge" in w for w in lesion.warnings)


def test_mask_at_the_edge_of_a_whole_volume_is_not_told_to_take_a_larger_crop(volume):
    whole = whole_volume(volume, SEED, 1.0)
    lesion = lesion_from_probability(ball(whole, (0, 24, 24), 8), whole, volume)
    assert lesion.is_empty, "another lesion than the one that was clicked"
    at_edge = whole_volume(volume, (2.0, 24.0, 24.0), 1.0)
    lesion = lesion_from_probability(ball(at_edge, (0, 24, 24), 8), at_edge, volume)
    assert lesion.warnings == (TOUCHES_VOLUME_EDGE,)
    assert lesion.volume_ml == pytest.approx(2 / 3 * np.pi * 8**3 / 1000, rel=0.1)
    inside = lesion_from_probability(ball(whole, (24, 24, 24), 8), whole, volume)
    assert inside.warnings == ()


def test_seed_beside_the_lesions_takes_the_nearest(volume):
    whole = whole_volume(volume, SEED, 1.0)
    probability = np.maximum(ball(whole, (31, 24, 24), 4.5), ball(whole, (15, 24, 24), 4.5))
    lesion = lesion_from_probability(probability, whole, volume)
    assert lesion.mask[24, 24, 31]
    assert not lesion.mask[24, 24, 15]
    assert lesion.warnings == ("seed outside the mask by 3.0 mm: check that the right lesion was segmented",)


def test_mask_beside_empty_voxels_warns_and_does_not_cover_them():
    array = np.full((48, 48, 48), 100, np.uint8)
    array[:, :, 26:] = 0
    volume = Volume(array, np.eye(4))
    crop = extract_crop(volume, SEED, 30.0, 1.0)
    lesion = lesion_from_probability(ball(crop, (14, 14, 14), 8), crop, volume)
    assert any("empty voxels" in w for w in lesion.warnings)
    assert not lesion.mask[:, :, 28:].any()


def test_hesitant_network_is_called_uncertain(volume, crop):
    lesion = lesion_from_probability(0.6 * ball(crop, (14, 14, 14), 8), crop, volume)
    assert lesion.mean_probability == pytest.approx(0.6, abs=0.01)
    assert any("low confidence" in w for w in lesion.warnings)


def test_measure_counts_millimetres_on_an_anisotropic_left_handed_grid():
    mask = np.zeros((10, 10, 10), bool)
    mask[2:8, 2:8, 2:8] = True
    volume_ml, diameters = measure(mask, np.diag([1.0, 2.0, -3.0, 1.0]))
    assert volume_ml == pytest.approx(6**3 * 6 / 1000)
    assert diameters[0] / diameters[2] == pytest.approx(3, rel=0.01)
    assert list(diameters) == sorted(diameters, reverse=True)


def test_lesion_too_small_for_the_voxels_of_its_volume_is_called_nothing():
    coarse = Volume(np.full((12, 12, 12), 100, np.uint8), np.diag([4.0, 4.0, 4.0, 1.0]))
    crop = extract_crop(coarse, (22.0, 22.0, 22.0), 30.0, 1.0)
    probability = np.zeros(crop.array.shape, np.float32)
    probability[crop.seed_kji] = 0.9
    lesion = lesion_from_probability(probability, crop, coarse)
    assert not lesion.mask.any()
    assert "nothing found" in lesion.warnings[0]
    assert lesion.mean_probability == 0
