"""Makes the helpers beside it importable: pytest in importlib mode does not find them by itself."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
