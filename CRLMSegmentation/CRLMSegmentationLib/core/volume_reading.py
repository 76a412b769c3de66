"""Reading of volume files as images to be segmented, or as labels of lesions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .background import empty_values
from .errors import VolumeError
from .volume import Volume, read_volume
from .volume_files import is_segmentation, read_segmentation, volume_stem

MAX_INTENSITY = 1e15
"""The network's normalisation squares and sums values in single precision, which ends at 3.4e38."""
MIN_STEPS = 16
"""Grey values that single precision must be able to tell apart between the darkest and the brightest voxel."""


def read_image(path: Path | str, root: Path | None = None) -> Volume:
    """Read a volume that is to be segmented.

    Args:
        root: see `core.volume.read_volume`.

    Raises:
        VolumeError: it cannot be read, is a segmentation, or has values that cannot be segmented.
        GeometryError: it cannot be placed.
    """
    check_is_no_segmentation(path, root)
    volume = read_volume(path, root)
    check_intensities(volume)
    return volume


def check_is_no_segmentation(path: Path | str, root: Path | None = None) -> None:
    """Raise an error where a file is a segmentation instead of an image.

    Raises:
        VolumeError: it is a segmentation; the message gives its numbers of segments and layers.
        VolumeError, GeometryError: it cannot be read.
    """
    if not is_segmentation(path, root):
        return
    stored = read_segmentation(path, root)
    raise VolumeError(
        f"{Path(path).name} is a segmentation of {len(stored.segments)} segments in {len(stored.layers)} layers, "
        "expected an ultrasound volume; give the volume in which it was made"
    )


def check_intensities(volume: Volume) -> None:
    """Raise an error for grey values without contrast, or beyond what the network can compute with.

    Raises:
        VolumeError: one value throughout, values that differ by less than single precision holds, or too large ones.
    """
    name, array = volume.device or "the volume", volume.array
    is_marked = bool(volume.background.values) or volume.missing is not None  # 0 is a grey value as well
    imaged = array[~empty_values(array, volume.background, volume.missing)] if is_marked else array
    darkest, brightest = (imaged.min(), imaged.max()) if imaged.size else (0.0, 0.0)
    low, high = float(darkest), float(brightest)
    largest = max(abs(low), abs(high))
    if darkest == brightest:
        raise VolumeError(f"all voxels of {name} have the value {low:g}, so there is nothing to see; export it again")
    if largest > MAX_INTENSITY:
        raise VolumeError(
            f"the voxels of {name} reach {largest:.1e}, more than {MAX_INTENSITY:.0e}, and would overflow single "
            "precision; rescale it to grey values"
        )
    if high - low < MIN_STEPS * largest * np.finfo(np.float32).eps:
        raise VolumeError(
            f"the voxels of {name} lie between {low:.17g} and {high:.17g}, which single precision cannot tell apart; "
            "subtract the smallest value"
        )


def read_labels(path: Path | str, root: Path | None = None) -> Volume:
    """Read labels, from a volume of numbers or from a segmentation.

    The labels of a segmentation with one layer are the values in it; of one with several, the numbers of its
    segments, beginning with 1.

    Args:
        root: see `core.volume.read_volume`.

    Raises:
        VolumeError: it cannot be read, or two segments of it overlap.
        GeometryError: it cannot be placed.
    """
    if not is_segmentation(path, root):
        return read_volume(path, root)
    stored = read_segmentation(path, root)
    if len(stored.layers) == 1:
        return Volume(stored.layers[0], stored.ijk_to_ras, device=volume_stem(path))
    labels = np.zeros(stored.layers.shape[1:], np.uint16)
    for number, segment in enumerate(stored.segments, 1):
        mask = stored.mask_of(segment)
        if labels[mask].any():
            other = stored.segments[int(labels[mask].max()) - 1].name
            raise VolumeError(
                f"{Path(path).name}: the segments {other!r} and {segment.name!r} overlap, so that voxels have two "
                "labels; make them exclusive, or export one file for each"
            )
        labels[mask] = number
    return Volume(labels, stored.ijk_to_ras, device=volume_stem(path))


def segment_names(path: Path | str, root: Path | None = None) -> dict[int, str]:
    """Return the names of segments by the labels that `read_labels` gives them; empty for other volumes.

    Segments that share a name are told apart by their label.

    Raises:
        VolumeError, GeometryError: it cannot be read.
    """
    if not is_segmentation(path, root):
        return {}
    stored = read_segmentation(path, root)
    is_layered = len(stored.layers) > 1
    labels = {(n if is_layered else s.label_value): s.name for n, s in enumerate(stored.segments, 1)}
    is_clear = len(set(labels.values())) == len(labels)
    return labels if is_clear else {label: f"{name} {label}" for label, name in labels.items()}
