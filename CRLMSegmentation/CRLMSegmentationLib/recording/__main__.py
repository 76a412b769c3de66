"""The replay server as a process of its own: `python -m CRLMSegmentationLib.recording SOURCE`.

Its reports go to the parent as frames, {"type", "text", "port", "clients"}, where the type is the kind of a
`player.ReplayEvent`; the first that matters is "listening". It ends with Ctrl-C, when its stdin is closed, and with its
parent.
"""

from __future__ import annotations

import argparse
import sys

from ..core.errors import CrlmError
from ..core.parent_process import ParentProcess
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
    parent = ParentProcess()
    parent.watch()

    def report(event: ReplayEvent) -> None:
        parent.send({"type": event.kind, "text": event.text, "port": event.port, "clients": event.clients})

    try:
        run_replay(
            a.source,
            a.host,
            a.port,
            a.speed,
            a.loop,
            report,
            a.skip_sweep,
            lambda: parent.has_ended,
            a.calibration,
            await_reconstruction=a.await_reconstruction,
        )
        return 0
    except KeyboardInterrupt:
        return 0
    except CrlmError as error:
        parent.send({"type": "error", "text": str(error)})
        return 1


if __name__ == "__main__":
    sys.exit(main())
