"""Runs a recording: chooses a folder, records until a limit or Ctrl-C, and makes a case of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import LinkError
from ..core.progress import OnProgress
from ..igtl.dialects import PLUS, Dialect
from ..igtl.sockets import DEFAULT_PORT, check_port
from .folder import FolderState, claimed, discard_empty, next_free, release_reserve, state_of
from .link_recorder import ACCOUNT_EVERY_S, Account, Recorder
from .message_log_writer import RecordingError
from .recovery import finish_recording, recover
from .summary import Recorded, sentence_of

STOPPED = "stopped"
DURATION_REACHED = "the duration was reached"
SIZE_REACHED = "the size was reached"


@dataclass(frozen=True)
class RecordingLimits:
    """The limits at which a recording ends by itself: seconds and bytes; None for none."""

    duration_s: float | None = None
    max_bytes: float | None = None


def run_record(
    host: str,
    port: int = DEFAULT_PORT,
    out: Path | str = "recording",
    limits: RecordingLimits = RecordingLimits(),
    on_account: Callable[[Account], None] = lambda account: None,
    on_note: Callable[[str], None] = lambda text: None,
    on_progress: OnProgress = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
    peer: Dialect = PLUS,
    live_volumes: bool = False,
) -> Recorded:
    """Record into a folder until `stop` says so, a limit is reached, or Ctrl-C is pressed; then make a case of it.

    Args:
        out: made where need be. Where a recording lies there already, it is finished if it was not, and this one
            goes to the next free name beside it.
        on_account: called about five times a second.
        on_note: told where it is recorded to, and what was found there.
        on_progress: called while a recording is made into a case.
        peer: what the sender is.
        live_volumes: have PLUS reconstruct a volume, and ask for it every second.

    Raises:
        RecordingError: the folder cannot be used; or the disk was full, and then the message says what was kept.
        LinkError: the port is no port, or nothing came.
        KeyboardInterrupt: Ctrl-C while the case was being made; `recover` goes on.
    """
    check_port(port, lowest=1)
    folder = _choose_folder(Path(out), on_note, on_progress)
    with claimed(folder):
        on_note(f"Recording {host}:{port} into {folder}; end with Ctrl-C")
        recorder = Recorder(host, port, folder, peer=peer, live_volumes=live_volumes)
        failure, reason = _record(recorder, limits, on_account, stop)
        if state_of(folder) is FolderState.FREE:
            discard_empty(folder)
            raise failure or LinkError(f"nothing came from {host}:{port}, so nothing is recorded; the link: {reason}")
        recorded = finish_recording(folder, on_progress)
    if failure is not None:
        raise RecordingError(
            f"the recording ended since {failure}; kept in {folder}: {sentence_of(recorded)}; "
            "free some space before you go on"
        ) from failure
    return recorded


def _choose_folder(out: Path, on_note: Callable[[str], None], on_progress: OnProgress) -> Path:
    """Return the folder to record to; finish a recording that a crash has left there.

    Raises:
        RecordingError: other files lie there, or another program is recording there.
    """
    state = state_of(out)
    if state is FolderState.FREE:
        return out
    if state is FolderState.OTHER:
        raise RecordingError(f"{out} holds other files than a recording; name a new folder with --out")
    if state is FolderState.UNFINISHED:
        recovered = recover(out, on_progress)
        on_note(f"{out} held a recording that was not finished; it is a case now: {sentence_of(recovered)}")
    return next_free(out)


def _record(
    recorder: Recorder, limits: RecordingLimits, on_account: Callable[[Account], None], stop: Callable[[], bool]
) -> tuple[RecordingError | None, str]:
    """Record until something ends it; return what has failed, if anything, and the state of the link."""
    failure, why = None, STOPPED
    try:
        why = _run(recorder, limits, on_account, stop)
    except KeyboardInterrupt:
        pass
    except RecordingError as error:
        failure, why = error, str(error)
        release_reserve(recorder.folder)  # so that the message log can still say why
    finally:
        reason = recorder.client.state_reason or recorder.client.state.value
        recorder.end(why)
    return failure, reason


def _run(
    recorder: Recorder, limits: RecordingLimits, on_account: Callable[[Account], None], stop: Callable[[], bool]
) -> str:
    due_s = 0.0
    while not stop():
        recorder.step()
        if recorder.elapsed_s >= due_s:
            on_account(recorder.account())
            due_s = recorder.elapsed_s + ACCOUNT_EVERY_S
        if limits.duration_s is not None and recorder.elapsed_s >= limits.duration_s:
            return DURATION_REACHED
        if limits.max_bytes is not None and recorder.link_log.log.recorded_bytes >= limits.max_bytes:
            return SIZE_REACHED
    return STOPPED
