"""The memory that this process may use."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files with the memory limit of a container, for control groups of versions 2 and 1."""


def machine_memory_bytes() -> int | None:
    """Return the memory of the machine, or the lower limit of a container or user; None where it is unknown."""
    known = [limit for limit in (_installed_bytes(), _container_bytes(), _address_space_bytes()) if limit]
    return min(known, default=None)


def _installed_bytes() -> int | None:
    if sys.platform == "win32":
        kilobytes = ctypes.c_ulonglong()
        known = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
        return 1024 * kilobytes.value if known else None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _container_bytes() -> int | None:
    for path in CGROUP_LIMITS:
        try:
            text = Path(path).read_text("ascii").strip()
        except (OSError, UnicodeError):
            continue
        return int(text) if text.isdigit() else None
    return None


def _address_space_bytes() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
