"""The child's side of `child_process`: frames to and from the parent process, and the end with it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from .frames import Frame, FrameReader, encode


class ParentProcess:
    """The other end of the pipes of this process.

    Frames go through what was stdout. What is printed goes to stderr from now on, or with stderr to the end of a log.
    """

    def __init__(self, log: Path | None = None) -> None:
        _make_binary()
        self._input = io.FileIO(0, "r", closefd=False)
        self._output = io.FileIO(os.dup(1), "w")
        self._lock = threading.Lock()
        self._pid, self._ended = os.getppid(), threading.Event()
        if log is None:
            os.dup2(2, 1)
        else:
            _print_into(log)

    @property
    def has_ended(self) -> bool:
        """Whether the parent has ended or closed its pipe; known once `read` or `watch` has been called."""
        return self._ended.is_set() or os.getppid() != self._pid

    def send(self, header: Mapping[str, object], arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Send a frame; nothing happens when the parent no longer listens, which `read` and `watch` notice."""
        self.write(encode(dict(header), arrays))

    def write(self, parts: Iterable[memoryview]) -> None:
        """Send the parts of an encoded frame, see `send`."""
        with self._lock, contextlib.suppress(OSError):
            for part in parts:
                while part:
                    part = part[self._output.write(part) :]

    def read(self, on_frame: Callable[[Frame], None], on_end: Callable[[], None]) -> None:
        """Call `on_frame` with each frame that arrives, and `on_end` when there will be none; in a thread."""

        def read_to_the_end() -> None:
            reader = FrameReader()
            try:
                while True:
                    count = self._input.readinto(reader.wanted())
                    if not count:
                        break
                    frame = reader.filled(count)
                    if frame is not None:
                        on_frame(frame)
            finally:
                self._ended.set()
                on_end()

        threading.Thread(target=read_to_the_end, daemon=True).start()

    def watch(self, on_end: Callable[[], None] = lambda: None) -> None:
        """Call `on_end` in a thread when the parent has ended or has closed its pipe."""

        def ignore(frame: Frame) -> None:
            """Ignore what this process has not asked for."""

        self.read(ignore, on_end)


def _make_binary() -> None:
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (0, 1):
            msvcrt.setmode(descriptor, os.O_BINARY)


def _print_into(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for number in (1, 2):
        os.dup2(descriptor, number)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)
