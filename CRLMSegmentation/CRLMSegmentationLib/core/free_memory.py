"""Free memory of the machine or container, so that a volume that is too large is refused before it is read."""

from __future__ import annotations

import os
import re
from pathlib import Path

MEMORY_INFO = Path("/proc/meminfo")
CONTROL_GROUP = Path("/sys/fs/cgroup")


def free_memory_bytes() -> int | None:
    """Return the bytes that can be allocated without swapping, or None where the system does not report them."""
    known = [value for value in (_of_linux(), _of_control_group(), _of_posix()) if value is not None]
    return min(known, default=None)


def _of_linux() -> int | None:
    try:
        found = re.search(r"MemAvailable:\s*(\d+) kB", MEMORY_INFO.read_text("ascii", "replace"))
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _of_control_group() -> int | None:
    """Return the bytes that a container may still allocate; cached pages of files count as free."""
    try:
        limit = (CONTROL_GROUP / "memory.max").read_text("ascii").strip()
        used = int((CONTROL_GROUP / "memory.current").read_text("ascii"))
        cached = re.search(r"^inactive_file (\d+)$", (CONTROL_GROUP / "memory.stat").read_text("ascii"), re.MULTILINE)
        return None if limit == "max" else max(0, int(limit) - used + (int(cached[1]) if cached else 0))
    except (OSError, ValueError):
        return None


def _of_posix() -> int | None:
    """Return the free memory of systems that have no `MEMORY_INFO` but report free pages."""
    if MEMORY_INFO.is_file():
        return None
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
