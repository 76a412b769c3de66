"""The replay server as a process of its own: `python -m CRLMSegmentationLib.recording SOURCE`.

Events go to stdout, one JSON object per line; the first that matters is {"kind": "listening", "port": ...}.
The process ends with Ctrl-C, when its stdin reaches the end, and when its parent dies.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict

from ..core.errors import CrlmError
from .player import ReplayEvent, run_replay


def main() -> int:
    """Return the exit code: 0 fine, 1 failed, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="replay", description="Play a case or a volume over OpenIGTLink.")
    parser.add_argument("source", help="case folder, tracked sweep or volume file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--loop", action="store_true")
    parser.add_argument("--skip-sweep", action="store_true", help="begin at the first volume")
    parser.add_argument("--calibration", help="of a sweep: 16 numbers, or a file")
    parser.add_argument("--await-reconstruction", action="store_true", help="begin when a client wants a volume of it")
    a = parser.parse_args()
    try:
        run_replay(
            a.source,
            a.host,
            a.port,
            a.speed,
            a.loop,
            _report,
            a.skip_sweep,
            _parent_gone(),
            a.calibration,
            await_reconstruction=a.await_reconstruction,
        )
        return 0
    except (BrokenPipeError, KeyboardInterrupt):
        return 0
    except CrlmError as error:
        _print({"kind": "error", "text": str(error)})
        return 1


def _report(event: ReplayEvent) -> None:
    _print(asdict(event))


def _print(entry: dict[str, object]) -> None:
    print(json.dumps(entry), flush=True)


def _parent_gone() -> Callable[[], bool]:
    """Return a function that tells whether the parent process has ended: stdin is closed, or the parent is another."""
    parent, ended = os.getppid(), threading.Event()

    def read_to_the_end() -> None:
        # os.read, since a daemon thread that holds the lock of sys.stdin breaks the interpreter's end.
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        ended.set()

    threading.Thread(target=read_to_the_end, daemon=True).start()
    return lambda: ended.is_set() or os.getppid() != parent


if __name__ == "__main__":
    sys.exit(main())
