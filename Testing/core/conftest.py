"""Helpers of these tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # pytest in importlib mode does not find helpers by itself
