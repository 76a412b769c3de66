"""Corrective clicks of a training patch: what a user would see and do, drawn after all augmentation.

A sample is shown as a first click leaves it, or after one to three corrections. Each correction is made as at
inference: a segmentation, a click into its largest error, and that segmentation as the channel `previous`. The
segmentation is the network's own, as in the trainings of RITM and DeepEdit, or the ground truth deformed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from ...core.crop import point_map
from ...core.crop_format import CLICK_CHANNELS
from ..evaluation.simulated_user import correcting_click, misplaced

INCLUDE, EXCLUDE, PREVIOUS = (CLICK_CHANNELS.index(name) for name in ("include", "exclude", "previous"))
NETWORK, DEFORMED = "network", "deformed"
"""Whose errors are clicked at: see `presets.Preset.clicks`."""
FIRST_CLICK_SHARE = 0.5
"""Of the samples, which are shown the seed alone."""
MOST_CORRECTIONS = 3
NOTHING_FOUND_SHARE = 0.05
"""Of the deformed ground truths, which are empty."""
NEAR = float(np.exp(-0.5))
"""A map of points is above this within a sigma of a point; a deformed ground truth is right there."""
OFFSET_MM, SHIFT_MM, LOBES_MM = 1.5, 1.5, 2.5
"""Standard deviations: of the distance by which a deformed truth is grown or shrunk, of its shift along each axis, and
of the smooth noise that cuts lobes off and adds some."""
LOBE_SIGMAS_MM = (3.0, 8.0)
"""Range of the sizes of lobes."""

Segment = Callable[[np.ndarray, Sequence[int]], np.ndarray]
"""From patches (N, C, K, J, I) and the numbers of their samples to their segmentations, bool, (N, K, J, I)."""


def correct_by_clicks(
    patches: np.ndarray,
    truths: np.ndarray,
    spacing_mm: float,
    generators: Sequence[np.random.Generator],
    segment: Segment,
) -> None:
    """Bring the patches of a batch into a state of correction, in place.

    Args:
        patches: float32, shape (N, C, K, J, I), C the `CLICK_CHANNELS`; include holds the map of the seed.
        truths: bool, shape (N, K, J, I), after the same augmentation.
        spacing_mm: edge of a voxel.
        generators: one for each sample, of all that is drawn for it.
    """
    patches[:, [EXCLUDE, PREVIOUS]] = 0
    counts = [_corrections(rng) for rng in generators]
    for number in range(max(counts)):
        wanted = [sample for sample, count in enumerate(counts) if count > number]
        masks = segment(patches[wanted], wanted)
        for sample, mask in zip(wanted, masks):
            _correct(patches[sample], truths[sample], mask, spacing_mm, generators[sample])


def _corrections(rng: np.random.Generator) -> int:
    return 0 if rng.random() < FIRST_CLICK_SHARE else int(rng.integers(1, MOST_CORRECTIONS + 1))


def _correct(
    patch: np.ndarray, truth: np.ndarray, mask: np.ndarray, spacing_mm: float, rng: np.random.Generator
) -> None:
    """Add the click that corrects a mask to a patch, and the mask itself; a mask without error needs none."""
    spacing_kji_mm = np.full(3, spacing_mm)
    shown = _at_clicks(mask, patch)
    click = correcting_click(truth, shown, spacing_kji_mm)
    if click is None:
        return
    kind, place_kji = click
    channel = patch[CLICK_CHANNELS.index(kind.value)]
    clicked = point_map(mask.shape, misplaced(place_kji, spacing_kji_mm, rng)[None], spacing_mm)
    np.maximum(channel, clicked, out=channel)
    patch[PREVIOUS] = shown


def _at_clicks(mask: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """Return the parts of a mask at the seed and at include points, their holes closed, as postprocessing does.

    A patch that holds none of them is of a part of the lesion; there all parts are left.
    """
    near, at_clicks = patch[INCLUDE] > NEAR, mask
    if near.any():
        labels, _ = ndimage.label(mask)
        reached = np.unique(labels[near])
        at_clicks = np.isin(labels, reached[reached > 0])
    solid: np.ndarray = ndimage.binary_fill_holes(at_clicks)
    return solid


def deformed_truths(truths: np.ndarray, spacing_mm: float, generators: Sequence[np.random.Generator]) -> Segment:
    """Return a `Segment` that deforms the ground truth of each sample, and obeys the clicks before."""

    def segment(patches: np.ndarray, samples: Sequence[int]) -> np.ndarray:
        return np.stack(
            [
                _obeying(deformed(truths[sample], spacing_mm, generators[sample]), truths[sample], patch)
                for sample, patch in zip(samples, patches)
            ]
        )

    return segment


def _obeying(mask: np.ndarray, truth: np.ndarray, patch: np.ndarray) -> np.ndarray:
    return np.where(np.maximum(patch[INCLUDE], patch[EXCLUDE]) > NEAR, truth, mask)


def deformed(truth: np.ndarray, spacing_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Return a ground truth with errors as of a network: grown or shrunk, shifted, with lobes cut off and added.

    Args:
        truth: bool, shape (K, J, I); the same is returned where it is empty.
    """
    if not truth.any() or rng.random() < NOTHING_FOUND_SHARE:
        return np.zeros_like(truth)
    inside, outside = (ndimage.distance_transform_edt(part, sampling=spacing_mm) for part in (truth, ~truth))
    signed_mm = ndimage.shift(outside - inside, rng.normal(0, SHIFT_MM, 3) / spacing_mm, order=1, mode="nearest")
    lobes = ndimage.gaussian_filter(rng.standard_normal(truth.shape), rng.uniform(*LOBE_SIGMAS_MM) / spacing_mm)
    lobes *= abs(rng.normal(0, LOBES_MM)) / lobes.std()
    changed: np.ndarray = signed_mm + lobes + rng.normal(0, OFFSET_MM) < 0
    return changed
