"""Windows that cover an image, and how what a network says of each is put together: nnU-Net's rule, in numpy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import DTypeLike
from scipy import ndimage

from ...core.box import Box, Shape, as_index

STEP = 0.5
"""Of a window's width: how far nnU-Net moves it at most."""
SIGMA = 1 / 8
"""Of a window's width: how fast the weight of a window falls towards its faces."""
SCALE = 10
"""By which nnU-Net multiplies the weights, which it holds in half precision."""


def padded(image: np.ndarray, window: Shape) -> tuple[np.ndarray, Box]:
    """Pad an image with zeros on both sides, as nnU-Net does, until it is no smaller than a window.

    Args:
        image: shape (C, K, J, I).

    Returns:
        The padded image, and the box of it that the image fills.
    """
    missing = [max(0, wanted - count) for wanted, count in zip(window, image.shape[1:])]
    before = as_index(count // 2 for count in missing)
    widths = [(0, 0), *((low, count - low) for low, count in zip(before, missing))]
    return np.pad(image, widths), Box.of_part(before, image.shape[1:])


def windows_in(shape: Sequence[int], window: Shape) -> list[Box]:
    """Return the windows that cover an image of a shape (K, J, I), no smaller than one of them."""
    starts = []
    for count, width in zip(shape, window):
        steps = int(np.ceil((count - width) / (width * STEP)))
        step_width = (count - width) / steps if steps else 0.0
        starts.append([round(step_width * step) for step in range(steps + 1)])  # in this order, to round as nnU-Net
    return [Box.of_part(start, window) for start in itertools.product(*starts)]


@lru_cache(maxsize=2)
def window_weights(window: Shape) -> np.ndarray:
    """Return the weight of each voxel of a window (K, J, I), float32: largest in the middle, nowhere 0."""
    weights = np.zeros(window)
    weights[tuple(count // 2 for count in window)] = 1
    weights = ndimage.gaussian_filter(weights, [count * SIGMA for count in window], mode="constant")
    half = (weights / (weights.max() / SCALE)).astype(np.float32).astype(np.float16)  # in two steps, as torch rounds
    half[half == 0] = half[half > 0].min()
    return np.asarray(half, np.float32)


def merged(
    windows: Sequence[Box], image: np.ndarray, logits_of: Callable[[np.ndarray], np.ndarray], dtype: DTypeLike
) -> np.ndarray:
    """Return the weighted mean of the logits of windows, shape (2, K, J, I).

    Args:
        windows: of one shape; they cover the image.
        image: shape (C, K, J, I).
        logits_of: what a network says of the part of an image, float32, shape (2, K', J', I').
        dtype: in which is summed; nnU-Net does so in half precision.
    """
    weights = window_weights(windows[0].shape)
    logits, total = np.zeros((2, *image.shape[1:]), dtype), np.zeros(image.shape[1:], dtype)
    for part in windows:
        slices = (slice(None), *part.slices)
        logits[slices] += logits_of(image[slices]) * weights
        total[part.slices] += weights
    logits /= total
    return logits


def mirrorings(axes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield every set of array axes (0 is K), the empty one first, along which an image can be mirrored."""
    for count in range(len(axes) + 1):
        yield from itertools.combinations(axes, count)
