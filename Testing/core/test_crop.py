from itertools import permutations, product

import numpy as np
import pytest
from CRLMSegmentationLib.core.crop import CHANNELS, extract_crop, network_input, paste, resample_labels
from CRLMSegmentationLib.core.crop_format import CLICK_CHANNELS
from CRLMSegmentationLib.core.errors import SeedError
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.points import CorrectionPoint, PointKind
from CRLMSegmentationLib.core.volume import Volume


def ball(shape_kji=(40, 44, 48), center_ras=(20.0, 22.0, 24.0), radius_mm=8.0, ijk_to_ras=None):
    """A bright ball of a given place in space on any grid."""
    ijk_to_ras = np.eye(4) if ijk_to_ras is None else ijk_to_ras
    ijk = np.indices(shape_kji[::-1]).reshape(3, -1).T
    away = np.linalg.norm(transform_points(ijk_to_ras, ijk) - center_ras, axis=1)
    inside = (away < radius_mm).reshape(shape_kji[::-1]).transpose(2, 1, 0)
    return Volume((50 + 100 * inside).astype(np.float32), ijk_to_ras)


def stored_otherwise(volume, order, flips):
    """The same tissue with its axes permuted (k, j, i) and flipped."""
    array = np.flip(volume.array.transpose(order), [n for n in range(3) if flips[n]])
    to_old = np.zeros((4, 4))
    to_old[3, 3] = 1
    for new, old in enumerate(order):
        sign = -1 if flips[new] else 1
        to_old[2 - old, 2 - new] = sign
        to_old[2 - old, 3] = array.shape[new] - 1 if flips[new] else 0
    return Volume(np.ascontiguousarray(array), volume.ijk_to_ras @ to_old)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("flips", list(product([False, True], repeat=3)))
def test_same_tissue_gives_the_same_crop_however_it_is_stored(order, flips):
    volume = ball()
    volume.array[5:9, 7:10, 11:30] = 200
    seed = (20.0, 20.0, 20.0)
    other = stored_otherwise(volume, order, flips)
    expected, got = (extract_crop(v, seed, 24.0, 1.25) for v in (volume, other))
    np.testing.assert_allclose(got.array, expected.array, atol=1e-3)


def test_crop_axes_are_r_a_s():
    volume = ball(center_ras=(30.0, 22.0, 24.0), radius_mm=3)
    crop = extract_crop(volume, (22.0, 22.0, 24.0), 30.0, 1.0)
    kji = np.array(np.unravel_index(crop.array.argmax(), crop.array.shape))
    ras = transform_points(crop.ijk_to_ras, kji[::-1])
    assert np.linalg.norm(ras - [30, 22, 24]) <= 3
    assert crop.ijk_to_ras[0, 0] == crop.ijk_to_ras[1, 1] == crop.ijk_to_ras[2, 2] == 1.0


def test_crop_at_border_is_padded_and_pastes_back():
    volume = ball(center_ras=(2.0, 22.0, 24.0))
    crop = extract_crop(volume, (2.0, 22.0, 24.0), 40.0, 1.25)
    assert not crop.insonified[:, :, 0].any()
    pasted, box = paste((crop.array > 100).astype(np.float32), crop.ijk_to_ras, volume.ijk_to_ras, volume.array.shape)
    mask = np.zeros(volume.array.shape, bool)
    mask[box.slices] = pasted >= 0.5
    truth = volume.array > 100
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.93


def test_oblique_anisotropic_left_handed_volume_pastes_back():
    angle = np.radians(25)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, :3] *= [0.7, 1.1, -1.6]
    matrix[:3, 3] = [5, -10, 60]
    center = transform_points(matrix, [30, 20, 15])
    volume = ball((32, 44, 64), center, 9.0, matrix)
    crop = extract_crop(volume, center, 40.0, 1.25)
    pasted, box = paste((crop.array > 100).astype(np.float32), crop.ijk_to_ras, volume.ijk_to_ras, volume.array.shape)
    truth = volume.array[box.slices] > 100
    mask = pasted >= 0.5
    assert truth.sum() == (volume.array > 100).sum()
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.93


def test_labels_come_onto_the_crop_where_the_tissue_is():
    volume = ball()
    crop = extract_crop(volume, (20.0, 22.0, 24.0), 30.0, 1.0)
    label = resample_labels(volume.array > 100, volume.ijk_to_ras, crop)
    assert label.sum() == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.05)


def test_empty_voxels_take_the_mean_and_are_known():
    array = np.full((40, 40, 40), 80, np.uint8)
    array[:, :, 20:] = 0
    crop = extract_crop(Volume(array, np.eye(4)), (15.0, 20.0, 20.0), 24.0, 1.0)
    assert not crop.insonified[:, :, -5:].any()
    assert crop.insonified[:, :, :10].all()
    np.testing.assert_allclose(crop.array, 80, atol=0.5)


def test_single_holes_are_closed_from_their_neighbours():
    array = np.full((30, 30, 30), 80, np.uint8)
    array[15, 15, 15] = 0
    crop = extract_crop(Volume(array, np.eye(4)), (15.0, 15.0, 15.0), 20.0, 1.0)
    assert crop.insonified.all()
    np.testing.assert_allclose(crop.array, 80, atol=0.5)


def test_seed_channel_peaks_at_the_seed():
    crop = extract_crop(ball(), (20.0, 22.0, 24.0), 30.0, 1.25)
    seed_map = network_input(crop, CHANNELS)[1]
    peak = np.array(np.unravel_index(seed_map.argmax(), seed_map.shape))
    assert np.abs(peak - crop.seed_kji).max() <= 1
    assert seed_map.max() > 0.9


@pytest.mark.parametrize(
    ("seed", "words"),
    [((100.0, 0, 0), "outside the volume"), ((np.nan, 0, 0), "three numbers"), ((1.0, 2.0), "three numbers")],
)
def test_seed_that_cannot_be_is_refused(seed, words):
    with pytest.raises(SeedError, match=words):
        extract_crop(ball(), seed, 30.0, 1.25)


def test_seed_where_the_probe_has_not_been_is_refused():
    array = np.full((40, 40, 40), 80, np.uint8)
    array[:, :, 20:] = 0
    with pytest.raises(SeedError, match="probe has not been"):
        extract_crop(Volume(array, np.eye(4)), (30.0, 20.0, 20.0), 24.0, 1.0)


@pytest.mark.parametrize("size", [5.0, 1000.0, np.nan])
def test_absurd_crop_size_is_refused(size):
    with pytest.raises(SeedError, match="mm wide"):
        extract_crop(ball(), (20.0, 22.0, 24.0), size, 1.25)


def test_points_and_the_previous_segmentation_are_channels(tiny_volume):
    crop = extract_crop(tiny_volume, np.array([20.0, 20, 20]), 24.0, 1.0)
    include = CorrectionPoint(PointKind.INCLUDE, (26.0, 20.0, 20.0))
    exclude = CorrectionPoint(PointKind.EXCLUDE, (20.0, 14.0, 20.0))
    previous = crop.array < 80
    made = network_input(crop, CLICK_CHANNELS, [exclude, include], previous)
    seed_map = network_input(crop, CHANNELS)[1]
    place = {"include": (12, 12, 18), "exclude": (12, 6, 12)}  # k, j, i of voxels beside the points
    np.testing.assert_array_equal(made[0], crop.array)
    np.testing.assert_array_equal(made[3], previous)
    assert (made[1] >= seed_map).all()
    assert made[1][place["include"]] > 0.9 > seed_map[place["include"]]
    assert np.unravel_index(made[2].argmax(), made[2].shape)[1] in (5, 6)
    assert made[2][place["exclude"]] > 0.9
    assert made[2][crop.seed_kji] < 0.5
    before_the_first = network_input(crop, CLICK_CHANNELS)
    np.testing.assert_array_equal(before_the_first[1], seed_map)
    assert not before_the_first[2:].any()
