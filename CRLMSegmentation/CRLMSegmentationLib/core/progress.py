"""How long work reports its progress: the type of the callback that every long function takes."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[str, int, int], None]
"""Called with the name of the lesion (or of another step), steps done, and steps in all."""
