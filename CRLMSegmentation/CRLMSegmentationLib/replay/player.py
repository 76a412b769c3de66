"""How a recording goes over OpenIGTLink: a server sends what is due."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import CaseError
from ..igtl.server import IgtlServer
from ..igtl.sockets import DEFAULT_PORT
from .timeline import TimedMessage, from_first_volume, load_source, timeline

POLL_S = 0.05
MIN_TURN_S = 1.0
"""A shorter turn of a loop is followed by a pause, lest a single volume be sent without end."""


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
        """Wait for a first client, play, then serve the volumes to whoever connects, until stopped.

        In a loop, each turn waits for a client.
        """
        self.report("listening", f"{len(self.messages)} messages on {self.server.host} port {self.server.port}")
        while not self._stop():
            self._serve_until(lambda: bool(self.server.clients))
            next_turn_s = self._clock() + MIN_TURN_S
            self.play_once()
            if not self.loop:
                self.report("finished", "all was played; the last volumes are served on")
                next_turn_s = math.inf
            self._serve_until(lambda end_s=next_turn_s: self._clock() >= end_s, next_turn_s)

    def play_once(self) -> None:
        """Play from start to end; returns early when stopped."""
        start_s = self._clock()
        for timed in self._due(start_s):
            self.server.broadcast(timed.load(), retain=timed.is_volume)
            if timed.is_volume:
                self.report("volume", f"{timed.device} at {timed.offset_s:.2f} s")
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
