"""Splits the labels of a ground truth into connected components, each of which is a lesion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from ..core.errors import CaseError
from ..core.volume import Volume

TOUCHING = ndimage.generate_binary_structure(3, 3)
BRIDGED_VOXELS, BRIDGED_MM = 2, 2.0
"""Parts with at most so many empty voxels, and so many mm, between them along an axis are one, such as where slices
were not outlined. Without the bound in mm, two lesions 10 mm apart would be one in slices of 5 mm."""
SPECK_ML = 0.01
"""A part this small beside a larger one, as of 2.7 mm, is a slip of the pen; it is told and left out."""
MOST_LESIONS = 200
KEEP_TOGETHER = "--keep-labels-together"


@dataclass(frozen=True, eq=False)
class SplitLabels:
    """A ground truth with a number of its own for each connected component.

    Attributes:
        labels: numbers as voxel values; the largest part of a label keeps its number, further ones have new numbers.
        parts: for each label of the ground truth the numbers of its parts, the largest first.
        warnings: what was done with which label, in plain words.
    """

    labels: Volume
    parts: dict[int, tuple[int, ...]]
    warnings: tuple[str, ...]


def split_labels(labels: Volume, keep_together: bool = False) -> SplitLabels:
    """Number the connected components of each label.

    Args:
        labels: whole numbers, 0 for background.
        keep_together: each label is one lesion, wherever its parts lie.

    Raises:
        CaseError: fractions, negative numbers, or so many lesions that it cannot be a truth.
    """
    array, numbers = numbers_of(labels)
    if keep_together:
        return SplitLabels(replace(labels, array=array), {n: (n,) for n in numbers}, ())
    split, warnings, parts = array.copy(), [], {}
    voxel_ml = abs(np.linalg.det(labels.ijk_to_ras[:3, :3])) / 1000
    free = max(numbers, default=0) + 1
    boxes = ndimage.find_objects(array)
    for number in numbers:
        box = boxes[number - 1]
        mask = array[box] == number
        names, sizes = _parts_of(mask, labels.spacing_mm[::-1])
        large = [name for name, size in sizes if size * voxel_ml >= SPECK_ML or name == sizes[0][0]]
        parts[number] = (number, *range(free, free + len(large) - 1))
        free += len(large) - 1
        renumbered = np.zeros(len(sizes) + 1, array.dtype)
        renumbered[large] = parts[number]
        split[box][names > 0] = renumbered[names[names > 0]]
        warnings += _warnings_on_bridges(number, ndimage.label(mask, TOUCHING)[1], len(sizes))
        warnings += _warnings_on(number, [size * voxel_ml for _, size in sizes], len(large))
    _check_count(sum(map(len, parts.values())), "parts that lie apart")
    return SplitLabels(replace(labels, array=split), parts, tuple(warnings))


def numbers_of(labels: Volume) -> tuple[np.ndarray, list[int]]:
    """Return the voxels of a ground truth as int32, shape (K, J, I), and the labels from 1 on that occur, ascending.

    Raises: see `split_labels`.
    """
    array = _whole_numbers(labels)
    numbers = [int(n) for n in np.unique(array) if n]
    _check_count(len(numbers), "different numbers")
    return array, numbers


def _whole_numbers(labels: Volume) -> np.ndarray:
    array = labels.array
    if labels.missing is not None:
        count = int(np.count_nonzero(labels.missing))
        raise CaseError(f"its truth holds no number (NaN or infinity) in {count} voxels; write 0 where no lesion is")
    if not np.array_equal(array, np.round(array)):
        raise CaseError("its truth holds fractions; expected whole numbers, one for each lesion")
    if array.min() < 0:
        raise CaseError(f"its truth holds the number {array.min():g}; lesions are numbered from 1 on, background is 0")
    if array.max() > np.iinfo(np.uint16).max:
        raise CaseError(f"its truth holds the number {array.max():g}; number lesions from 1 on")
    return array.astype(np.int32)


def _check_count(count: int, what: str) -> None:
    if count > MOST_LESIONS:
        raise CaseError(f"its truth holds {count} {what}, more than {MOST_LESIONS}; is it the volume, or noise?")


def _parts_of(mask: np.ndarray, spacing_kji_mm: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Number the components of a mask; return also (number, voxels) of each, the largest first."""
    wide = ndimage.binary_dilation(np.pad(mask, 1), _bridging(spacing_kji_mm))
    names, count = ndimage.label(wide, TOUCHING)
    names = np.where(mask, names[1:-1, 1:-1, 1:-1], 0)
    sizes = np.bincount(names.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    return names, [(int(n) + 1, int(sizes[n])) for n in order]


def _bridging(spacing_kji_mm: np.ndarray) -> np.ndarray:
    """What a voxel is widened to, bool, shape (3, 3, 3): to both sides along an axis where two empty voxels are
    bridged, to one side where one is, to none where a single one is too long.
    """
    element = np.ones((3, 3, 3), bool)
    for axis, spacing_mm in enumerate(spacing_kji_mm):
        bridged = min(BRIDGED_VOXELS, int(BRIDGED_MM / spacing_mm + 1e-3))
        along = np.moveaxis(element, axis, 0)
        along[0] &= bridged >= 1
        along[2] &= bridged >= 2
    return element


def _warnings_on_bridges(number: int, drawn: int, taken: int) -> list[str]:
    if drawn == taken:
        return []
    return [
        f"the label {number} is drawn in {drawn} pieces; those with at most {BRIDGED_VOXELS} voxels and "
        f"{BRIDGED_MM:g} mm between them are taken as one, which leaves {taken}"
    ]


def _warnings_on(number: int, sizes_ml: list[float], large: int) -> list[str]:
    warnings = []
    if large > 1:
        sizes = ", ".join(f"{ml:.2g}" for ml in sizes_ml[:large])
        warnings.append(
            f"the label {number} holds {large} parts that lie apart ({sizes} ml): each is a lesion of its own; "
            f"{KEEP_TOGETHER} makes them one"
        )
    specks = sizes_ml[large:]
    if specks:
        warnings.append(
            f"the label {number} holds {len(specks)} specks of less than {SPECK_ML:g} ml apart from the rest, "
            f"{sum(specks):.2g} ml in all: left out of the ground truth; {KEEP_TOGETHER} keeps them"
        )
    return warnings
