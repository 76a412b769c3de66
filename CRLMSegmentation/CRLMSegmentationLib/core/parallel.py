"""Jobs in several processes, which end at once when the parent process is interrupted or has died."""

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
    """Call a module-level function with each job, in this process or, from the main thread only, in several.

    Args:
        on_result: called with each result, in the order of the jobs.

    Returns:
        The results in the order of their jobs.

    Raises:
        CrlmError: a process was ended from outside. Errors that the function raises are passed on.
    """
    results: list[Result] = []

    def store(result: Result) -> None:
        results.append(result)
        on_result(result)

    if processes == 1:
        for job in jobs:
            store(function(job))
        return results
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    try:
        with theirs, ProcessPoolExecutor(processes, context, _end_with, (theirs,)) as pool, ours:
            with _ctrl_c_deferred():
                waiting = [pool.submit(function, job) for job in jobs]
            for future in waiting:
                store(future.result())
    except BrokenProcessPool as error:
        raise CrlmError(
            "a process was ended from outside, as happens where memory runs out; try again with fewer processes"
        ) from error
    return results


@contextmanager
def _ctrl_c_deferred() -> Iterator[None]:
    """Defer a Ctrl-C to the end of the block, and keep it from processes started in it, which inherit the mask.

    The mask alone does not defer it in this process, since other threads still receive it; the handler does.
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
    """End this process when the parent closes the other end of a pipe, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for Windows, see `_ctrl_c_deferred`

    def wait() -> None:
        try:
            pipe.recv_bytes()
        finally:
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
