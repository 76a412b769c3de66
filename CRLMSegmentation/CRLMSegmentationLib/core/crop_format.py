"""Limits and names of a network's input, without numpy: for `crlm-seg info` and the options of the command line."""

from __future__ import annotations

CROP_SIZE_LIMITS_MM = (20.0, 400.0)
LARGEST_CROP_MM = 200.0
"""To which a crop is enlarged without being asked: longer than any metastasis, and than most volumes; beyond it a crop
is mostly air."""
CHANNELS = ("ultrasound", "seed")
CLICK_CHANNELS = ("ultrasound", "include", "exclude", "previous")
CHANNEL_SETS = (CHANNELS[:1], CHANNELS, CLICK_CHANNELS)
"""Channels that a network can take, see `core.crop.network_input`. Only the last set can be corrected by points."""
REGIONS = ("crop", "volume")
"""The part of a volume that a network takes: a cube around the seed, or the whole volume; see `core.crop`."""
