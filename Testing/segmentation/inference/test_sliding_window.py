"""Windows, weights and padding are nnU-Net's own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from CRLMSegmentationLib.segmentation.inference.sliding_window import (
    SCALE,
    STEP,
    mirrorings,
    padded,
    window_weights,
    windows_in,
)
from hypothesis import example, given
from hypothesis import strategies as st
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window

WIDTHS = st.tuples(*[st.integers(1, 24).map(lambda n: 8 * n)] * 3)
MARGINS = st.tuples(*[st.integers(0, 700)] * 3)


def axis_starts(count: int, width: int) -> list[int]:
    """Along the last axis alone."""
    return [box.start_kji[2] for box in windows_in((1, 1, count), (1, 1, width))]


def test_windows_along_an_axis_are_those_of_nnunet_for_every_length():
    for width in (1, 5, 16, 28, 40, 48, 96, 128):
        for count in range(width, 8 * width + 60):
            expected = compute_steps_for_sliding_window((1, 1, count), (1, 1, width), STEP)[2]
            assert axis_starts(count, width) == expected, (count, width)


@given(WIDTHS, st.tuples(*[st.integers(0, 90)] * 3))
@example((48, 48, 48), (16, 16, 16))
@example((48, 40, 56), (0, 1, 28))
def test_windows_are_those_of_nnunet_in_its_order(window, more):
    shape = tuple(width + extra for width, extra in zip(window, more))
    boxes = windows_in(shape, window)
    starts = itertools.product(*compute_steps_for_sliding_window(shape, window, STEP))
    assert [box.start_kji for box in boxes] == list(starts)
    assert {box.shape for box in boxes} == {window}


@given(st.integers(8, 192), st.integers(0, 700))
def test_windows_along_a_long_axis_are_those_of_nnunet(width, more):
    expected = compute_steps_for_sliding_window((1, 1, width + more), (1, 1, width), STEP)[2]
    assert axis_starts(width + more, width) == expected


def test_every_voxel_lies_in_a_window():
    seen = np.zeros((21, 16, 40), int)
    for box in windows_in(seen.shape, (16, 16, 16)):
        seen[box.slices] += 1
    assert seen.min() >= 1


@pytest.mark.parametrize("window", [(48, 48, 48), (16, 16, 16), (20, 32, 28), (96, 40, 8), (5, 7, 9), (128, 16, 16)])
def test_weights_are_those_of_nnunet_in_half_precision(window):
    weights = window_weights(window)
    expected = compute_gaussian(window, 1.0 / 8, SCALE, torch.float16, torch.device("cpu"))
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, expected.to(torch.float32).numpy())
    assert weights.min() > 0


@given(st.tuples(*[st.integers(1, 30)] * 3), st.tuples(*[st.integers(1, 30)] * 3))
def test_padding_is_that_of_nnunet(shape, window):
    image = np.arange(1, 2 * np.prod(shape) + 1, dtype=np.float32).reshape(2, *shape)
    expected, slicer = pad_nd_image(torch.from_numpy(image), window, "constant", {"value": 0}, True, None)
    larger, box = padded(image, window)
    np.testing.assert_array_equal(larger, expected.numpy())
    assert box.slices == tuple(slicer[1:])
    np.testing.assert_array_equal(larger[(slice(None), *box.slices)], image)


@pytest.mark.parametrize("axes", [(), (0,), (1, 2), (0, 1, 2)])
def test_mirrored_copies_are_those_of_nnunet(axes):
    """`nnUNetPredictor._internal_maybe_mirror_and_predict` counts the axes of a batch, so two more."""
    own = [
        combination for i in range(len(axes)) for combination in itertools.combinations([m + 2 for m in axes], i + 1)
    ]
    assert [tuple(axis + 2 for axis in mirrored) for mirrored in mirrorings(axes)] == [(), *own]
    assert len(list(mirrorings(axes))) == 2 ** len(axes)
