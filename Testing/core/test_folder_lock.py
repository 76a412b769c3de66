"""The lock of a folder: one process at a time, and nothing left of one that was killed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from CRLMSegmentationLib.core.folder_lock import LOCK_FILE, FolderLockedError, folder_lock
from filelock import FileLock, Timeout

HOLDER = """
import sys
from pathlib import Path
from CRLMSegmentationLib.core.folder_lock import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that has the lock until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"locked\n"
    yield child
    child.kill()
    child.communicate()


def test_another_process_is_kept_out_until_the_lock_is_released(tmp_path: Path, holder: subprocess.Popen) -> None:
    with pytest.raises(FolderLockedError, match="another process works in"), folder_lock(tmp_path):
        raise AssertionError("two processes are in the folder")
    holder.communicate(b"")
    assert holder.returncode == 0
    with folder_lock(tmp_path):
        assert (tmp_path / LOCK_FILE).exists()
    assert list(tmp_path.iterdir()) == []


def test_process_that_is_killed_leaves_no_lasting_lock(tmp_path: Path, holder: subprocess.Popen) -> None:
    holder.kill()
    holder.wait()
    assert (tmp_path / LOCK_FILE).exists()
    with folder_lock(tmp_path):
        pass
    assert not (tmp_path / LOCK_FILE).exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no file that is open")
def test_lock_of_a_file_that_was_removed_while_it_was_opened_does_not_count(tmp_path: Path, monkeypatch) -> None:
    """The process before removes its file between this one's opening and locking it; a third one would lock a new."""
    path, acquire, removed = tmp_path / LOCK_FILE, FileLock.acquire, []

    def acquire_late(lock: FileLock, **options) -> None:
        acquire(lock, **options)
        if not removed:
            removed.append(path.unlink())

    monkeypatch.setattr(FileLock, "acquire", acquire_late)
    with folder_lock(tmp_path):
        monkeypatch.undo()
        with pytest.raises(Timeout):
            FileLock(path).acquire(timeout=0)
    assert removed


def test_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="damaged"), folder_lock(tmp_path):
        raise ValueError("damaged")
    with folder_lock(tmp_path):
        pass


def test_folder_that_does_not_exist_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), folder_lock(tmp_path / "absent"):
        pass


def test_file_system_without_locks_keeps_nobody_out_and_the_log_says_so(tmp_path, monkeypatch, caplog) -> None:
    def refuse(*_, **__):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with caplog.at_level(logging.WARNING), folder_lock(tmp_path):
        assert "cannot be locked: [Errno 37] No locks available" in caplog.text
    assert list(tmp_path.iterdir()) == []
