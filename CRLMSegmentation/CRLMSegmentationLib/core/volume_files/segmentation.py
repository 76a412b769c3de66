"""Reading of segmentations that 3D Slicer has written (.seg.nrrd): label maps, and the names of their segments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import BoolArray
from ..errors import VolumeError
from .data import read_voxels
from .files import SEGMENTATION_SUFFIX, read_header
from .header import VolumeHeader, unreadable

SEGMENT_KEY = re.compile(r"Segment(\d{1,6})_(?:ID|Name|LabelValue)")
"""3D Slicer writes all three, other programs leave some out."""
MAX_SEGMENTS = 10_000


@dataclass(frozen=True)
class Segment:
    """A segment: the voxels with one label value in one layer."""

    name: str
    layer: int
    label_value: int


@dataclass(frozen=True, eq=False)
class StoredSegmentation:
    """The content of a segmentation file.

    Attributes:
        layers: label values, shape (L, K, J, I); segments of different layers may overlap.
        ijk_to_ras: 4x4, of each layer.
        segments: in their order.
    """

    layers: np.ndarray
    ijk_to_ras: np.ndarray
    segments: tuple[Segment, ...]

    def mask_of(self, segment: Segment) -> BoolArray:
        """Return the voxels of a segment, bool, shape (K, J, I)."""
        mask: BoolArray = self.layers[segment.layer] == segment.label_value
        return mask


def is_segmentation(path: Path | str, root: Path | None = None) -> bool:
    """Return whether a volume file is a segmentation, by its name or by the segments in its header.

    Raises:
        VolumeError, GeometryError: its header cannot be read.
    """
    if Path(path).name.lower().endswith(SEGMENTATION_SUFFIX):
        return True
    return bool(_numbers_in(read_header(path, root).pairs))


def read_segmentation(path: Path | str, root: Path | None = None) -> StoredSegmentation:
    """Read all layers of a segmentation; a label map without names is one layer whose values are the segments.

    Args:
        root: folder in which the files must lie that a detached header names; None for the header's own.

    Raises:
        VolumeError, GeometryError: it cannot be read, or is no segmentation.
    """
    header = read_header(path, root)
    if header.ijk_to_ras is None:
        raise VolumeError(f"{header.name}: expected layers of 3D, got {header.sizes}; export it again")
    layers = _layers_of(header)
    numbers = _numbers_in(header.pairs)
    segments = [_segment_of(header, number, len(numbers), len(layers)) for number in numbers]
    if not segments:
        segments = [Segment(f"{value}", 0, value) for value in _values_in(layers, header)]
    return StoredSegmentation(layers, header.ijk_to_ras, tuple(segments))


def _layers_of(header: VolumeHeader) -> np.ndarray:
    """Return the labels with shape (L, K, J, I), whichever axis of the file counts the layers."""
    dtype = header.dtype
    if dtype.kind not in "ui":
        raise unreadable(header.name, f"labels must be whole numbers, got {dtype}", "export it as a labelmap")
    array = read_voxels(header)
    kinds = header.kinds[::-1]
    space = [axis for axis, kind in enumerate(kinds) if kind == "space"][-3:]
    others = [axis for axis in range(len(kinds)) if axis not in space]
    layers: np.ndarray = array.transpose(*others, *space).reshape(-1, *(array.shape[axis] for axis in space))
    return layers


def _numbers_in(pairs: Mapping[str, str]) -> list[int]:
    numbers = sorted({int(match[1]) for match in map(SEGMENT_KEY.fullmatch, pairs) if match})
    return numbers[:MAX_SEGMENTS]


def _segment_of(header: VolumeHeader, number: int, count: int, layers: int) -> Segment:
    """Return a segment by its number; before Slicer 5 each had a layer of its own, with the label value 1."""
    pairs, prefix = header.pairs, f"Segment{number}_"
    layer = pairs.get(f"{prefix}Layer", str(number) if layers == count else "0")
    value = pairs.get(f"{prefix}LabelValue", "1")
    if not (layer.isdecimal() and value.isdecimal() and len(layer) < 7 and len(value) < 10) or int(layer) >= layers:
        raise unreadable(
            header.name, f"segment {number} shall be the value {value!r} of layer {layer!r}; it has {layers} layers"
        )
    name = pairs.get(f"{prefix}Name") or pairs.get(f"{prefix}ID") or f"Segment {number}"
    return Segment(name, int(layer), int(value))


def _values_in(layers: np.ndarray, header: VolumeHeader) -> list[int]:
    if len(layers) > 1:
        raise unreadable(header.name, f"it has several layers ({len(layers)}), but names no segment")
    values = [int(value) for value in np.unique(layers) if value > 0]
    if len(values) > MAX_SEGMENTS:
        raise unreadable(header.name, f"it holds {len(values)} labels, at most {MAX_SEGMENTS} are read")
    return values
