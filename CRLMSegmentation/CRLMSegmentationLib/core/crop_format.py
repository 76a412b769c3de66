"""What a crop may be, for those who must know it without loading numpy: `info` and the options of the command line."""

from __future__ import annotations

CROP_SIZE_LIMITS_MM = (20.0, 400.0)
CHANNELS = ("ultrasound", "seed")
"""What a network can be shown, see `core.cropping.network_input`."""
