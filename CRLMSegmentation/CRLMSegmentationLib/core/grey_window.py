"""The grey window of a volume: the values that a view or a figure shows as black and as white."""

from __future__ import annotations

import numpy as np

from .volume import Volume

ENOUGH_VOXELS = 300_000
"""Of a larger volume only a sample of the voxels is used."""
SHOWN_PERCENTILES = (1.0, 99.7)
"""Percentiles of the voxels that may be tissue, which become black and white."""


def grey_window(volume: Volume) -> tuple[float, float]:
    """Return the grey values to be shown as black and as white, percentiles of the voxels that may be tissue."""
    step = max(1, round((volume.array.size / ENOUGH_VOXELS) ** (1 / 3)))
    values = volume.array[::step, ::step, ::step]
    values = values[~volume.background.covers(values)]  # what fills the outside is no grey value
    low, high = np.percentile(values, SHOWN_PERCENTILES) if values.size else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-6))
