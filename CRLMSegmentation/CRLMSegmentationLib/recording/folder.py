"""The folder of a recording: its lock, what lies in it, and the disk space that is reserved for finishing it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from itertools import count
from pathlib import Path

from ..core.errors import CaseError, os_reason
from ..core.folder_lock import LOCK_FILE, FolderLockedError, folder_lock
from ..core.output_files import make_folder
from ..core.volume_files import is_hidden
from .case import CASE_FILE
from .message_log import ARRIVALS_FILE, MESSAGES_FILE
from .message_log_writer import RecordingError
from .session_events import EVENTS_FILE

RESERVE_FILE = ".reserve"
RESERVE_BYTES = 16 << 20
"""Freed when the disk is full, so that the recording can be finished as a case."""
MIN_FREE_BYTES = 200 << 20
"""Seven volumes of 27 MB; with less a recording is not worth its start."""


class FolderState(Enum):
    """The content of a folder; FREE means nothing, or the files of a recording that has received nothing."""

    FREE = "free"
    UNFINISHED = "unfinished"
    FINISHED = "finished"
    OTHER = "other"


def state_of(folder: Path) -> FolderState:
    """Return what lies in a folder, which need not exist."""
    if not folder.exists():
        return FolderState.FREE
    if not folder.is_dir():
        return FolderState.OTHER
    names = {path.name for path in folder.iterdir() if not is_hidden(path)} - {LOCK_FILE, RESERVE_FILE}
    if CASE_FILE in names:
        return FolderState.FINISHED
    if any(name in names and (folder / name).stat().st_size for name in (MESSAGES_FILE, EVENTS_FILE)):
        return FolderState.UNFINISHED
    return FolderState.OTHER if names - {MESSAGES_FILE, ARRIVALS_FILE, EVENTS_FILE} else FolderState.FREE


def next_free(folder: Path) -> Path:
    """Return `folder-2` beside a folder, or the next number that is free."""
    names = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    return next(path for path in names if not path.exists())


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make a folder for a new recording and lock it for this process while the block lasts.

    Raises:
        RecordingError: another process records there, something else lies there, or the disk is nearly full.
        CrlmError: it cannot be made.
    """
    make_folder(folder)
    with locked(folder):
        if state_of(folder) is not FolderState.FREE:
            raise RecordingError(f"{folder} is no longer empty; record into another folder")
        discard_empty(folder)
        _check_free_space(folder)
        _make_reserve(folder)
        try:
            yield
        finally:
            release_reserve(folder)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder against other recorders; a lock that a dead process has left does not count.

    Raises:
        RecordingError: another process has the lock, or the folder cannot be written to.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(folder_lock(folder))
        except FolderLockedError as error:
            raise RecordingError(
                f"another program is recording into {folder}; wait for it, or choose another folder"
            ) from error
        except OSError as error:
            raise RecordingError(f"nothing can be written into {folder}: {os_reason(error)}") from error
        yield


def discard_empty(folder: Path) -> None:
    """Remove the files of a recording that has received nothing."""
    for name in (MESSAGES_FILE, ARRIVALS_FILE, EVENTS_FILE):
        (folder / name).unlink(missing_ok=True)


def free_bytes_at(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def release_reserve(folder: Path) -> None:
    """Free the disk space that was reserved for finishing the recording."""
    (folder / RESERVE_FILE).unlink(missing_ok=True)


def _check_free_space(folder: Path) -> None:
    free_bytes = free_bytes_at(folder)
    if free_bytes < MIN_FREE_BYTES:
        raise RecordingError(
            f"only {free_bytes / 1e6:.0f} MB are free for {folder}, a recording needs at least "
            f"{MIN_FREE_BYTES / 1e6:.0f} MB; free some space, or record to another disk"
        )


def _make_reserve(folder: Path) -> None:
    try:
        with (folder / RESERVE_FILE).open("wb") as stream:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, RESERVE_BYTES)
            else:
                stream.write(bytes(RESERVE_BYTES))
    except OSError as error:
        release_reserve(folder)
        raise RecordingError(f"nothing can be recorded into {folder}: {os_reason(error)}") from error


def check_unfinished(folder: Path) -> None:
    """Refuse a folder that holds no unfinished recording.

    Raises:
        CaseError: says what it is instead.
    """
    if not folder.is_dir():
        raise CaseError(f"no such folder: {folder}; give the folder of a recording")
    state = state_of(folder)
    if state is FolderState.FINISHED:
        raise CaseError(f"{folder} is a finished case already; it can be used as it is")
    if state is not FolderState.UNFINISHED:
        raise CaseError(f"{folder} holds no message of a recording; there is nothing to recover")
