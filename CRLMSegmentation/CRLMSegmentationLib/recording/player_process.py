"""The replay server as a child process that cannot outlive its parent."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from ..core.errors import LinkError
from ..core.resources import PACKAGE_ROOT

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
ERROR, FINISHED = "error", "finished"


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

    Attributes:
        has_finished: all was played once.
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
        self._command = [python, "-m", "CRLMSegmentationLib.recording", str(Path(source).resolve())]
        self._command += ["--port", str(port), "--speed", str(speed)]
        self._command += ["--loop"] * loop + ["--skip-sweep"] * skip_sweep
        self._command += [] if calibration is None else ["--calibration", str(calibration)]
        self._command += ["--await-reconstruction"] * await_reconstruction
        self.has_finished = False
        self._process: subprocess.Popen[bytes] | None = None
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._last_error = ""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def last_error(self) -> str:
        """The error that the child process has reported; empty without one."""
        if self._process is not None and not self.is_running:
            self._reader.join(STOP_TIMEOUT_S)  # its last line may be under way
        return self._last_error

    def start(self) -> None:
        """Start the child and wait until it listens.

        Raises:
            LinkError: it cannot play the source or have the port; says why.
        """
        path = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the child)
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError as error:
            raise LinkError(f"the replay cannot be started with {self._command[0]}: {error}") from error
        assert self._process.stdin is not None  # both are pipes
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._reader = threading.Thread(target=self._read_events, daemon=True)
        self._reader.start()
        try:
            self.port = self._wait_for_port()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the child process and wait for it."""
        if self._process is None:
            return
        self._input.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._output.close()
        self._errors.close()

    def __enter__(self) -> ReplayProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read_events(self) -> None:
        try:
            for line in self._output:
                if not line.endswith(b"\n"):  # it was ended, as by Ctrl-C, while it spoke
                    break
                event = json.loads(line)
                if event["kind"] == ERROR:
                    self._last_error = event["text"]
                self.has_finished = self.has_finished or event["kind"] == FINISHED
                self._events.put(event)
        finally:
            self._events.put(None)

    def _wait_for_port(self) -> int:
        end_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                event = self._events.get(timeout=max(0.0, end_s - time.monotonic()))
            except queue.Empty:
                raise LinkError(f"the replay has not started within {START_TIMEOUT_S:.0f} s; try again") from None
            if event is None:
                raise LinkError(f"the replay ended at once: {self._last_error_line()}")
            if event["kind"] == ERROR:
                raise LinkError(f"the replay cannot start: {event['text']}")
            if event["kind"] == "listening":
                return int(event["port"])

    def _last_error_line(self) -> str:
        code = self._process.wait(STOP_TIMEOUT_S) if self._process else None
        self._errors.seek(0)
        lines = self._errors.read().decode("utf8", "replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {code}"
