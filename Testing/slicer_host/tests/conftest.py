"""The host, and a small module in it."""

from __future__ import annotations

from slicer_host.fixtures import (  # noqa: F401  (fixtures)
    add_volume,
    ctk,
    english_after_file,
    english_afterwards,
    home,
    host,
    qt,
    sample,
    slicer_api,
)
