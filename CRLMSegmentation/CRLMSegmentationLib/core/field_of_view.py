"""The field of view of a volume: which voxels were insonified, and which only fill the space around or between them.

Most senders fill that space with 0. Others use -1024, the lowest number of their type, 255, NaN, or what lossy
compression makes of 0. Such a constant is recognised because it fills complete blocks at the border of the
volume. 0 always counts as empty there; any other value needs evidence, see `find_background`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .arrays import BoolArray
from .box import Box
from .errors import VolumeError

BLOCK = 3
"""Edge, in voxels, of the blocks in which connected empty space is searched for through a whole volume."""
MARGIN = 3
"""Voxels around a box on which the answer for the box depends."""
WIDE_MARGIN = 6
"""The same where a constant other than 0 fills the outside, so that more depends on the surroundings."""
THIN_MARGIN = 2
"""Voxels around empty space that are empty too when they hold a constant which tissue holds as well."""
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
ENOUGH_VOXELS = 40_000
LEAST_TISSUE_SHARE = 0.02
"""Share of all voxels that must be tissue."""
MOST_CONSTANTS = 4
CONFLICT_SHARE = 0.1
"""Share of a mask's voxels: when more of them are empty in the volume, mask and volume contradict each other."""
LARGEST = float(np.finfo(np.float32).max)

NOT_RECOGNISED = (
    "what was not imaged could not be recognised: no constant value fills the outside, so every voxel counts as "
    "imaged; check that the tumour lies where the probe has been"
)
CONFLICT = (
    "the mask of what was imaged disagrees with the volume: {percent:.0f} % of what it calls imaged is empty outside; "
    "that counts as not imaged"
)


@dataclass(frozen=True)
class Background:
    """The constants that mark voxels which were not insonified, in addition to 0 and NaN.

    Attributes:
        values: constants that fill the space around the field of view.
        tolerance: how far a voxel may be from one of them, after lossy compression.
        low, high: limits of the grey values of tissue, where a constant lies beyond them; any voxel beyond them is the
            constant, or was interpolated between it and tissue.
        is_in_tissue: a constant is as bright as the brightest tissue, such as 255; thin, isolated ones are tissue then.
    """

    values: tuple[float, ...] = ()
    tolerance: float = 0.0
    low: float | None = None
    high: float | None = None
    is_in_tissue: bool = False

    @property
    def margin(self) -> int:
        """Voxels around a box on which the answer for the box depends."""
        return WIDE_MARGIN if self.values else MARGIN

    def covers(self, array: np.ndarray) -> BoolArray:
        """Return which voxels have a value that may mean empty; bool, shape of the array."""
        return _holds(array, self.values, self.tolerance) | self.covers_when_thin(array)

    def covers_when_thin(self, array: np.ndarray) -> BoolArray:
        """Return which of them are empty even in thin, isolated layers such as gaps between frames; bool."""
        empty: BoolArray = array == 0
        if not self.values:
            return empty
        if not self.is_in_tissue:
            empty |= _holds(array, self.values, self.tolerance)
        return empty | self.is_beyond_tissue(array)

    def is_beyond_tissue(self, array: np.ndarray) -> BoolArray:
        """Return which voxels are empty wherever they lie; bool, shape of the array."""
        beyond = np.zeros(array.shape, bool)
        if self.low is not None:
            beyond |= array < self.low
        if self.high is not None:
            beyond |= array > self.high
        return beyond


ZERO = Background()


def without_missing(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Replace voxels without a finite number by a small value, and return which they were.

    NaN says that there is no number. Infinity, or a number beyond single precision, says the same where it is one
    constant that reaches the border of the volume; anywhere else it is an overflow.

    Args:
        array: shape (K, J, I).

    Returns:
        The voxels, and a boolean array of the same shape, None where all hold a number.

    Raises:
        VolumeError: no voxel holds a number, or some have overflown.
    """
    if array.dtype.kind != "f":
        return array, None
    missing = ~np.isfinite(array)
    if array.dtype.itemsize > 4:
        missing |= np.abs(array) > LARGEST
    if not missing.any():
        return array, None
    if missing.all() and not np.isfinite(array).any():
        raise VolumeError("no voxel holds a finite number, all are NaN or infinite; export the volume again")
    _check_overflow(array, missing)
    known = array[~missing]
    filled = array.copy()
    filled[missing] = min(0, known.min())
    return filled, missing


def _check_overflow(array: np.ndarray, missing: np.ndarray) -> None:
    overflown = missing & ~np.isnan(array)
    values = array[overflown]
    if not values.size or ((values == values[0]).all() and _reaches_border(overflown) and not missing.all()):
        return
    finite = values[np.isfinite(values)]
    if finite.size:
        raise VolumeError(
            f"voxels reach {np.abs(finite).max():.1e}, beyond the range of single precision; rescale the volume first"
        )
    raise VolumeError(f"{values.size} voxels are infinite; repair the volume first")


def _reaches_border(mask: np.ndarray) -> bool:
    return any(np.take(mask, end, axis).any() for axis in range(mask.ndim) for end in (0, -1))


def is_uniform(array: np.ndarray) -> bool:
    """Return whether all voxels hold the same value; a sample is tried first, since it mostly shows a difference."""
    first = array.flat[0]
    step = max(1, round((array.size / ENOUGH_VOXELS) ** (1 / 3)))
    return bool((array[::step, ::step, ::step] == first).all() and (array == first).all())


def infer_field_of_view(
    array: np.ndarray,
    box: Box | None = None,
    outside: np.ndarray | None = None,
    background: Background | None = None,
    missing: np.ndarray | None = None,
) -> BoolArray:
    """Infer which voxels were insonified, for volumes that arrive without an accumulation buffer.

    An empty value alone does not mean empty: a vessel's lumen is black as well. Empty is what holds an empty value
    and is either connected to the border of the volume through passages of more than two voxels (never insonified),
    or is at most two voxels thick (a gap between frames). What holds no number is empty in any case.

    Args:
        array: shape (K, J, I).
        box: the part to be inferred, None for all; only this part and its margin are processed, since a large volume
            would take seconds.
        outside: `outside_blocks` of the array, where it has been computed already.
        background: `find_background` of the array, where it has been computed already.
        missing: bool, shape of the array: voxels without a number; None where all have one.

    Returns:
        Boolean array, shape of the box, False where a voxel is empty.
    """
    background = find_background(array, missing) if background is None else background
    outside = outside_blocks(empty_values(array, background, missing)) if outside is None else outside
    asked = Box.of_shape(array.shape) if box is None else box
    margin = background.margin
    near = asked.padded(margin, array.shape)
    part, gone = array[near.slices], None if missing is None else missing[near.slices]
    zero = empty_values(part, background, gone)
    ends = zip(near.start_kji, near.stop_kji, array.shape)
    beyond = [(margin * (start == 0), margin * (stop == count)) for start, stop, count in ends]
    thick = ndimage.binary_opening(np.pad(zero, beyond, constant_values=True), ndimage.generate_binary_structure(3, 1))
    labels: np.ndarray = ndimage.label(thick)[0]
    reached = outside[np.ix_(*[np.arange(part.start, part.stop) // BLOCK for part in near.slices])]
    empty: BoolArray = np.isin(labels, np.unique(labels[np.pad(reached, beyond, constant_values=True) & thick]))
    inner = Box.of_part([low for low, _ in beyond], near.shape).slices
    thin = ~thick[inner]
    if background.values:
        beside = ndimage.binary_dilation(empty, ndimage.generate_binary_structure(3, 3), THIN_MARGIN)[inner]
        thin &= beside | background.covers_when_thin(part)
    empty = (empty[inner] | thin) & zero
    if background.values:
        empty |= background.is_beyond_tissue(part)
    if gone is not None:
        empty |= gone
    if background.tolerance:
        empty |= _specks(~empty) & beside
    return ~empty[asked.relative_to(near).slices]


def _specks(insonified: BoolArray) -> BoolArray:
    """Return the parts that are at most two voxels thick; beside empty space they are compression noise, not tissue."""
    solid = ndimage.binary_opening(insonified, ndimage.generate_binary_structure(3, 1))
    thick: BoolArray = ndimage.binary_dilation(solid, ndimage.generate_binary_structure(3, 3))
    return insonified & ~thick


def empty_values(array: np.ndarray, background: Background, missing: np.ndarray | None) -> BoolArray:
    """Return which voxels have a value that may mean empty, or no number; bool, shape of the array."""
    empty: BoolArray = background.covers(array) if background.values else array == 0
    return empty if missing is None else empty | missing


def outside_blocks(zero: np.ndarray) -> BoolArray:
    """Return which blocks, `BLOCK` voxels a side, are completely empty and connected to the border of the volume.

    Args:
        zero: bool, shape (K, J, I).

    Returns:
        Boolean array with one entry per block, the last ones cut by the end of the volume.
    """
    zero = np.pad(zero, [(0, -count % BLOCK) for count in zero.shape], constant_values=True)
    zero = zero[0::3] & zero[1::3] & zero[2::3]
    zero = zero[:, 0::3] & zero[:, 1::3] & zero[:, 2::3]
    zero = zero[:, :, 0::3] & zero[:, :, 1::3] & zero[:, :, 2::3]
    labels: np.ndarray = ndimage.label(np.pad(zero, 1, constant_values=True))[0]
    outside: BoolArray = labels == labels[0, 0, 0]
    return outside[1:-1, 1:-1, 1:-1]


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


def _holds(array: np.ndarray, values: Iterable[float], tolerance: float) -> BoolArray:
    found = np.zeros(array.shape, bool)
    for value in values:
        found |= array == value if not tolerance else (array >= value - tolerance) & (array <= value + tolerance)
    return found


def _extrema(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and the largest value of each block."""
    low = high = array
    for axis, count in enumerate(array.shape):
        starts = np.arange(0, count, BLOCK)
        low, high = np.minimum.reduceat(low, starts, axis), np.maximum.reduceat(high, starts, axis)
    return low, high


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
            low, high = _extrema(array[slab])
            corner = np.zeros(low.shape, bool)
            corner[np.ix_(*[[0, -1]] * 3)] = True
            kept = np.ones(low.shape, bool) if missing is None else ~_extrema(missing[slab])[1]
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
    step = max(1, round((array.size / ENOUGH_VOXELS) ** (1 / 3)))
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
    low, high = _extrema(array)
    whole = None if missing is None else _extrema(missing)
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
    filled = _holds(array, values, 0.0)
    deep: BoolArray = ~ndimage.binary_dilation(_extrema(filled)[0], ndimage.generate_binary_structure(3, 3), 2)
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


def contradiction(
    insonified: np.ndarray, array: np.ndarray, background: Background, missing: np.ndarray | None
) -> float:
    """Return the share of a mask that is empty space outside the field of view, 0 to 1; 0 below `CONFLICT_SHARE`."""
    step = max(1, round((array.size / ENOUGH_VOXELS) ** (1 / 3)))
    some = (slice(None, None, step),) * 3
    empty = empty_values(array[some], background, None if missing is None else missing[some])
    if np.count_nonzero(empty & insonified[some]) <= CONFLICT_SHARE / 2 * np.count_nonzero(insonified[some]):
        return 0.0  # saves a pass through the whole volume
    outside = outside_blocks(empty_values(array, background, missing))
    wrong = np.count_nonzero(_extrema(insonified)[0] & outside) * BLOCK**3
    share = float(wrong / max(1, np.count_nonzero(insonified)))
    return share if share > CONFLICT_SHARE else 0.0


def warnings_about(
    background: Background, missing: np.ndarray | None, is_recognised: bool, contradicted_share: float
) -> tuple[str, ...]:
    """Return warnings about how the field of view of a volume was found; none where 0 fills the outside.

    Args:
        is_recognised: the source gives the field of view, or a constant fills the outside.
        contradicted_share: see `contradiction`.
    """
    warnings = []
    if background.values:
        about = "about " if background.tolerance else ""
        values = " and ".join(f"{value:g}" for value in background.values)
        tissue = "; the brightest tissue has this value too, and stays" if background.is_in_tissue else ""
        warnings.append(f"voxels of {about}{values} fill the outside and count as not imaged{tissue}")
    if missing is not None:
        warnings.append(f"{_percent(missing)} % of the voxels hold no number (NaN) and count as not imaged")
    if contradicted_share:
        warnings.append(CONFLICT.format(percent=100 * contradicted_share))
    if not is_recognised:
        warnings.append(NOT_RECOGNISED)
    return tuple(warnings)


def _percent(mask: np.ndarray) -> str:
    return f"{100 * np.count_nonzero(mask) / mask.size:.2g}"
