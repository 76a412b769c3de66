"""Tasks in this process, or in several, which end at once when the parent process is interrupted or has died."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

from .environment import gpus_of_driver
from .free_memory import free_memory_bytes
from .tasks import Job, OnIdle, OnOutcome, Outcome, TaskFailure, TaskNeeds, run_one

ENDED_FROM_OUTSIDE = (
    "its process was ended from outside, as happens where memory runs out; try again with fewer processes, or with "
    "more memory for each (--task-memory)"
)
TRIES_ALONE = 2
POLL_S = 2.0
PROCESSES_PER_GPU = 2
"""With a network: while one computes on the GPU, the other reads and measures."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
"""Each process has one thread: the last digits of a network's output depend on the number, and must not on that of
the processes; besides, processes use the cores better than threads."""


class InProcess:
    """Runs one task after the other in this process (a `tasks.TaskRunner`)."""

    is_remote = False

    def workers_for(self, needs: TaskNeeds, jobs: int) -> int:
        return 1

    def run(
        self,
        function: Callable[[Job], Any],
        jobs: Sequence[Job],
        needs: TaskNeeds,
        on_outcome: OnOutcome,
        on_idle: OnIdle = lambda: None,
    ) -> None:
        for number, job in enumerate(jobs):
            on_outcome(number, run_one(function, job, None))

    def check_folder(self, folder: Path) -> None:
        """Nothing to check: it is this machine."""


@dataclass(frozen=True)
class LocalPool:
    """Runs tasks in processes of this machine (a `tasks.TaskRunner`); from the main thread only.

    A process that is ended from outside costs the tasks that were running: each is tried again alone, so that the one
    at fault is known; all others go on.

    A task may allocate its share of the free memory, and at least what it is said to need.

    Attributes:
        processes: None for as many as there are cores, if the free memory suffices for their tasks.
        memory_gb: that each task needs and may take at most; None for what the step says.
    """

    processes: int | None = None
    memory_gb: float | None = None
    is_remote = False

    def workers_for(self, needs: TaskNeeds, jobs: int) -> int:
        return max(1, min(self.processes or _affordable(needs.of_memory(self.memory_gb)), jobs))

    def run(
        self,
        function: Callable[[Job], Any],
        jobs: Sequence[Job],
        needs: TaskNeeds,
        on_outcome: OnOutcome,
        on_idle: OnIdle = lambda: None,
    ) -> None:
        workers = self.workers_for(needs, len(jobs))
        task = _Task(function, self._allowed_bytes(needs, workers))
        pool = _Pool(task, needs.first_alone, on_outcome, on_idle)
        waiting = deque(enumerate(jobs))
        while waiting:
            for suspect in pool.run_until_broken(waiting, workers):
                if all(pool.run_until_broken(deque([suspect]), 1) for _ in range(TRIES_ALONE)):
                    on_outcome(suspect[0], TaskFailure(ENDED_FROM_OUTSIDE))

    def check_folder(self, folder: Path) -> None:
        """Nothing to check: it is this machine."""

    def _allowed_bytes(self, needs: TaskNeeds, workers: int) -> int | None:
        if not needs.is_limited:
            return None
        if self.memory_gb is not None:
            return needs.of_memory(self.memory_gb).memory_bytes
        return max(needs.memory_bytes, (free_memory_bytes() or 0) // workers)


def local_runner(processes: int) -> InProcess | LocalPool:
    """Return the runner for a number of processes: for one, this process, without the time to start another."""
    return InProcess() if processes == 1 else LocalPool(processes)


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _affordable(needs: TaskNeeds) -> int:
    """Return the number of cores, or fewer where the free memory or the GPUs do not suffice for a task on each."""
    if needs.whole_machine:
        return 1
    gpus, free = len(gpus_of_driver()), free_memory_bytes()
    most = min(cores(), PROCESSES_PER_GPU * gpus) if gpus and needs.is_network else cores()
    return most if free is None else max(1, min(most, free // max(1, needs.memory_bytes)))


@dataclass(frozen=True)
class _Task:
    """Carries out a job in a process of the pool."""

    function: Callable[[Any], Any]
    memory_bytes: int | None

    def __call__(self, job: Any) -> Outcome[Any]:
        outcome = run_one(self.function, job, self.memory_bytes)
        if isinstance(outcome, TaskFailure) and not _survives_pickling(outcome):
            return TaskFailure(outcome.reason)
        return outcome


def _survives_pickling(failure: TaskFailure) -> bool:
    """Return whether an error can be sent to another process; not all can, by the arguments of their class."""
    try:
        return bool(pickle.loads(pickle.dumps(failure)).reason == failure.reason)
    except Exception:
        return False


@dataclass
class _Pool:
    """Runs jobs in processes, in a new pool after one of them has died.

    Attributes:
        first_alone: the next job runs alone.
    """

    task: _Task
    first_alone: bool
    on_outcome: OnOutcome
    on_idle: OnIdle

    def run_until_broken(self, waiting: deque[tuple[int, Any]], workers: int) -> list[tuple[int, Any]]:
        """Run jobs until none is left, or until a process has died; return those that were running then.

        No more jobs are handed over than there are processes, so that those are known, however many wait.
        """
        running: dict[Future[Outcome[Any]], tuple[int, Any]] = {}
        context = get_context("spawn")
        theirs, ours = context.Pipe(duplex=False)
        try:
            with theirs, ProcessPoolExecutor(workers, context, _begin, (theirs,)) as pool, ours:
                while waiting or running:
                    with _ctrl_c_deferred(), _one_thread_for_children():
                        while waiting and len(running) < (1 if self.first_alone else workers):
                            running[pool.submit(self.task, waiting[0][1])] = waiting[0]
                            waiting.popleft()
                    ended = wait(running, POLL_S, FIRST_COMPLETED).done
                    if not ended:
                        self.on_idle()
                    for future in ended:
                        outcome = future.result()
                        self.first_alone = False
                        self.on_outcome(running.pop(future)[0], outcome)
        except BrokenProcessPool:
            return sorted(running.values(), key=lambda entry: entry[0])
        return []


class _Pipe(Protocol):
    """The end of a pipe between processes, whose class differs on Windows."""

    def recv_bytes(self) -> bytes: ...


@contextmanager
def _one_thread_for_children() -> Iterator[None]:
    """Let processes that are started in the block use one thread each, unless the user has said how many."""
    added = [name for name in THREAD_VARIABLES if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


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


def _begin(pipe: _Pipe) -> None:
    """End this process when the parent closes the other end of a pipe, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for Windows, see `_ctrl_c_deferred`

    def wait_for_parent() -> None:
        try:
            pipe.recv_bytes()
        finally:
            os._exit(1)

    threading.Thread(target=wait_for_parent, daemon=True).start()
