"""Common parts of the training processes: log of nnU-Net's prints, messages to the parent, end of the process."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...core.errors import CrlmError
from ...core.frames import encode

EXIT_FAILED, EXIT_CRASHED = 3, 1
Send = Callable[[Mapping[str, Any]], None]
"""Tells the parent; {"type": ..., ...}, see `progress` for what there is."""


def run_step(step: Callable[[Send], None], log: Path) -> None:
    """Run a step as the child process of `step_queue.Step`, and end this process.

    What is printed goes to the end of the log. When the parent is gone, so is this process with all it has started.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent decides
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads halve the speed beside other programs
    send = _take_over_pipes(log)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code = EXIT_CRASHED
    try:
        step(send)
        code = 0
    except CrlmError as error:
        send({"type": "failed", "reason": str(error)})
        code = EXIT_FAILED
    except MemoryError:
        send({"type": "failed", "reason": "memory ran out; close other programs, or take a smaller preset"})
        code = EXIT_FAILED
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # nnU-Net may have left threads and processes that would hold us up


def _take_over_pipes(log: Path) -> Send:
    """Send messages through what was stdout, and redirect stdout and stderr to the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    messages = io.FileIO(os.dup(1), "w")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for number in (1, 2):
        os.dup2(descriptor, number)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)
    faulthandler.enable()
    lock = threading.Lock()

    def send(message: Mapping[str, Any]) -> None:
        with lock, contextlib.suppress(OSError):  # a parent that is gone is seen by the other thread
            for part in encode(dict(message)):
                while part:
                    part = part[messages.write(part) :]

    return send


def _end_with_parent() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1 << 10):
            pass
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():  # our own group, with nnU-Net's processes
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(EXIT_CRASHED)
