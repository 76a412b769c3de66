"""The field of view of a volume: which voxels were insonified, and which only fill the space around or between them.

Most senders fill that space with 0. Others use -1024, the lowest number of their type, 255, NaN, or what lossy
compression makes of 0. Such a constant is recognised because it fills complete blocks at the border of the
volume. 0 always counts as empty there; any other value needs evidence, see `background_search`.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .arrays import BoolArray
from .background import BLOCK, Background, empty_values, extrema, outside_blocks, sampling_step
from .background_search import find_background
from .box import Box
from .errors import VolumeError

THIN_MARGIN = 2
"""Voxels around empty space that are empty too when they hold a constant which tissue holds as well."""
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
    step = sampling_step(array)
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


def contradiction(
    insonified: np.ndarray, array: np.ndarray, background: Background, missing: np.ndarray | None
) -> float:
    """Return the share of a mask that is empty space outside the field of view, 0 to 1; 0 below `CONFLICT_SHARE`."""
    step = sampling_step(array)
    some = (slice(None, None, step),) * 3
    empty = empty_values(array[some], background, None if missing is None else missing[some])
    if np.count_nonzero(empty & insonified[some]) <= CONFLICT_SHARE / 2 * np.count_nonzero(insonified[some]):
        return 0.0  # saves a pass through the whole volume
    outside = outside_blocks(empty_values(array, background, missing))
    wrong = np.count_nonzero(extrema(insonified)[0] & outside) * BLOCK**3
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
