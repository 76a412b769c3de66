"""Where the sample module lies."""

from __future__ import annotations

from .paths import TESTING

SAMPLE = TESTING / "slicer_host" / "sample_module" / "Sample.py"
