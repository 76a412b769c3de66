"""Where the sample module lies."""

from __future__ import annotations

from pathlib import Path

SAMPLE = Path(__file__).parent / "sample_module" / "Sample.py"
