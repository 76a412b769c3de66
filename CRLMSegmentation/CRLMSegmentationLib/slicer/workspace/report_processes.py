"""Child processes that write pages of reports for a workspace."""

from __future__ import annotations

from collections.abc import Callable

from ...core.child_process import ChildProcess

END_TIMEOUT_S = 10.0


def poll_processes(children: list[ChildProcess], note: Callable[[str], None]) -> None:
    """Release the processes that have ended, and note those that have failed; call it at each turn."""
    for child in children:
        child.read_stderr()
    for child in [child for child in children if child.exit_code is not None]:
        if child.exit_code != 0:
            note(f"the page of the report was not written: {child.stderr_tail}")
        child.release()
        children.remove(child)


def end_processes(children: list[ChildProcess]) -> None:
    """End all processes with everything they have started."""
    for child in children:
        child.end(END_TIMEOUT_S)
    children.clear()
