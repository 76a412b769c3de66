"""Tasks that do not depend on each other: what one needs, how it fails, and the runners that carry them out.

A task is a module-level function and its job, a small value that can be pickled; large data stays in files. A runner
(`parallel.InProcess`, `parallel.LocalPool`, `research.ray_cluster.RayCluster`) decides where and when each is done.
A task that fails does not stop the others.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, Union

from .errors import CrlmError, os_reason

logger = logging.getLogger(__name__)

GIGABYTE = 10**9
MOST_CORES = 8
"""Of a task that has a machine alone; more threads do not make a network faster."""
LISTED_FAILURES = 20
"""Of failed tasks, how many are printed one by one."""
Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class TaskNeeds:
    """What one task needs.

    Attributes:
        memory_gb: by which is decided how many tasks run at the same time on a machine.
        is_limited: memory beyond what a task is allowed is refused (Linux), so that it fails alone; not for tasks that
            start a network, since the libraries of GPUs reserve more than they use.
        cpus: on a cluster; a pool on this machine runs a task for each core.
        gpus: on a cluster; None for a share of one where there are any and the task starts a network.
        whole_machine: the task uses the cores of a machine, `MOST_CORES` at most, alone.
        first_alone: the others wait for the first task, which measures and stores what they read.
    """

    memory_gb: float = 1.0
    is_limited: bool = True
    cpus: float = 1.0
    gpus: float | None = None
    whole_machine: bool = False
    first_alone: bool = False

    @property
    def memory_bytes(self) -> int:
        return int(self.memory_gb * GIGABYTE)

    @property
    def is_network(self) -> bool:
        """Whether a task starts a network, which runs on a GPU where there is one."""
        return not self.is_limited

    def of_memory(self, memory_gb: float | None) -> TaskNeeds:
        """Return the same needs with another amount of memory; None leaves them as they are."""
        return self if memory_gb is None else replace(self, memory_gb=memory_gb)


@dataclass(frozen=True)
class TaskFailure:
    """The failure of one task.

    Attributes:
        reason: what was wrong, and what to do next.
        error: that was raised; None where the process has died, or where it cannot be sent from another one.
    """

    reason: str
    error: Exception | None = None


@dataclass(frozen=True)
class Done(Generic[Result]):
    """The result of a task."""

    value: Result


Outcome = Union[Done[Result], TaskFailure]
OnIdle = Callable[[], None]
OnOutcome = Callable[[int, Outcome[Any]], None]
"""Called with the number of a job and how it has ended, in the order in which they end."""


class TasksFailedError(CrlmError):
    """Some tasks have failed; the others are done."""


class TaskRunner(Protocol):
    """Carries out tasks."""

    is_remote: bool
    """Tasks run on other machines, which see no folder of this one but those of a share."""

    def workers_for(self, needs: TaskNeeds, jobs: int) -> int:
        """Return how many tasks with these needs run at the same time, for a number of jobs."""
        ...

    def run(
        self,
        function: Callable[[Job], Any],
        jobs: Sequence[Job],
        needs: TaskNeeds,
        on_outcome: OnOutcome,
        on_idle: OnIdle = lambda: None,
    ) -> None:
        """Call a module-level function with each job, and report each outcome once.

        Args:
            on_idle: called every few seconds while tasks run elsewhere, to look at what they write.

        Raises:
            CrlmError: no task can be run at all; what was reported stays done.
        """
        ...

    def check_folder(self, folder: Path) -> None:
        """Raise CrlmError unless every machine that runs tasks sees a folder of this one at the same path."""
        ...


class KeptInProcess(Generic[Result]):
    """A value that a process keeps from one task to the next, such as a network that takes seconds to load."""

    def __init__(self) -> None:
        self._key: object = None
        self._stack = ExitStack()
        self._value: Result | None = None

    def get(self, key: object, opened: Callable[[], AbstractContextManager[Result]]) -> Result:
        """Return the value of a key, opened unless it is there; one of another key is closed."""
        if self._value is None or key != self._key:
            self.close()
            self._value, self._key = self._stack.enter_context(opened()), key
        return self._value

    def close(self) -> None:
        self._value = None
        self._stack.close()


def run_tasks(
    runner: TaskRunner,
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    needs: TaskNeeds,
    on_outcome: Callable[[int, Outcome[Result]], None] = lambda number, outcome: None,
    on_idle: OnIdle = lambda: None,
) -> list[Outcome[Result]]:
    """Carry out tasks, and return their outcomes in the order of the jobs, in whatever order they end."""
    outcomes: list[Outcome[Result] | None] = [None] * len(jobs)

    def store(number: int, outcome: Outcome[Any]) -> None:
        outcomes[number] = outcome
        on_outcome(number, outcome)

    runner.run(function, jobs, needs, store, on_idle)
    lost = [number for number, outcome in enumerate(outcomes) if outcome is None]
    if lost:
        raise RuntimeError(f"a runner has not told how {len(lost)} of {len(jobs)} tasks ended")
    return [outcome for outcome in outcomes if outcome is not None]


def results_of(
    outcomes: Sequence[Outcome[Result]], names: Sequence[str], next_action: str = "run the same command again"
) -> list[Result]:
    """Return the results of tasks that have all succeeded.

    Args:
        names: of the tasks, for the error.
        next_action: for the error.

    Raises:
        TasksFailedError: some have failed; says which, why, and what to do. Of a single task its own error is raised.
    """
    failed = [(name, outcome) for name, outcome in zip(names, outcomes) if isinstance(outcome, TaskFailure)]
    if failed:
        if len(outcomes) == 1 and failed[0][1].error is not None:
            raise failed[0][1].error
        raise TasksFailedError(failures_text([(n, f.reason) for n, f in failed], len(outcomes), next_action))
    return [outcome.value for outcome in outcomes if isinstance(outcome, Done)]


def failures_text(failed: Sequence[tuple[str, str]], total: int, next_action: str) -> str:
    """Return one sentence about failed tasks: which, why, and what to do.

    Args:
        failed: name and reason of each.
    """
    told = "; ".join(f"{name}: {reason}" for name, reason in failed[:LISTED_FAILURES])
    more = f"; and {len(failed) - LISTED_FAILURES} more" if len(failed) > LISTED_FAILURES else ""
    return f"{len(failed)} of {total} failed ({told}{more}); the others are done: {next_action}"


def run_one(function: Callable[[Job], Result], job: Job, memory_bytes: int | None) -> Outcome[Result]:
    """Carry out one task in this process, and return how it ended.

    Args:
        memory_bytes: that it may allocate (Linux); None for any amount.
    """
    try:
        with memory_limit(memory_bytes):
            return Done(function(job))
    except CrlmError as error:
        return TaskFailure(str(error), error)
    except MemoryError as error:
        allowed = f" than {memory_bytes / GIGABYTE:.1f} GB" if memory_bytes else ""
        return TaskFailure(f"needs more memory{allowed}; allow more with --task-memory, or take a smaller case", error)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return TaskFailure(f"{place}{os_reason(error)}; check the path, its permissions and the free space", error)
    except Exception as error:  # a fault on one case must not stop a thousand others
        logger.error("%s", traceback.format_exc())
        last = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"
        return TaskFailure(f"a fault of this program, not of your data: {told}; please report it", error)


@contextmanager
def memory_limit(allowed_bytes: int | None) -> Iterator[None]:
    """Refuse this process more memory than it has now and the allowed bytes (Linux; elsewhere nothing is refused).

    What is refused raises MemoryError. Processes that are started in the block inherit the limit.
    """
    if allowed_bytes is None or sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _data_bytes() + allowed_bytes
    limits = [limit for limit in before if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *limits]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _data_bytes() -> int:
    """Return the private writable memory of this process, which RLIMIT_DATA counts."""
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
