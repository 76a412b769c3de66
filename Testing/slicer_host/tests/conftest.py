"""The host, and a small module in it."""

from __future__ import annotations

from slicer_host.fixtures import add_volume, ctk, english_afterwards, home, host, qt, sample, slicer_api  # noqa: F401  (fixtures)
