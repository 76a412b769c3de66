"""What a network may be shown, for those who must know it without numpy: `info`, the options of the command line."""

from __future__ import annotations

CROP_SIZE_LIMITS_MM = (20.0, 400.0)
CHANNELS = ("ultrasound", "seed")
"""What a network can be shown, see `core.crop.network_input`."""
REGIONS = ("crop", "volume")
"""How much of a volume a network is shown: a cube around the seed, or all of it; see `core.crop`."""
