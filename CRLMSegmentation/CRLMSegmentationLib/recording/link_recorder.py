"""Records an OpenIGTLink connection, every message as it came, and reports the state of the recording."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..igtl.client import IgtlClient
from ..igtl.dialects import PLUS, Dialect
from ..igtl.link import LinkState
from ..igtl.live_reconstruction import LiveReconstruction, LiveState
from ..igtl.statistics import DropReason
from .folder import free_bytes_at
from .link_log import LinkLog
from .message_log_writer import RecordingError
from .summary import LOST, ODD

POLL_S = 0.05
ACCOUNT_EVERY_S = 0.2
RATE_WINDOW_S = 2.0
NOTED_AT_THE_END = (DropReason.NAME_CUT, DropReason.FRAME_LABEL)
"""Of what was recorded; the rest is found again when the recording is read."""
LAST_VOLUME_S = 10.0
"""How long the end of a recording waits for the last volume of a reconstruction."""


@dataclass(frozen=True)
class Account:
    """The state of a recording, for a display.

    Attributes:
        state: of the link; `reason` says why it is not connected.
        volumes: images of more than one slice among the messages.
        rates_hz: messages a second by device, over the last `RATE_WINDOW_S`; 0 for one that has fallen silent.
        free_bytes: on the disk that is recorded to.
        left_s: how long the disk lasts at this rate; None while nothing comes.
        lost: messages that could not be recorded, by reason.
        unreadable: messages that are recorded, but whose content is damaged.
        unknown: messages that are recorded, but whose type this program does not know, by type.
        problem: the newest reason for either, or nothing.
    """

    folder: Path
    address: str
    elapsed_s: float
    state: LinkState
    reason: str
    messages: int
    volumes: int
    recorded_bytes: int
    bytes_per_s: float
    rates_hz: dict[str, float]
    free_bytes: int
    left_s: float | None
    lost: dict[str, int]
    unreadable: int
    reconnections: int
    problem: str
    unknown: dict[str, int] = field(default_factory=dict)


class _Snapshot(NamedTuple):
    at_s: float
    recorded_bytes: int
    counts: Counter[str]


class Recorder:
    """The recorder of one connection; `step` must be called without a pause.

    Args:
        folder: for `messages.igtl` and `arrivals.jsonl`, which must not be there yet.
        clock: seconds that never go back.
        peer: what the sender is.
        live_volumes: have PLUS reconstruct a volume, and ask for it every second.

    Raises:
        LinkError: the port is no port.
        RecordingError: nothing can be written there.
    """

    def __init__(
        self,
        host: str,
        port: int,
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
        peer: Dialect = PLUS,
        live_volumes: bool = False,
    ) -> None:
        self.folder = folder
        self._clock, self._started_at_s = clock, clock()
        self.link_log = LinkLog(folder)
        self.client = IgtlClient(host, port, on_message=self.link_log.append, **peer.client_options)
        self.live = LiveReconstruction(self.client) if live_volumes else None
        if self.live is not None:
            self.live.start()
        self._connections, self._was_connected = 0, False
        self._dropped: Counter[str] = Counter()
        self._snapshots = deque([_Snapshot(self._started_at_s, 0, Counter())])
        self.link_log.begin(host, port, peer)

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._started_at_s

    def step(self) -> None:
        """Record what arrives within `POLL_S` seconds.

        Raises:
            RecordingError: the disk takes no more.
        """
        self.client.wait(POLL_S) if self.live is None else self.live.wait(POLL_S)
        self._note_link()
        self._note_losses()

    def account(self) -> Account:
        """Return the state now; meant to be called about every `ACCOUNT_EVERY_S` seconds."""
        log = self.link_log.log
        counts, recorded_bytes = log.counts, log.recorded_bytes
        free_bytes = free_bytes_at(self.folder)
        first = self._window_start()
        seconds = max(self._snapshots[-1].at_s - first.at_s, ACCOUNT_EVERY_S)
        bytes_per_s = (recorded_bytes - first.recorded_bytes) / seconds
        statistics = self.client.statistics
        return Account(
            folder=self.folder,
            address=self.client.address,
            elapsed_s=self.elapsed_s,
            state=self.client.state,
            reason=self.client.state_reason or (self.live.live_reason if self.live else ""),
            messages=log.messages,
            volumes=log.volumes,
            recorded_bytes=recorded_bytes,
            bytes_per_s=bytes_per_s,
            rates_hz={device: max(0, counts[device] - first.counts[device]) / seconds for device in counts},
            free_bytes=free_bytes,
            left_s=free_bytes / bytes_per_s if bytes_per_s else None,
            lost={reason: count for reason, count in statistics.dropped.items() if reason != DropReason.BODY.value},
            unreadable=statistics.dropped[DropReason.BODY.value],
            reconnections=max(0, statistics.connections - 1),
            problem=statistics.last_problem,
            unknown=dict(statistics.skipped),
        )

    def end(self, why: str) -> None:
        """Record why it ends, unless the disk fails, and close connection and recording."""
        self._end_live_volumes()
        under_way = self.client.receiving
        about = {"under_way": under_way.device} if under_way else {}
        self.client.close()
        with contextlib.suppress(RecordingError):
            self._note_losses()
            self._note_oddities()
        with contextlib.suppress(RecordingError):
            self.link_log.end(why, **about)

    def _end_live_volumes(self) -> None:
        """Stop the live reconstruction and record its last volume."""
        if self.live is None or self.client.state is not LinkState.CONNECTED:
            return
        self.live.stop()
        end_s = self._clock() + LAST_VOLUME_S
        with contextlib.suppress(RecordingError):
            while self.live.live_state is LiveState.STOPPING and self._clock() < end_s:
                self.step()

    def _window_start(self) -> _Snapshot:
        now_s = self._clock()
        self._snapshots.append(_Snapshot(now_s, self.link_log.log.recorded_bytes, self.link_log.log.counts.copy()))
        while len(self._snapshots) > 2 and self._snapshots[1].at_s < now_s - RATE_WINDOW_S:
            self._snapshots.popleft()
        return self._snapshots[0]

    def _note_link(self) -> None:
        is_connected = self.client.state is LinkState.CONNECTED
        connections = self.client.statistics.connections
        was_replaced = connections > self._connections and self._was_connected
        if self._was_connected and (not is_connected or was_replaced):
            self.link_log.note(False, self.client.state_reason)
        if connections > self._connections:
            self.link_log.note(True)
        self._connections, self._was_connected = connections, is_connected

    def _note_losses(self) -> None:
        statistics = self.client.statistics
        dropped = Counter(statistics.dropped)
        first_text = {problem.kind.value: problem.text for problem in statistics.problems}
        for reason, count in (dropped - self._dropped).items():
            if reason != DropReason.BODY.value:  # those are recorded, and counted when they are read
                self.link_log.log.note(LOST, reason=reason, count=count, text=first_text[reason])
        self._dropped = dropped

    def _note_oddities(self) -> None:
        """Record warnings about recorded messages: names that may be cut, images that name another frame."""
        for problem in self.client.statistics.problems:
            if problem.kind in NOTED_AT_THE_END:
                about = {"reason": problem.kind.value, "device": problem.device, "text": problem.text}
                self.link_log.log.note(ODD, count=problem.count, **about)
