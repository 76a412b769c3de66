"""Common parts of the training processes: log of nnU-Net's prints, messages to the parent, end of the process."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...core.errors import CrlmError
from ...core.parent_process import ParentProcess

EXIT_FAILED, EXIT_CRASHED = 3, 1
Send = Callable[[Mapping[str, Any]], None]
"""Tells the parent; {"type": ..., ...}, see `progress` for what there is."""


def run_step(step: Callable[[Send], None], log: Path) -> None:
    """Run a step as the child process of `step_queue.Step`, and end this process.

    What is printed goes to the end of the log. When the parent is gone, so is this process with all it has started.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent decides
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads halve the speed beside other programs
    parent = ParentProcess(log)
    faulthandler.enable()
    parent.watch(_end_with_parent)
    code = EXIT_CRASHED
    try:
        step(parent.send)
        code = 0
    except CrlmError as error:
        parent.send({"type": "failed", "reason": str(error)})
        code = EXIT_FAILED
    except MemoryError:
        parent.send({"type": "failed", "reason": "memory ran out; close other programs, or take a smaller preset"})
        code = EXIT_FAILED
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # nnU-Net may have left threads and processes that would hold us up


def _end_with_parent() -> None:
    """End this process with all that it has started."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():  # our own group, with nnU-Net's processes
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(EXIT_CRASHED)
