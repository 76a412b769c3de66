"""A lock that keeps two processes from writing into one folder."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from .errors import CrlmError

logger = logging.getLogger(__name__)

LOCK_FILE = ".lock"
RETRY_S = 0.1
"""The lock is tried for so long, since the process that had it may be removing its file at this moment."""


class FolderLockedError(CrlmError):
    """A folder in which another process works."""


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the lock out of a folder while the block lasts.

    The operating system ends the lock with its process, also one that is killed. Where a file system knows no locks, as
    some network drives, nobody is kept out, and the log says so.

    Raises:
        FolderLockedError: another process has the lock.
        OSError: the folder does not exist, or cannot be written to.
    """
    path = folder / LOCK_FILE
    path.touch()  # its errors are not those of a file system without locks
    lock = FileLock(path)
    try:
        _acquire(lock, path)
    except Timeout:
        raise FolderLockedError(f"another process works in {folder}; wait until it has ended") from None
    except (OSError, NotImplementedError) as error:
        logger.warning("%s cannot be locked: %s", path, error)
    try:
        yield
    finally:
        _release(lock, path)


def _acquire(lock: BaseFileLock, path: Path) -> None:
    """Lock the file that lies at the path, and not one that the process before has removed meanwhile."""
    while True:
        path.touch()
        wanted = path.stat().st_ino
        lock.acquire(timeout=RETRY_S)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == wanted:
                return
        lock.release()


def _release(lock: BaseFileLock, path: Path) -> None:
    if os.name == "posix":
        path.unlink(missing_ok=True)  # while it is locked, lest the file of a successor be removed
    lock.release()
    if os.name != "posix":  # Windows removes no file that is open
        with contextlib.suppress(OSError):
            path.unlink()
