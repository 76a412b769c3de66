"""Functions that tests hand to runners of tasks, in other processes too."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from CRLMSegmentationLib.core.errors import CaseError

MEGABYTE = 10**6
PATIENCE_S = 240.0
"""Of a task that waits for another one; a test that needs as long has failed."""


class TwoArgumentsError(CaseError):
    """An error that cannot be unpickled, since its class wants two arguments and keeps one text."""

    def __init__(self, what: str, how: str) -> None:
        super().__init__(f"{what}: {how}")


def fail_at_zero(number: int) -> int:
    if number == 0:
        raise CaseError("zero; take another")
    return number


def unpicklable_error(what: str) -> None:
    raise TwoArgumentsError(what, "told")


def die_at_zero(number: int) -> int:
    if number == 0:
        os._exit(1)
    return number


def die_once(mark: Path) -> str:
    """End this process, unless the task was begun before."""
    if not mark.exists():
        mark.touch()
        os._exit(1)
    return mark.name


def allocate(megabytes: int) -> int:
    """Allocate memory and write to it."""
    return int(np.ones(megabytes * MEGABYTE, np.uint8).sum(dtype=np.int64) // MEGABYTE)


def threads_allowed(_: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def wait_for_file(job: tuple[Path | None, Path | None]) -> str:
    """Wait for the first file, and write the second."""
    wanted, written = job
    end_s = time.monotonic() + PATIENCE_S
    while wanted is not None and not wanted.exists():
        if time.monotonic() > end_s:
            raise CaseError(f"{wanted} does not come")
        time.sleep(0.01)
    if written is not None:
        written.touch()
    return "waited" if written is None else "wrote"


def note_and_wait(job: tuple[int, Path, Path | None]) -> int:
    """Note in a folder that a job was begun, and on which process; then wait for a file, if one is named."""
    number, folder, wanted = job
    with (folder / f"begun-{number}").open("a") as file:
        file.write(f"{os.getppid()} {os.getpid()}\n")
    wait_for_file((wanted, None))
    return number
