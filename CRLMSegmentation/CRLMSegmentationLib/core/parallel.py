"""Many jobs in several processes, which end at once when the one that started them is interrupted or gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TypeVar

from .errors import CrlmError

Job = TypeVar("Job")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    processes: int,
    on_result: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Call a function of a module with each job; with one process in this one, else for the main thread only.

    Args:
        on_result: told each result as soon as all before it are there.

    Returns:
        The results in the order of their jobs.

    Raises:
        CrlmError: a process was ended from outside. What the function raises comes as it is.
    """
    results: list[Result] = []

    def take(result: Result) -> None:
        results.append(result)
        on_result(result)

    if processes == 1:
        for job in jobs:
            take(function(job))
        return results
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    try:
        with theirs, ProcessPoolExecutor(processes, context, _end_with, (theirs,)) as pool, ours:
            with _ctrl_c_kept_back():
                waiting = [pool.submit(function, job) for job in jobs]
            for future in waiting:
                take(future.result())
    except BrokenProcessPool as error:
        raise CrlmError(
            "a process was ended from outside, as happens where memory runs out; try again with fewer processes"
        ) from error
    return results


@contextmanager
def _ctrl_c_kept_back() -> Iterator[None]:
    """A Ctrl-C comes at the end of the block, and never to processes started in it: they inherit the mask.

    The mask does not keep it from this process, whose other threads take it all the same; a handler does.
    """
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    if sys.platform != "win32":
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if came:
        signal.raise_signal(signal.SIGINT)


def _end_with(pipe: Connection) -> None:
    """End this process when the other end of a pipe is closed, by its owner or by its owner's death."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for Windows, see `_ctrl_c_kept_back`

    def wait() -> None:
        try:
            pipe.recv_bytes()
        finally:
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
