"""The type of the callback by which long functions report their progress."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[str, int, int], None]
"""Called with the name of the lesion (or of another step), steps done, and steps in all."""
