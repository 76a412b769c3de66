"""How a recorded case goes over OpenIGTLink: what is sent when, under which name and time.

Messages keep the time at which they were recorded, so that each replay gives the same volume identity and the
same results. Their age must be judged by when they arrive.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Union

from ..core.case import Case, TrackingSample, load_case
from ..core.errors import CaseError
from ..core.volume import Volume, read_volume
from ..igtl.messages import TRANSFORM_STATUS_KEY, ImageMessage, Message, TransformMessage, image_of
from ..igtl.server import DEFAULT_PORT, IgtlServer

DEFAULT_DEVICE = "recvol_Reference"
"""What PLUS calls a reconstructed volume; the name of a volume that comes from a file."""
POLL_S = 0.05

Source = Union[Case, Volume]


@dataclass(frozen=True, eq=False)
class TimedMessage:
    """A message, and how many seconds after the start of the recording it goes out."""

    offset_s: float
    message: Message


@dataclass(frozen=True)
class ReplayEvent:
    """What a replay tells about itself.

    Attributes:
        kind: listening, clients, volume, finished (all played), stopped.
        text: the same in words.
        port: where the server listens.
        clients: how many are connected.
    """

    kind: str
    text: str
    port: int
    clients: int = 0


def load_source(path: Path | str) -> Source:
    """A case folder or a single volume file.

    Raises:
        CaseError, VolumeError, GeometryError: neither of them, or damaged.
    """
    path = Path(path)
    return load_case(path) if path.is_dir() else replace(read_volume(path), device=DEFAULT_DEVICE)


def timeline(source: Source) -> tuple[TimedMessage, ...]:
    """All messages of a recording in the order of their times; volumes before transforms of the same time.

    A volume whose time is unknown (0) belongs to the start.

    Raises:
        CaseError: a time is no number.
    """
    if isinstance(source, Volume):
        return (TimedMessage(0.0, image_of(source)),)
    volumes = [image_of(source.volume(index)) for index in range(len(source.volumes))]
    messages: list[Message] = [*volumes, *(_transform_of(sample) for sample in source.tracking_samples())]
    if any(not math.isfinite(m.timestamp_s) or m.timestamp_s < 0 for m in messages):
        raise CaseError(f"{source.case_id} holds times that are no numbers; restore the case from its source")
    known = [m.timestamp_s for m in messages if m.timestamp_s > 0]
    start_s = min(known, default=0.0)
    timed = [TimedMessage(max(0.0, m.timestamp_s - start_s), m) for m in messages]
    return tuple(sorted(timed, key=lambda t: t.offset_s))


def from_first_volume(messages: Iterable[TimedMessage]) -> tuple[TimedMessage, ...]:
    """Leave out what was recorded before the first volume: the sweep from which it was made."""
    messages = tuple(messages)
    first_s = next((m.offset_s for m in messages if isinstance(m.message, ImageMessage)), 0.0)
    return tuple(TimedMessage(m.offset_s - first_s, m.message) for m in messages if m.offset_s >= first_s)


def _transform_of(sample: TrackingSample) -> TransformMessage:
    metadata = {TRANSFORM_STATUS_KEY: sample.status}
    return TransformMessage(sample.device, sample.timestamp_s, sample.matrix, metadata)


class Player:
    """Plays a timeline on a server.

    Args:
        speed: 2 plays twice as fast, `math.inf` without a pause.
        stop: asked often; True ends the play.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        messages: Iterable[TimedMessage],
        server: IgtlServer,
        speed: float = 1.0,
        loop: bool = False,
        on_event: Callable[[ReplayEvent], None] = lambda event: None,
        stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not speed > 0:
            raise CaseError(f"the speed of a replay must be above 0, got {speed}")
        self.messages, self.server, self.speed, self.loop = tuple(messages), server, speed, loop
        self._on_event, self._stop, self._clock = on_event, stop, clock
        self._clients = 0

    def run(self) -> None:
        """Wait for a first client, play, then serve the volumes to whoever connects, until stopped."""
        self.report("listening", f"{len(self.messages)} messages on {self.server.host} port {self.server.port}")
        self._serve_until(lambda: bool(self.server.clients))
        while not self._stop():
            self.play_once()
            if not self.loop:
                self.report("finished", "all was played; the last volumes are served on")
                self._serve_until(lambda: False)

    def play_once(self) -> None:
        """Play from start to end; returns early when stopped."""
        start_s = self._clock()
        for timed in self._due(start_s):
            is_volume = isinstance(timed.message, ImageMessage)
            self.server.broadcast(timed.message, retain=is_volume)
            if is_volume:
                self.report("volume", f"{timed.message.device} at {timed.offset_s:.2f} s")
        self._poll(0.0)

    def _due(self, start_s: float) -> Iterator[TimedMessage]:
        for timed in self.messages:
            due_s = start_s + timed.offset_s / self.speed
            self._poll(0.0)
            self._serve_until(lambda due_s=due_s: self._clock() >= due_s, due_s)
            if self._stop():
                return
            yield timed

    def _serve_until(self, done: Callable[[], bool], end_s: float = math.inf) -> None:
        while not done() and not self._stop():
            self._poll(min(POLL_S, end_s - self._clock()))

    def _poll(self, timeout_s: float) -> None:
        self.server.poll(timeout_s)
        if len(self.server.clients) != self._clients:
            self._clients = len(self.server.clients)
            self.report("clients", f"{self._clients} connected")

    def report(self, kind: str, text: str) -> None:
        """Tell what has happened."""
        self._on_event(ReplayEvent(kind, text, self.server.port, self._clients))


def run_replay(
    source: Path | str,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    speed: float = 1.0,
    loop: bool = False,
    on_event: Callable[[ReplayEvent], None] = lambda event: None,
    skip_sweep: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Serve a recording until `stop` says so or Ctrl-C is pressed.

    Args:
        source: a case folder or a volume file.
        port: 0 takes a free one; the event "listening" tells which.
        skip_sweep: begin at the first volume, see `from_first_volume`.

    Raises:
        CaseError, VolumeError, GeometryError: the source cannot be played.
        LinkError: the port cannot be had.
    """
    messages = timeline(load_source(source))
    messages = from_first_volume(messages) if skip_sweep else messages
    with IgtlServer(host, port) as server:
        player = Player(messages, server, speed, loop, on_event, stop)
        with contextlib.suppress(KeyboardInterrupt):
            player.run()
        player.report("stopped", "the replay has ended")
