"""Keeps None alive: PySide 6.12 gives up a reference to it with each function that returns nothing.

That does no harm from Python 3.12 on, where None never dies. Before, the process ends with "deallocating None" after
some ten thousand calls, which a panel that is redrawn ten times a second has made in a minute.
"""

from __future__ import annotations

import ctypes
import sys

ENOUGH = 1 << 40


def keep_none() -> None:
    """Once for each process."""
    if sys.version_info < (3, 12) and sys.getrefcount(None) < ENOUGH // 2:
        ctypes.c_ssize_t.from_address(id(None)).value += ENOUGH  # an object begins with its count of references
