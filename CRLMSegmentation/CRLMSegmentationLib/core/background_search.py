"""Recognition of the constants other than 0 that fill the outside of a volume: each needs evidence."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .arrays import BoolArray
from .background import BLOCK, ZERO, Background, empty_values, extrema, holds, outside_blocks, sampling_step

SURE_SHARE, LIKELY_SHARE, POSSIBLE_SHARE = 0.05, 0.01, 0.005
"""Shares of the border blocks that a constant must fill: any, one at a corner, one far from all grey values."""
LEAST_GREY_VALUES = 8
"""With fewer grey values beside a constant, the volume is no image of tissue, and no constant is recognised."""
LOSSY_SHARE = 0.025
"""Share of the range of grey values by which lossy compression may change a constant."""
SATURATED_SHARE = 0.02
"""Share of that range: a constant this close above the brightest tissue may be the value at which tissue saturates."""
SATURATED_FACTOR = 5
"""Saturated voxels may outnumber the bright ones by this factor; when more hold the constant, they are gaps."""
INTERPOLATED_SHARE = 0.002
"""Share of the other voxels: when more of them lie between tissue and a constant, they were interpolated."""
USUAL_RANGE = 3.0
"""Nearly all grey values of tissue lie within this many interquartile ranges of the quartiles."""
DOMINANT_SHARE = 0.2
"""Share of the voxels that are not 0: no grey value of tissue occurs so often."""
LEAST_TISSUE_SHARE = 0.02
"""Share of all voxels that must be tissue."""
MOST_CONSTANTS = 4


def find_background(array: np.ndarray, missing: np.ndarray | None = None) -> Background:
    """Recognise the constants other than 0 that fill the outside of a volume.

    A constant fills blocks of `BLOCK` voxels a side at the border: many of them, some and a corner of the volume, or
    a few where it is far from all grey values. Speckle fills no block with one value. Where what is left of the
    volume is no image of tissue, having fewer than `LEAST_GREY_VALUES` values, nothing is recognised.

    Args:
        array: shape (K, J, I).
        missing: bool, same shape: voxels without a number; None where all have one.
    """
    low, high, at_corner = _border_blocks(array, missing)
    constants = _constants_among(low, high)
    sample = _sampled(array, missing)
    is_within = _dominant(sample) is not None
    if not constants and missing is None and not is_within and not _is_lossy(low, high, array):
        return ZERO
    grey = sample[~np.isin(sample, [value for value, count in constants if count >= POSSIBLE_SHARE * low.size])]
    if not _shows_tissue(grey, sample.size):
        return ZERO
    corners = {value for value, _ in _constants_among(low[at_corner], high[at_corner])}
    values = [v for v, count in constants if _is_evident(v, count / low.size, v in corners, grey)]
    if not values and missing is None and not is_within:
        return _lossy_background(low, high, at_corner, array)
    values = _with_inner_constants(values, array, missing)
    return _background_of(values, array, missing) if values else ZERO


def _border_blocks(array: np.ndarray, missing: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, BoolArray]:
    """Return the smallest and largest value of each border block, and whether it is at a corner; all of shape (N,).

    Blocks at an edge of the volume count for both faces. Blocks with voxels that hold no number are left out.
    """
    lows: list[np.ndarray] = []
    highs: list[np.ndarray] = []
    corners: list[BoolArray] = []
    for axis, count in enumerate(array.shape):
        for face in (slice(0, BLOCK), slice((count - 1) // BLOCK * BLOCK, None)):
            slab = (slice(None),) * axis + (face,)
            low, high = extrema(array[slab])
            corner = np.zeros(low.shape, bool)
            corner[np.ix_(*[[0, -1]] * 3)] = True
            kept = np.ones(low.shape, bool) if missing is None else ~extrema(missing[slab])[1]
            lows.append(low[kept])
            highs.append(high[kept])
            corners.append(corner[kept])
    return np.concatenate(lows), np.concatenate(highs), np.concatenate(corners)


def _constants_among(low: np.ndarray, high: np.ndarray) -> list[tuple[float, int]]:
    """Return values other than 0 that fill complete blocks, and the number of blocks, most frequent first."""
    values, counts = np.unique(low[(low == high) & (low != 0)], return_counts=True)
    order = np.argsort(counts, kind="stable")[::-1][:MOST_CONSTANTS]
    return [(values[n].item(), int(counts[n])) for n in order]


def _sampled(array: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
    """Return a regular sample of the voxels that hold a number, shape (N,)."""
    step = sampling_step(array)
    some = array[::step, ::step, ::step]
    return some.ravel() if missing is None else some[~missing[::step, ::step, ::step]]


def _dominant(sample: np.ndarray) -> float | None:
    """Return the value other than 0 that occurs so often that it must be a constant, or None."""
    values, counts = np.unique(sample[sample != 0], return_counts=True)
    if not counts.size or counts.max() < DOMINANT_SHARE * counts.sum():
        return None
    value: float = values[counts.argmax()].item()
    return value


def _shows_tissue(grey: np.ndarray, count: int) -> bool:
    """Return whether the voxels that hold no constant vary as an image of tissue does.

    Args:
        grey: some of those voxels, shape (N,).
        count: size of the sample that they are part of.
    """
    within = _dominant(grey)
    textured = grey[(grey != 0) & (grey != within)] if within is not None else grey[grey != 0]
    is_enough = bool(textured.size >= LEAST_TISSUE_SHARE * count and np.unique(textured).size >= LEAST_GREY_VALUES)
    return is_enough and (within is None or _dominant(textured) is None)


def _is_evident(value: float, share: float, is_at_corner: bool, grey: np.ndarray) -> bool:
    if share >= SURE_SHARE or (is_at_corner and share >= LIKELY_SHARE):
        return True
    low, high = float(grey.min()), float(grey.max())
    return share >= POSSIBLE_SHARE and not low - (high - low) <= value <= high + (high - low)


def _lossy_tolerance(array: np.ndarray) -> float:
    low, high = np.percentile(_sampled(array, None), (0.5, 99.5)).tolist()
    tolerance: float = LOSSY_SHARE * (high - low)
    return tolerance


def _is_lossy(low: np.ndarray, high: np.ndarray, array: np.ndarray) -> bool:
    """Return whether more border blocks are nearly constant than exactly constant, as after lossy compression."""
    constant = np.count_nonzero(low == high)
    if constant > low.size / 2:
        return False
    width = high.astype(np.float64) - low
    return bool(np.count_nonzero((width > 0) & (width <= _lossy_tolerance(array))) > constant)


def _lossy_background(low: np.ndarray, high: np.ndarray, at_corner: np.ndarray, array: np.ndarray) -> Background:
    """Return a constant blurred by lossy compression; `ZERO` where flat blocks differ in level, as in a ramp."""
    if not _is_lossy(low, high, array):
        return ZERO
    middle = (low.astype(np.float64) + high) / 2
    flat = high.astype(np.float64) - low <= _lossy_tolerance(array)
    level = float(np.median(middle[flat]))
    alike = flat & (np.abs(middle - level) <= _lossy_tolerance(array))
    if np.count_nonzero(alike) < 0.8 * np.count_nonzero(flat):
        return ZERO
    share = np.count_nonzero(alike) / low.size
    if share < SURE_SHARE and not (share >= LIKELY_SHARE and (alike & at_corner).any()):
        return ZERO
    tolerance = max(float(high[alike].max()) - level, level - float(low[alike].min()))
    return Background((level,), tolerance)


def _with_inner_constants(values: list[float], array: np.ndarray, missing: np.ndarray | None) -> list[float]:
    """Return the constants and those that fill space inside them, as in a volume that was resampled twice."""
    low, high = extrema(array)
    whole = None if missing is None else extrema(missing)
    for _ in range(MOST_CONSTANTS):
        outside = outside_blocks(empty_values(array, Background(tuple(values)), missing))
        near = ndimage.binary_dilation(outside, ndimage.generate_binary_structure(3, 1), 3) & ~outside
        near = near if whole is None else near & ~whole[1]
        found = [
            value
            for value, count in _constants_among(low[near], high[near])
            if value not in values and count >= SURE_SHARE * np.count_nonzero(near)
        ]
        if not found:
            break
        values = [*values, found[0]]
    return values


def _background_of(values: list[float], array: np.ndarray, missing: np.ndarray | None) -> Background:
    """Return the constants with the range of the tissue, which is measured two blocks away from them."""
    filled = holds(array, values, 0.0)
    deep: BoolArray = ~ndimage.binary_dilation(extrema(filled)[0], ndimage.generate_binary_structure(3, 3), 2)
    for axis, count in enumerate(array.shape):
        deep = np.repeat(deep, BLOCK, axis).take(range(count), axis)
    filled |= empty_values(array, ZERO, missing)
    tissue = array[deep & ~filled]
    if tissue.size < LEAST_GREY_VALUES:
        return Background(tuple(values))
    low, high = float(tissue.min()), float(tissue.max())
    close = SATURATED_SHARE * (high - low)
    top = max(values)
    others = array[~filled]
    quarter, three_quarters = np.percentile(tissue, (25, 75)).tolist()
    distance = USUAL_RANGE * (three_quarters - quarter)
    return Background(
        tuple(values),
        low=_limit(others, min(values), max(low, quarter - distance), distance) if min(values) < low else None,
        high=_limit(others, top, min(high, three_quarters + distance), distance) if top > high else None,
        is_in_tissue=bool(high < top <= high + close) and _is_saturated(tissue, array[deep & filled], top, close),
    )


def _limit(others: np.ndarray, value: float, end: float, distance: float) -> float | None:
    """Return the limit between the grey values of tissue and a constant beyond their end; None where there is none.

    Args:
        others: voxels that hold no constant, shape (N,).
        distance: between a constant and the end of tissue's grey values, beyond which the constant is separate.
    """
    if abs(value - end) <= distance:
        return None
    middle = (value + end) / 2
    low, high = sorted((value, middle))
    is_interpolated = np.count_nonzero((others > low) & (others < high)) > INTERPOLATED_SHARE * others.size
    return end if is_interpolated else middle


def _is_saturated(tissue: np.ndarray, constants: np.ndarray, top: float, close: float) -> bool:
    """Return whether so many grey values lie close below a constant that it may be saturated tissue."""
    bright = np.count_nonzero(tissue >= top - max(close, 1))
    return bool(np.count_nonzero(constants == top) <= SATURATED_FACTOR * bright)
