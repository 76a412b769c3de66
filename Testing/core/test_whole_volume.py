import numpy as np
import pytest
from CRLMSegmentationLib.core.crop import extract_crop, network_input, paste, resample_labels, whole_volume
from CRLMSegmentationLib.core.errors import SeedError, VolumeError
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.volume import Volume

TURN = np.radians(25)
OBLIQUE = np.eye(4)
OBLIQUE[:2, :2] = [[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]]
OBLIQUE[:3, :3] *= [0.7, 1.1, -1.6]
OBLIQUE[:3, 3] = [5, -10, 60]
MATRICES = {
    "plain": np.eye(4),
    "anisotropic": np.diag([0.6, 0.9, 1.7, 1.0]),
    "left-handed": np.diag([-0.8, 1.0, 1.0, 1.0]),
    "permuted": np.array([[0, 0, 1.0, 3], [1.0, 0, 0, -4], [0, 1.0, 0, 8], [0, 0, 0, 1]]),
    "oblique": OBLIQUE,
}


def ball(ijk_to_ras, shape_kji=(32, 44, 64), radius_mm=7.0):
    """A bright ball in the middle of a volume; and where that is."""
    center = transform_points(ijk_to_ras, (np.array(shape_kji[::-1]) - 1) / 2)
    ijk = np.indices(shape_kji[::-1]).reshape(3, -1).T
    inside = np.linalg.norm(transform_points(ijk_to_ras, ijk) - center, axis=1) < radius_mm
    inside = inside.reshape(shape_kji[::-1]).transpose(2, 1, 0)
    return Volume((50 + 100 * inside).astype(np.float32), ijk_to_ras), center


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_grid_of_a_straight_volume_with_the_networks_spacing_is_its_own():
    array = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6) + 1
    matrix = np.diag([1.25, 1.25, 1.25, 1.0])
    matrix[:3, 3] = [3, -7, 11]
    whole = whole_volume(Volume(array, matrix), (5.0, -5.0, 12.0), 1.25)
    np.testing.assert_allclose(whole.ijk_to_ras, matrix)
    assert whole.array.shape == (4, 5, 6)
    assert whole.insonified.all()
    assert np.corrcoef(whole.array.ravel(), array.ravel())[0, 1] > 0.99, "smoothed a little, not moved"


@pytest.mark.parametrize("name", MATRICES)
def test_grid_covers_every_voxel_and_no_more_than_a_voxel_beside(name):
    volume, center = ball(MATRICES[name])
    whole = whole_volume(volume, center, 1.25)
    ijk = np.indices(volume.array.shape[::-1]).reshape(3, -1).T
    ras = transform_points(volume.ijk_to_ras, ijk)
    in_grid = transform_points(np.linalg.inv(whole.ijk_to_ras), ras)
    count = np.array(whole.array.shape[::-1])
    assert in_grid.min() > -0.5
    assert (in_grid < count - 0.5).all()
    half_voxel = np.abs(volume.ijk_to_ras[:3, :3]).sum(1) / 2
    extent_mm = np.ptp(ras, axis=0) + 2 * half_voxel
    assert (count * 1.25 - extent_mm < 1.25).all()


@pytest.mark.parametrize("name", MATRICES)
def test_labels_go_to_the_network_and_come_back_to_the_voxels_they_were(name):
    volume, center = ball(MATRICES[name])
    truth = volume.array > 100
    whole = whole_volume(volume, center, 1.0)
    label = resample_labels(truth, volume.ijk_to_ras, whole)
    assert dice(label, whole.array > 100) > 0.9, "label and picture lie together"
    back, box = paste(label.astype(np.float32), whole.ijk_to_ras, volume.ijk_to_ras, volume.array.shape)
    assert back.shape == volume.array.shape == box.shape, "all of the volume"
    assert dice(back >= 0.5, truth) > 0.93


@pytest.mark.parametrize("name", MATRICES)
def test_whole_volume_shows_the_tissue_as_a_crop_does(name):
    volume, center = ball(MATRICES[name])
    whole = whole_volume(volume, center, 1.0)
    crop = extract_crop(volume, center, 20.0, 1.0)
    half = np.array(whole.array.shape) // 2
    at_center = tuple(slice(n - 4, n + 4) for n in half)
    middle = tuple(slice(6, 14) for _ in range(3))
    assert whole.array[at_center].mean() == pytest.approx(crop.array[middle].mean(), rel=0.05)
    assert whole.array[whole.insonified].min() == pytest.approx(50, abs=1)


def test_what_lies_beside_an_oblique_volume_counts_as_never_swept_and_takes_the_mean():
    volume, center = ball(OBLIQUE)
    whole = whole_volume(volume, center, 1.25)
    assert not whole.insonified[:, 0, 0].any()
    assert 0.4 < whole.insonified.mean() < 0.9
    np.testing.assert_allclose(whole.array[~whole.insonified], whole.array[whole.insonified].mean(), rtol=1e-5)


def test_source_that_says_what_was_swept_is_believed():
    volume, center = ball(np.eye(4))
    insonified = np.ones(volume.array.shape, bool)
    insonified[:, :, :20] = False
    whole = whole_volume(Volume(volume.array, np.eye(4), insonified=insonified), center, 1.0)
    assert not whole.insonified[:, :, :19].any()
    assert whole.insonified[:, :, 21:].all()


def test_seed_map_of_a_box_peaks_at_the_seed():
    volume, center = ball(np.eye(4))
    seed = center + [12, -6, 3]
    whole = whole_volume(volume, seed, 1.25)
    seed_map = network_input(whole, ("ultrasound", "seed"))[1]
    assert seed_map.shape == whole.array.shape
    assert np.unravel_index(seed_map.argmax(), seed_map.shape) == whole.seed_kji


def test_seed_outside_the_volume_is_refused_though_the_grid_holds_it():
    volume, center = ball(OBLIQUE)
    whole = whole_volume(volume, center, 1.25)
    with pytest.raises(SeedError, match="outside the volume"):
        whole_volume(volume, transform_points(whole.ijk_to_ras, [0, 0, 0]), 1.25)


def test_volume_too_large_for_the_grid_is_refused_with_its_size_and_what_to_do():
    volume = Volume(np.ones((20, 20, 20), np.uint8), np.diag([10.0, 10.0, 10.0, 1.0]))
    with pytest.raises(VolumeError, match=r"200 x 200 x 200 mm.*of 0.3 mm 667 x 667 x 667 voxels.*use a model"):
        whole_volume(volume, (50.0, 50.0, 50.0), 0.3)
