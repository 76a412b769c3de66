"""Balls in speckle whose outline is known, in grids of any kind."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # pytest in importlib mode does not find helpers by itself
sys.path.insert(1, str(Path(__file__).parents[1] / "training"))
