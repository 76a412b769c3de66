"""Engines whose jobs are answered by a child process; and the one that runs a model in it, kept loaded.

No threads and nothing that blocks: a QTimer calls `poll` in 3D Slicer, `wait` does on the command line.
"""

from __future__ import annotations

import itertools
import logging
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ...core.child_process import ChildProcess
from ...core.errors import WorkerError
from ...core.frames import Frame, encode
from ...core.resources import PACKAGE_ROOT
from ..models.package import ModelPackage
from .engine import Cancelled, EngineState, Event, Failed, Finished, Job, Progress, Ready, Started
from .wire import decode_answer, encode_job

logger = logging.getLogger(__name__)

POLL_BUDGET_S = 0.004
CANCEL_GRACE_S = 0.8
"""A worker that has not stopped by then is killed; the promise is 1 s."""
MAX_CRASHES = 3
"""Deaths in a row without a single answer in between, after which the engine gives up."""
END_TIMEOUT_S = 10.0
Entered = TypeVar("Entered", bound="ProcessEngine")
WORKER_MODULE = f"{__package__}.worker"
GIVEN_UP = "the worker died {count} times in a row and is not started again: {reason}. Look at `crlm-seg info`"


@dataclass
class _Pending:
    """A job without a result yet; its parts are kept in case a fresh worker must have them again."""

    job_id: int
    parts: list[memoryview]
    handed_over: bool = False
    cancel_deadline_s: float | None = None


class ProcessEngine:
    """An `engine.Engine` whose jobs are answered by a child process, through the frames of `wire`.

    Args:
        command: of the child.
        env: its environment; None to inherit.
    """

    def __init__(self, command: Sequence[str], env: dict[str, str] | None = None) -> None:
        self._command, self._env = list(command), env
        self._child: ChildProcess | None = None
        self._killed: list[ChildProcess] = []
        self._state = EngineState.STOPPED
        self._ids = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self._events: list[Event] = []
        self._crashes = 0
        self._started_s = 0.0
        self._failure = ""

    def __enter__(self: Entered) -> Entered:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def state(self) -> EngineState:
        if self._state is EngineState.READY and self._pending:
            return EngineState.BUSY
        return self._state

    @property
    def worker_pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        """Begin to load the model; returns at once.

        Raises:
            WorkerError: the interpreter cannot be started.
        """
        if self._child is None:
            self._crashes = 0
            self._launch("")

    def submit(self, job: Job) -> int:
        """Queue a job and return its id; jobs still unanswered are cancelled. Starts the engine if need be.

        Raises:
            WorkerError: the engine has given up; says why.
        """
        if self._state is EngineState.FAILED:
            raise WorkerError(self._failure)
        self.start()
        for pending in list(self._pending.values()):
            self._cancel(pending)
        job_id = next(self._ids)
        self._pending[job_id] = _Pending(job_id, encode_job(job_id, job))
        return job_id

    def cancel(self, timeout_s: float | None = None) -> None:
        """Cancel every unanswered job; `Cancelled` follows within 1 s.

        Args:
            timeout_s: after which a worker that has not stopped is killed; `CANCEL_GRACE_S` by default.
        """
        deadline_s = time.monotonic() + (CANCEL_GRACE_S if timeout_s is None else timeout_s)
        for pending in list(self._pending.values()):
            self._cancel(pending, deadline_s)

    def poll(self) -> list[Event]:
        """Return the events since the last call; takes at most about 5 ms, plus a process start after a crash."""
        if self._child is not None:
            self._exchange(self._child)
        self._reap()
        events, self._events = self._events, []
        return events

    def wait(self, timeout_s: float) -> list[Event]:
        """Poll until something has happened, at most the given time. For the command line."""
        end_s = time.monotonic() + timeout_s
        while True:
            events = self.poll()
            left_s = end_s - time.monotonic()
            if events or left_s <= 0 or self._child is None:
                return events
            self._child.wait_readable(min(left_s, self._next_deadline_s() - time.monotonic()))

    def close(self) -> None:
        """End the worker and everything it has started. Unanswered jobs end as cancelled in the next `poll`."""
        self._events += [Cancelled(job_id) for job_id in self._pending]
        self._pending.clear()
        children = [*self._killed, *([self._child] if self._child is not None else [])]
        self._child, self._killed, self._state = None, [], EngineState.STOPPED
        for child in children:
            child.end(END_TIMEOUT_S)

    def _launch(self, reason: str) -> None:
        self._state = EngineState.STARTING
        self._started_s = time.monotonic()
        try:
            self._child = ChildProcess(self._command, PACKAGE_ROOT, self._env)
        except WorkerError as error:
            self._state, self._failure = EngineState.FAILED, f"{error}; name a Python with torch and nnunetv2"
            raise WorkerError(self._failure) from error
        self._events.append(Started(self._child.pid, reason))

    def _cancel(self, pending: _Pending, deadline_s: float | None = None) -> None:
        if not pending.handed_over:
            self._end_job(pending.job_id, Cancelled(pending.job_id))
            return
        if pending.cancel_deadline_s is None and self._child is not None:
            self._child.send(encode({"type": "cancel", "job_id": pending.job_id}))
        pending.cancel_deadline_s = min(pending.cancel_deadline_s or float("inf"), deadline_s or float("inf"))

    def _exchange(self, child: ChildProcess) -> None:
        """Write to the worker and read from it, once."""
        deadline_s = time.monotonic() + POLL_BUDGET_S
        exit_code = child.exit_code  # asked before reading: what a dead worker had to say is in the pipe
        try:
            self._hand_over(child)
            child.write(deadline_s)
            child.read_stderr()
            frames = child.read(max(deadline_s, time.monotonic() + POLL_BUDGET_S / 4))
        except WorkerError as error:
            self._restart(f"the worker sent what is no answer ({error})")
            return
        for frame in frames:
            self._receive(frame)
        if exit_code is not None and child.drained and self._child is child:
            self._restart(f"the worker process {_cause_of_death(exit_code)}", child.stderr_tail)
        elif any((p.cancel_deadline_s or float("inf")) < time.monotonic() for p in self._pending.values()):
            self._kill_for_cancel()

    def _hand_over(self, child: ChildProcess) -> None:
        for pending in self._pending.values():
            if not pending.handed_over and self._state is EngineState.READY:
                child.send(pending.parts)
                pending.handed_over = True

    def _receive(self, frame: Frame) -> None:
        """Turn a frame of the worker into an event."""
        header = {key: value for key, value in frame.header.items() if key not in ("type", "arrays")}
        if frame.type == "fatal":
            self._give_up(header["reason"])
            return
        if frame.type == "ready":
            self._state = EngineState.READY
            header["warnings"] = tuple(header["warnings"])
            self._events.append(Ready(cold_start_s=time.monotonic() - self._started_s, **header))
            return
        pending = self._pending.get(header["job_id"])
        if pending is None:
            return
        if frame.type == "progress":
            if pending.cancel_deadline_s is None:
                self._events.append(Progress(**header))
            return
        self._crashes = 0
        if frame.type == "cancelled" or pending.cancel_deadline_s is not None:
            self._end_job(pending.job_id, Cancelled(pending.job_id))
        elif frame.type == "failed":
            self._end_job(pending.job_id, Failed(**header))
        elif frame.type == "finished":
            self._end_job(pending.job_id, decode_answer(frame))

    def _end_job(self, job_id: int, event: Finished | Failed | Cancelled) -> None:
        del self._pending[job_id]
        self._events.append(event)

    def _kill_for_cancel(self) -> None:
        self._discard_child()
        for pending in list(self._pending.values()):
            pending.handed_over = False
            if pending.cancel_deadline_s is not None:
                self._end_job(pending.job_id, Cancelled(pending.job_id))
        self._relaunch("the cancelled job did not stop in time")

    def _restart(self, reason: str, details: str = "") -> None:
        """Fail the jobs of a worker that has ended and start a fresh one, at most `MAX_CRASHES` times."""
        reason = f"{reason}; its last lines: {details}" if details else reason
        logger.error("%s", reason)
        self._discard_child()
        self._crashes += 1
        if self._crashes >= MAX_CRASHES:
            self._give_up(GIVEN_UP.format(count=self._crashes, reason=reason))
            return
        self._fail_handed_over(f"{reason}; a fresh worker is starting, try again")
        self._relaunch(reason)

    def _relaunch(self, reason: str) -> None:
        try:
            self._launch(reason)
        except WorkerError as error:
            self._give_up(str(error))

    def _fail_handed_over(self, reason: str) -> None:
        """Fail the jobs that were sent to the lost worker; those not sent yet go to the next."""
        for pending in [p for p in self._pending.values() if p.handed_over]:
            job_id, cancelled = pending.job_id, pending.cancel_deadline_s is not None
            self._end_job(job_id, Cancelled(job_id) if cancelled else Failed(job_id, reason, is_lost=True))

    def _give_up(self, reason: str) -> None:
        logger.error("%s", reason)
        self._discard_child()
        self._state, self._failure = EngineState.FAILED, reason
        for job_id in list(self._pending):
            self._end_job(job_id, Failed(job_id, reason, is_lost=True))
        self._events.append(Failed(None, reason))

    def _discard_child(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._killed.append(self._child)
            self._child = None

    def _reap(self) -> None:
        for child in [c for c in self._killed if c.exit_code is not None]:
            child.release()
            self._killed.remove(child)

    def _next_deadline_s(self) -> float:
        deadlines = [p.cancel_deadline_s for p in self._pending.values() if p.cancel_deadline_s is not None]
        return min([*deadlines, float("inf")])


class WorkerEngine(ProcessEngine):
    """An `engine.Engine` whose jobs run in a worker process on this computer.

    Args:
        package: the model.
        python: interpreter that has torch and nnunetv2; 3D Slicer has to name one, its own is hidden.
        device: "auto", "cpu" or "cuda".
        cpu_threads: None for all cores, at most 8.
        precision: "auto" for the fastest that agrees with float32 on this machine, or "float32".
        env: environment of the worker; None to inherit.
    """

    def __init__(
        self,
        package: ModelPackage,
        python: str | None = None,
        device: str = "auto",
        cpu_threads: int | None = None,
        env: dict[str, str] | None = None,
        precision: str = "auto",
    ) -> None:
        python = python or sys.executable
        if not python:
            raise WorkerError("no Python interpreter is known here; name one with torch and nnunetv2 (PythonSlicer)")
        threads = [] if cpu_threads is None else ["--threads", str(cpu_threads)]
        wish = ["--device", device, "--precision", precision]
        super().__init__([python, "-m", WORKER_MODULE, str(package.folder), *wish, *threads], env)


def _cause_of_death(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    hint = " (by hand, or by the system because memory ran out)" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"
