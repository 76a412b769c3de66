"""How much memory is free, so that a large volume is refused instead of ending the program."""

from __future__ import annotations

import os
import re
from pathlib import Path

MEMORY_INFO = Path("/proc/meminfo")
CONTROL_GROUP = Path("/sys/fs/cgroup")


def free_memory_bytes() -> int | None:
    """Bytes that can be allocated without swapping, or None where the system does not say."""
    known = [value for value in (_of_linux(), _of_control_group(), _of_posix()) if value is not None]
    return min(known, default=None)


def _of_linux() -> int | None:
    try:
        found = re.search(r"MemAvailable:\s*(\d+) kB", MEMORY_INFO.read_text("ascii", "replace"))
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _of_control_group() -> int | None:
    """What a container may still take; pages of files that the system can drop count as free."""
    try:
        limit = (CONTROL_GROUP / "memory.max").read_text("ascii").strip()
        used = int((CONTROL_GROUP / "memory.current").read_text("ascii"))
        cached = re.search(r"^inactive_file (\d+)$", (CONTROL_GROUP / "memory.stat").read_text("ascii"), re.MULTILINE)
        return None if limit == "max" else max(0, int(limit) - used + (int(cached[1]) if cached else 0))
    except (OSError, ValueError):
        return None


def _of_posix() -> int | None:
    """Of systems without `MEMORY_INFO` that tell of free pages."""
    if MEMORY_INFO.is_file():
        return None
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
