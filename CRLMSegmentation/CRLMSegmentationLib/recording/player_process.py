"""The replay server as a child process that cannot outlive its parent."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from ..core.child_process import ChildProcess
from ..core.errors import LinkError, WorkerError
from ..core.frames import Frame
from ..core.resources import PACKAGE_ROOT

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
POLL_S, POLL_BUDGET_S = 0.1, 0.01
ERROR, FINISHED, LISTENING = "error", "finished", "listening"


class ReplayProcess:
    """Plays a case on a free loopback port while the `with` block lasts.

    Example:
        with ReplayProcess(case_folder, skip_sweep=True) as replay:
            client = IgtlClient("127.0.0.1", replay.port)

    Args:
        source: a case folder, a tracked sweep or a volume file.
        port: 0 takes a free one.
        speed: 2 plays twice as fast.
        skip_sweep: begin at the first volume.
        python: the interpreter; inside Slicer that is PythonSlicer, not `sys.executable`.
        calibration: of the probe of a sweep, as text or the path of a file.
        await_reconstruction: begin to play a sweep when a client has it reconstructed.
    """

    def __init__(
        self,
        source: Path | str,
        port: int = 0,
        speed: float = 1.0,
        loop: bool = False,
        skip_sweep: bool = False,
        python: str = sys.executable,
        calibration: str | Path | None = None,
        await_reconstruction: bool = False,
    ) -> None:
        self.port = port
        self._command = [python, "-m", __package__, str(Path(source).resolve())]
        self._command += ["--port", str(port), "--speed", str(speed)]
        self._command += ["--loop"] * loop + ["--skip-sweep"] * skip_sweep
        self._command += [] if calibration is None else ["--calibration", _absolute(calibration)]
        self._command += ["--await-reconstruction"] * await_reconstruction
        self._child: ChildProcess | None = None
        self._is_listening = self._has_finished = self._is_stopped = False
        self._last_error = ""

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.exit_code is None

    @property
    def has_finished(self) -> bool:
        """Whether all was played once."""
        self._poll()
        return self._has_finished

    @property
    def last_error(self) -> str:
        """The error that the child process has reported; empty without one."""
        self._poll()
        return self._last_error

    def start(self) -> None:
        """Start the child and wait until it listens.

        Raises:
            LinkError: it cannot play the source or have the port; says why.
        """
        try:
            self._child = ChildProcess(self._command, PACKAGE_ROOT)
        except WorkerError as error:
            raise LinkError(f"the replay cannot be started: {error}") from error
        try:
            self._wait_for_port(self._child)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the child process and wait for it."""
        if self._child is not None and not self._is_stopped:
            self._poll()
            self._is_stopped = True
            self._child.stop(STOP_TIMEOUT_S)

    def __enter__(self) -> ReplayProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _poll(self) -> None:
        """Read what the child has reported; after its end, all of it."""
        child = self._child
        if child is None or self._is_stopped:
            return
        has_ended = child.exit_code is not None  # asked before reading: what a dead child had to say is in the pipe
        child.read_stderr()
        try:
            self._receive(child.read(time.monotonic() + POLL_BUDGET_S))
            while has_ended and not child.drained:
                self._receive(child.read(time.monotonic() + POLL_BUDGET_S))
        except WorkerError as error:
            raise LinkError(f"the replay sent what is no report: {error}") from error

    def _receive(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            if frame.type == ERROR:
                self._last_error = frame.header["text"]
            elif frame.type == LISTENING:
                self._is_listening, self.port = True, int(frame.header["port"])
            self._has_finished = self._has_finished or frame.type == FINISHED

    def _wait_for_port(self, child: ChildProcess) -> None:
        end_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end_s:
            has_ended = not self.is_running
            self._poll()
            if self._is_listening:
                return
            if self._last_error:
                raise LinkError(f"the replay cannot start: {self._last_error}")
            if has_ended:
                lines = child.stderr_tail.splitlines() or [f"exit code {child.exit_code}"]
                raise LinkError(f"the replay ended at once: {lines[-1]}")
            child.wait_readable(POLL_S)
        raise LinkError(f"the replay has not started within {START_TIMEOUT_S:.0f} s; try again")


def _absolute(calibration: str | Path) -> str:
    """Return the absolute path of a calibration file; numbers as they are."""
    path = Path(calibration)
    try:
        return str(path.resolve()) if path.is_file() else str(calibration)
    except OSError:  # text that is too long for a path
        return str(calibration)
