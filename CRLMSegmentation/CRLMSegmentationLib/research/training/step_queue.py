"""Queue of training steps as child processes: one at a time on each device."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ...core.child_process import ChildProcess
from ...core.errors import CrlmError, WorkerError
from ...core.resources import PACKAGE_ROOT

POLL_S = 0.1
END_TIMEOUT_S = 20.0
QUOTED_LINES, QUOTED_BYTES = 6, 4000
KILLED = -9
Job = TypeVar("Job")
Place = TypeVar("Place")


class StepError(CrlmError):
    """A running step has failed; what was done before is kept."""


class Running(Protocol):
    """A running step."""

    def poll(self) -> tuple[list[Mapping[str, Any]], bool]:
        """Return the messages since the last call, and whether the step has ended; raise StepError if it has failed."""

    def end(self) -> None:
        """Kill the process and all its children."""


def run_queue(
    jobs: Sequence[Job],
    places: Sequence[Place],
    launch: Callable[[Job, Place], Running],
    on_message: Callable[[Job, Mapping[str, Any]], None] = lambda job, message: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Run each job on a device of its own; the others wait until a device is free.

    The first failure, or a Ctrl-C, ends all that are under way.

    Raises:
        StepError: a job has failed.
    """
    waiting, free = deque(jobs), deque(places)
    running: list[tuple[Job, Place, Running]] = []
    try:
        while waiting or running:
            while waiting and free:
                job, place = waiting.popleft(), free.popleft()
                running.append((job, place, launch(job, place)))
            for entry in list(running):
                job, place, step = entry
                messages, ended = step.poll()
                for message in messages:
                    on_message(job, message)
                if ended:
                    running.remove(entry)
                    free.append(place)
            if running:
                sleep(POLL_S)
    finally:
        for _, _, step in running:
            step.end()


class StepProcess:
    """A child process that runs `step_process.run_step`."""

    def __init__(self, what: str, module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]):
        """Start the process.

        Args:
            what: it does, for errors.
            module: of this package.
            log: where its prints go, quoted when it dies.
            environment: beside that of this process.
        """
        self._what, self._log = what, log
        self._log_bytes = log.stat().st_size if log.is_file() else 0
        name = f"{__package__}.{module}"
        self._child = ChildProcess(
            [sys.executable, "-m", name, *arguments], PACKAGE_ROOT, {**os.environ, **environment}
        )

    @property
    def pid(self) -> int:
        return self._child.pid

    def poll(self) -> tuple[list[Mapping[str, Any]], bool]:
        code = self._child.exit_code  # asked before reading: what a dead child had to say is in the pipe
        self._child.read_stderr()
        messages: list[Mapping[str, Any]] = [frame.header for frame in self._child.read(time.monotonic() + POLL_S)]
        for message in messages:
            if message["type"] == "failed":
                raise StepError(f"{self._what} failed: {message['reason']}")
        if code is None or not self._child.drained:
            return messages, False
        if code != 0:
            raise StepError(self._cause_of_death(code))
        self.end()
        return messages, True

    def end(self) -> None:
        try:
            self._child.end(END_TIMEOUT_S)
        except WorkerError as error:
            raise StepError(f"{self._what}: {error}") from error

    def _cause_of_death(self, code: int) -> str:
        how = f"was ended by signal {-code}" if code < 0 else "has failed"
        if code == KILLED:
            how += ", as when memory runs out"
        lines = self._last_lines() or self._child.stderr_tail.splitlines()[-QUOTED_LINES:]
        return f"{self._what} {how}; the last lines of {self._log}: {' | '.join(lines) or 'none'}"

    def _last_lines(self) -> list[str]:
        """Return the last lines that this process has written to the log."""
        if not self._log.is_file():
            return []
        with self._log.open("rb") as file:
            file.seek(max(self._log_bytes, self._log.stat().st_size - QUOTED_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return [line.strip() for line in lines if line.strip()][-QUOTED_LINES:]
