"""Where the repository and its parts lie."""

from __future__ import annotations

from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
ROOT = TESTING.parent
LIBRARY = ROOT / "CRLMSegmentation" / "CRLMSegmentationLib"
MODULE = ROOT / "CRLMSegmentation" / "CRLMSegmentation.py"
SHARED_DATA = ROOT.parent / "shared" / "data"
"""Real recordings, where they lie beside the repository; what needs them is skipped elsewhere."""
