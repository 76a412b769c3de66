"""Limits and names of a network's input, without numpy: for `crlm-seg info` and the options of the command line."""

from __future__ import annotations

CROP_SIZE_LIMITS_MM = (20.0, 400.0)
CHANNELS = ("ultrasound", "seed")
"""Channels that a network can take, see `core.crop.network_input`."""
REGIONS = ("crop", "volume")
"""The part of a volume that a network takes: a cube around the seed, or the whole volume; see `core.crop`."""
