"""A child process with non-blocking pipes, which is killed together with all processes that it has started.

No threads: in 3D Slicer they starve. Works on Linux and macOS; on Windows non-blocking pipes need Python 3.12,
and the tree is ended by `taskkill` (not tested there).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
import weakref
from collections import deque
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import IO

from .errors import WorkerError
from .frames import Frame, FrameReader

STDERR_LINES = 40
STDERR_CHUNK_BYTES = 1 << 14
MAX_LINE_BYTES = 2000
WRITE_CHUNK_BYTES = 1 << 20
LINUX_SET_PIPE_SIZE = 1031
"""fcntl's F_SETPIPE_SZ, which Python names only from 3.10 on."""
PIPE_BYTES = 1 << 20
IDLE_SLEEP_S = 0.005
if sys.platform == "win32":
    CREATION_FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
else:
    CREATION_FLAGS = 0


class ChildProcess:
    """A running child process with pipes for frames in both directions.

    Attributes:
        pid: of the child, which leads its own process group.
        drained: the last `read` has emptied the pipe.
    """

    def __init__(self, command: Sequence[str], folder: Path, env: dict[str, str] | None = None) -> None:
        """Start the child process.

        Args:
            folder: its working directory.

        Raises:
            WorkerError: there is no such program, or it cannot be started.
        """
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=str(folder),
                env=env,
                creationflags=CREATION_FLAGS,
                start_new_session=sys.platform != "win32",
            )
        except OSError as error:
            raise WorkerError(f"{command[0]!r} cannot be started: {error}") from error
        self.pid = self._process.pid
        self.drained = False
        self._last_resort = weakref.finalize(self, _kill_tree, self._process)  # runs at exit as well
        self._stdin, self._stdout, self._stderr = map(
            _unbuffered, (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._pipes = (self._stdin, self._stdout, self._stderr)
        for pipe in self._pipes:
            _make_non_blocking(pipe.fileno())
        self._reader = FrameReader()
        self._unsent: deque[memoryview] = deque()
        self._line = b""
        self._stderr_lines: deque[str] = deque(maxlen=STDERR_LINES)

    @property
    def exit_code(self) -> int | None:
        """The exit code, None while the process runs; a negative one is the number of the signal that ended it."""
        return self._process.poll()

    @property
    def stderr_tail(self) -> str:
        """The last lines that the process has written to stderr."""
        return "\n".join([*self._stderr_lines, *([_text(self._line)] if self._line else [])])

    def send(self, parts: Sequence[memoryview]) -> None:
        """Queue bytes, which `write` sends."""
        self._unsent.extend(part for part in parts if len(part))

    def write(self, deadline_s: float) -> None:
        """Send queued bytes until the pipe is full or `time.monotonic()` reaches the deadline."""
        while self._unsent and time.monotonic() < deadline_s:
            part = self._unsent.popleft()
            try:
                count = self._stdin.write(part[:WRITE_CHUNK_BYTES])
            except OSError:  # its end of the pipe is closed; the exit code tells why
                self._unsent.clear()
                return
            if not count or count < len(part):
                self._unsent.appendleft(part[count or 0 :])
            if not count:
                return

    def read(self, deadline_s: float) -> list[Frame]:
        """Return the frames that have arrived; read no longer than until the deadline.

        Raises:
            WorkerError: what arrived is no frame.
        """
        frames: list[Frame] = []
        self.drained = False
        while time.monotonic() < deadline_s:
            count = self._stdout.readinto(self._reader.wanted())
            if not count:  # None: nothing there; 0: closed
                self.drained = True
                break
            frame = self._reader.filled(count)
            if frame is not None:
                frames.append(frame)
        return frames

    def read_stderr(self) -> None:
        """Read what the process has written to stderr, and keep the last lines."""
        chunk = self._stderr.read(STDERR_CHUNK_BYTES)
        if chunk:
            *lines, rest = (self._line + chunk).split(b"\n")
            self._stderr_lines.extend(_text(line) for line in lines if line.strip())
            self._line = rest[-MAX_LINE_BYTES:]

    def wait_readable(self, timeout_s: float) -> None:
        """Sleep until a pipe can be read (or written, where bytes are queued), for `timeout_s` at most."""
        if sys.platform == "win32":
            time.sleep(min(timeout_s, IDLE_SLEEP_S))
            return
        select.select([self._stdout, self._stderr], [self._stdin] if self._unsent else [], [], max(0.0, timeout_s))

    def kill(self) -> None:
        """Kill the process and all that it has started; return at once, before `exit_code` is known."""
        _kill_tree(self._process)

    def stop(self, timeout_s: float) -> None:
        """Close stdin, which asks a `parent_process` to end; kill what still runs after `timeout_s`.

        Raises:
            WorkerError: it cannot be killed.
        """
        self._stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        self.end(timeout_s)

    def end(self, timeout_s: float) -> None:
        """Kill the process, wait until it has ended, and close the pipes.

        Raises:
            WorkerError: it still runs after `timeout_s`.
        """
        self.kill()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise WorkerError(f"the process {self.pid} does not end; end it by hand") from error
        self.release()

    def release(self) -> None:
        """Close the pipes of a process that has ended."""
        self._last_resort.detach()
        for pipe in self._pipes:
            pipe.close()


def _unbuffered(pipe: IO[bytes] | None) -> FileIO:
    """Return a pipe of a process that was started with `bufsize=0` by its real type, whose reads never block."""
    if not isinstance(pipe, FileIO):
        raise TypeError(f"expected an unbuffered pipe, got {pipe!r}")
    return pipe


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        if process.poll() is None:
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(process.pid, signal.SIGKILL)


def _make_non_blocking(descriptor: int) -> None:
    if sys.platform == "win32" and sys.version_info < (3, 12):
        raise WorkerError("non-blocking pipes need Python 3.12 or newer on Windows")
    os.set_blocking(descriptor, False)
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # over the user's limit: slower, not wrong
            fcntl.fcntl(descriptor, LINUX_SET_PIPE_SIZE, PIPE_BYTES)


def _text(line: bytes) -> str:
    return line[-MAX_LINE_BYTES:].decode(errors="replace").rstrip()
