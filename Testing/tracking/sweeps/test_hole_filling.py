"""Which holes are filled, with what, and what is left alone."""

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import SweepError
from CRLMSegmentationLib.tracking.sweeps.hole_filling import fill_holes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage


def slabs(*positions, count=16):
    """Swept planes at some heights of a cube, with the height as their grey value."""
    array, insonified = np.zeros((count, 12, 12), np.uint8), np.zeros((count, 12, 12), bool)
    for k in positions:
        array[k], insonified[k] = 10 * k, True
    return array, insonified


@pytest.mark.parametrize(("gap", "size", "is_filled"), [(4, 5, True), (5, 5, False), (2, 3, True), (3, 3, False)])
def test_gap_is_filled_up_to_one_voxel_less_than_the_kernel(gap, size, is_filled):
    _, known = fill_holes(*slabs(3, 4 + gap), size)
    assert known[4 : 4 + gap, 6, 6].all() == is_filled
    assert known[4 : 4 + gap, 6, 6].any() == is_filled


def test_border_of_the_swept_part_does_not_grow():
    array, insonified = slabs(5, 8)
    insonified[:, :, 9:] = False
    _, known = fill_holes(array, insonified)
    assert not known[:5].any()
    assert not known[9:].any()
    assert not known[:, :, 9:].any()
    assert known[5:9, :, :9].all()


def test_value_is_the_mean_of_the_known_weighted_by_a_gaussian_of_the_distance():
    array, insonified = slabs(3, 6)
    filled, _ = fill_holes(array, insonified)
    near, far = np.exp(-(1**2) / (2 * 1.25**2)), np.exp(-(2**2) / (2 * 1.25**2))
    assert filled[4, 6, 6] == round((30 * near + 60 * far) / (near + far))
    assert filled[5, 6, 6] == round((60 * near + 30 * far) / (near + far))


def test_unknown_voxels_do_not_darken_and_known_ones_are_kept():
    array, insonified = np.full((9, 9, 9), 200, np.uint8), np.ones((9, 9, 9), bool)
    array[4, 4, 4], insonified[4, 4, 4] = 0, False
    array[2, 2, 2] = 0  # swept and black: a vessel
    filled, known = fill_holes(array, insonified)
    assert 190 < filled[4, 4, 4] <= 200
    assert filled[2, 2, 2] == 0
    assert known.all()


def test_type_is_kept_and_the_input_left_alone():
    array, insonified = slabs(3, 5)
    before = array.copy(), insonified.copy()
    for dtype in (np.uint8, np.int16, np.float32):
        assert fill_holes(array.astype(dtype), insonified)[0].dtype == dtype
    assert (array == before[0]).all()
    assert (insonified == before[1]).all()


def test_nothing_swept_stays_empty():
    array, insonified = slabs()
    assert not fill_holes(array, insonified)[1].any()


@pytest.mark.parametrize("size", [1, 4, 0, -3])
def test_kernel_must_be_odd_and_at_least_three(size):
    with pytest.raises(SweepError, match="odd and at least 3"):
        fill_holes(*slabs(3), size)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([3, 5]))
def test_filled_is_the_closing_and_filling_again_changes_nothing(seed, size):
    rng = np.random.default_rng(seed)
    insonified = rng.random((9, 8, 10)) < rng.uniform(0.02, 0.4)
    array = np.where(insonified, rng.integers(1, 255, insonified.shape), 0).astype(np.uint8)
    filled, known = fill_holes(array, insonified, size)
    padded = ndimage.binary_closing(np.pad(insonified, size), np.ones((size,) * 3))
    assert (known == padded[(slice(size, -size),) * 3]).all()
    assert (filled[insonified] == array[insonified]).all()
    if insonified.any():
        assert filled[known].min() >= array[insonified].min()
        assert filled[known].max() <= array[insonified].max()
    assert (fill_holes(filled, known, size)[1] == known).all()
