"""The messages that others receive."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.igtl.messages import volume_of
from CRLMSegmentationLib.igtl.packing import MAX_NAME_BYTES, pack
from CRLMSegmentationLib.reports.igtl_results import SharedLesion, device_of, messages_of

OBLIQUE_LEFT_HANDED = np.array(
    [[0.0, -0.4, 0.36, 12.5], [0.5, 0.0, 0.0, -30.25], [0.0, 0.3, 0.48, 71.0], [0.0, 0.0, 0.0, 1.0]]
) @ np.diag([1.0, 1.0, -1.0, 1.0])
SEED = (0.0, 0.0, 0.0)


@pytest.fixture
def volume():
    return Volume(np.ones((12, 10, 8), np.uint8), OBLIQUE_LEFT_HANDED, "us", 5.0)


def lesion(name, box, shape=(12, 10, 8), offset_kji=(0, 0, 0)):
    mask = np.zeros(shape, bool)
    mask[box] = True
    return SharedLesion(name, SEED, mask, offset_kji)


def labels_of(lesions, volume):
    return messages_of(lesions, volume)[0]


@pytest.mark.parametrize(
    "box",
    [np.s_[5:7, 4:6, 3:4], np.s_[0:1, 0:1, 0:1], np.s_[11:12, 9:10, 7:8], np.s_[:, :, :]],
    ids=["inside", "first voxel", "last voxel", "everywhere"],
)
def test_label_image_has_matrix_and_size_of_the_volume(volume, box):
    labels = labels_of([lesion("a", box)], volume)
    np.testing.assert_array_equal(labels.ijk_to_ras, volume.ijk_to_ras)
    expected = np.zeros(volume.array.shape, np.uint8)
    expected[box] = 1
    np.testing.assert_array_equal(labels.array, expected)
    volume_of(labels)


def test_mask_of_a_part_lies_at_its_offset(volume):
    labels = labels_of([lesion("a", np.s_[1:3, 1:2, 1:2], (3, 3, 3), (6, 5, 4))], volume)
    assert np.argwhere(labels.array).tolist() == [[7, 6, 5], [8, 6, 5]]


def test_first_of_two_lesions_has_the_voxels_that_both_claim(volume):
    lesions = [lesion("a", np.s_[2:5, 2:5, 2:5]), lesion("b", np.s_[4:7, 4:7, 4:7])]
    whole = labels_of(lesions, volume).array
    assert whole[4, 4, 4] == 1
    assert whole[6, 6, 6] == 2
    assert (np.count_nonzero(whole == 1), np.count_nonzero(whole == 2)) == (27, 26)


@pytest.mark.parametrize("lesions", [[], [SharedLesion("a", SEED)], [lesion("a", np.s_[0:0, 0:0, 0:0])]])
def test_nothing_is_an_image_without_labels(volume, lesions):
    labels = labels_of(lesions, volume)
    assert labels.array.shape == volume.array.shape
    assert not labels.array.any()


def test_names_that_agree_in_their_beginning_stay_apart():
    names = [device_of(number, f"Liver metastasis number {number}") for number in (1, 2)]
    assert len(set(names)) == 2
    assert all(len(name) <= MAX_NAME_BYTES for name in names)


@pytest.mark.parametrize("name", ["é" * 200, "Métastase près de la veine", "a\0b", "line\nbreak", ""])
def test_any_name_can_be_sent(volume, name):
    named = SharedLesion(name, SEED, np.ones((2, 2, 2), bool))
    for message in messages_of([named], volume):
        pack(message, 2)


def test_lesions_keep_their_numbers_when_one_before_has_no_segmentation(volume):
    lesions = [SharedLesion("a", SEED), lesion("b", np.s_[4:7, 4:7, 4:7])]
    assert set(np.unique(labels_of(lesions, volume).array)) == {0, 2}
