"""Progress of `record` and `recover` on a terminal, and both commands without their options."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.text import printable
from ..igtl.dialects import PLUS, Dialect
from ..igtl.link import LinkState
from ..recording.link_recorder import Account
from ..recording.record import RecordingLimits, run_record
from ..recording.recovery import recover
from ..recording.summary import A_CRASH, refusal_lines, sentence_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

DRAWN_EVERY_S = 0.1
PLAIN_EVERY_S = 5.0
MAX_DEVICES = 12


def record_case(
    host: str,
    port: int,
    out: Path,
    duration_s: float | None = None,
    max_gb: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    peer: Dialect = PLUS,
    live_volumes: bool = False,
) -> list[str]:
    """Record until Ctrl-C or a limit, with progress on stderr.

    Args:
        host: `--host`: of the OpenIGTLink server: PLUS, a scanner, or the replay.
        port: `--port`: where it listens; OpenIGTLink's own is 18944.
        out: `--out`: folder of the case, made where need be; where a recording lies there already, the next free
            name beside it is taken, which is told.
        duration_s: `--duration`: end so many seconds after the start, connected or not.
        peer: `--peer`: what the sender is.
        live_volumes: `--live-volumes`: have PLUS reconstruct a volume, and ask for it every second.
        max_gb: `--max-gb`: end when so many gigabytes (10^9 bytes) are recorded, at the message that reaches it.

    Returns:
        A summary, in lines for stdout.

    Raises:
        CrlmError: the folder cannot be used, nothing came, or the disk was full; exit code 1.
    """
    limits = RecordingLimits(duration_s, None if max_gb is None else max_gb * 1e9)
    with display() as shown:
        recorded = run_record(
            host, port, out, limits, shown.account, shown.note, shown.progress, stop, peer, live_volumes
        )
    summary = [f"{recorded.folder}: {sentence_of(recorded)}", *refusal_lines(recorded)]
    return [*summary, f"Play it with: crlm-seg replay {recorded.folder}"]


def recover_case(folder: Path) -> list[str]:
    """Make a case of a recording that was ended by force, with progress on stderr.

    Returns:
        A summary, in lines for stdout.

    Raises:
        CrlmError: there is no recording, or no space for the case; exit code 1.
    """
    with display() as shown:
        recorded = recover(folder, shown.progress)
    ended = "" if recorded.ended_by == A_CRASH else f" (it was ended by: {recorded.ended_by})"
    return [f"{recorded.folder} is a case now{ended}: {sentence_of(recorded)}", *refusal_lines(recorded)]


class Display:
    """Shows the latest state; as a line every few seconds where `live` is None.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, console: Console, live: Live | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._live, self._clock = console, live, clock
        self._due_s = 0.0

    def account(self, account: Account) -> None:
        if self._is_due():
            self._draw(text_of(account) if self._live else line_of(account))

    def progress(self, what: str, done: int, total: int) -> None:
        if self._is_due():
            self._draw(f"Making a case of it: {what}, {done} of {total}")

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _is_due(self) -> bool:
        if self._clock() < self._due_s:
            return False
        self._due_s = self._clock() + (DRAWN_EVERY_S if self._live else PLAIN_EVERY_S)
        return True

    def _draw(self, text: Text | str) -> None:
        from rich.text import Text

        if self._live:
            self._live.update(Text(text) if isinstance(text, str) else text, refresh=True)
        else:
            self.note(str(text))


@contextmanager
def display(console: Console | None = None) -> Iterator[Display]:
    """Show progress on stderr while the block lasts, as a line every few seconds if it is no terminal."""
    from rich.console import Console
    from rich.live import Live

    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield Display(console, None)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield Display(console, live)


def line_of(account: Account) -> str:
    """Return the state of a recording in one line."""
    parts = [
        f"{account.elapsed_s:.0f} s: {_state(account)}",
        f"{account.messages} messages ({sum(account.rates_hz.values()):.0f} a second)",
        f"{account.volumes} volumes",
        f"{_size(account.recorded_bytes)} ({account.bytes_per_s / 1e6:.1f} MB/s)",
        _workspace(account),
        f"lost {sum(account.lost.values())}",
    ]
    return ", ".join(parts)


def text_of(account: Account) -> Text:
    """Return the state of a recording in several lines for a terminal, problems in red."""
    from rich.text import Text

    colour = "green" if account.state is LinkState.CONNECTED else "red"
    text = Text.assemble(("● ", colour), f"{_clock(account.elapsed_s)}  ", (_state(account), colour), "\n")
    text.append(f"  {account.messages} messages, {account.volumes} volumes, {_size(account.recorded_bytes)}")
    text.append(f" at {account.bytes_per_s / 1e6:.1f} MB/s; {_workspace(account)}\n")
    for device, rate_hz in sorted(account.rates_hz.items())[:MAX_DEVICES]:
        text.append(f"  {rate_hz:7.1f} Hz  {printable(device, 40)}\n", "" if rate_hz else "dim")
    if len(account.rates_hz) > MAX_DEVICES:
        text.append(f"  and {len(account.rates_hz) - MAX_DEVICES} more devices\n")
    text.append(_losses(account), "red" if account.lost or account.unreadable else "dim")
    return text


def _state(account: Account) -> str:
    back = f", link lost and found again {account.reconnections} times" if account.reconnections else ""
    reason = f" ({printable(account.reason)})" if account.reason else ""
    return f"{account.state.value} to {account.address}{reason}{back}"


def _losses(account: Account) -> str:
    parts = [f"{count} lost: {reason}" for reason, count in account.lost.items()]
    if account.unreadable:
        parts.append(f"{account.unreadable} unreadable, recorded as they came")
    if account.unknown:
        types = Counter(account.unknown).most_common(MAX_DEVICES)
        counts = ", ".join(f"{count} {printable(name, 40)}" for name, count in types)
        parts.append(f"not understood, recorded as they came: {counts}")
    newest = f" (last: {printable(account.problem)})" if account.problem else ""
    return f"  {'; '.join(parts)}{newest}" if parts else "  nothing lost"


def _workspace(account: Account) -> str:
    left = "" if account.left_s is None else f", enough for {_duration(account.left_s)}"
    return f"{_size(account.free_bytes)} free{left}"


def _size(count_bytes: float) -> str:
    return f"{count_bytes / 1e9:.1f} GB" if count_bytes >= 1e9 else f"{count_bytes / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds >= 48 * 3600:
        return "more than two days"
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"
