"""The grey values that a view or a picture shows as black and as white."""

from __future__ import annotations

import numpy as np

from .volume import Volume

ENOUGH_VOXELS = 300_000
"""Of a larger volume only some voxels are looked at."""
SHOWN_PERCENTILES = (1.0, 99.7)
"""Between these percentiles of the voxels that are not zero lies the grey window of a new volume."""


def grey_window(volume: Volume) -> tuple[float, float]:
    """The grey values shown as black and as white: percentiles of the voxels that may be tissue."""
    step = max(1, round((volume.array.size / ENOUGH_VOXELS) ** (1 / 3)))
    values = volume.array[::step, ::step, ::step]
    values = values[~volume.background.covers(values)]  # what fills the outside is no grey value
    low, high = np.percentile(values, SHOWN_PERCENTILES) if values.size else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-6))
