"""Sends a recording over OpenIGTLink at its recorded times."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..core.errors import CaseError, MessageError
from ..core.json_files import Damage
from ..igtl.messages import Message, PatientFrame
from ..igtl.server import IgtlServer
from ..igtl.sockets import DEFAULT_PORT
from ..tracking.sweeps.calibration import read_calibration
from .reconstruction_service import ReconstructionService
from .sweep_messages import RecordedSweep, notes_on
from .timed_message import TimedMessage
from .timeline import from_first_volume, lines_file_of, load_source, timeline

logger = logging.getLogger(__name__)

POLL_S = 0.05
MIN_TURN_S = 1.0
"""A shorter turn of a loop is followed by a pause, lest a single volume be sent without end."""


@dataclass(frozen=True)
class ReplayEvent:
    """A report of a replay about its progress.

    Attributes:
        kind: note (what was decided to play it, what is left out), listening, clients, volume, finished (all played),
            stopped.
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

    Attributes:
        left_out: messages of a recording that are damaged, or that OpenIGTLink cannot carry again.

    Args:
        speed: 2 plays twice as fast, `math.inf` without a pause.
        stop: asked often; True ends the play.
        clock: seconds that never go back.
        on_sent: gets each message that has gone out.
        may_begin: asked before each turn, when a client is there.
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
        on_sent: Callable[[Message], None] = lambda message: None,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        if not speed > 0:
            raise CaseError(f"the speed of a replay must be above 0, got {speed}")
        self.messages, self.server, self.speed, self.loop = tuple(messages), server, speed, loop
        self._on_event, self._stop, self._clock, self._on_sent = on_event, stop, clock, on_sent
        self._may_begin = may_begin
        self._clients = 0
        self.left_out = 0

    def run(self) -> None:
        """Wait for a first client, play, then serve the volumes to whoever connects, until stopped.

        In a loop, each turn waits for a client.
        """
        self.report("listening", f"{len(self.messages)} messages on {self.server.host} port {self.server.port}")
        while not self._stop():
            self._serve_until(lambda: bool(self.server.clients) and self._may_begin())
            next_turn_s = self._clock() + MIN_TURN_S
            self.play_once()
            if not self.loop:
                without = f", {self.left_out} damaged messages left out" if self.left_out else ""
                self.report("finished", f"all was played{without}; the last volumes are served on")
                next_turn_s = math.inf
            self._serve_until(partial(self._is_past, next_turn_s), next_turn_s)

    def play_once(self) -> None:
        """Play from start to end; returns early when stopped."""
        start_s = self._clock()
        for timed in self._due(start_s):
            if self._send(timed) and timed.is_volume:
                self.report("volume", f"{timed.device} at {timed.offset_s:.2f} s")
        self._poll(0.0)

    def _send(self, timed: TimedMessage) -> bool:
        try:
            message = timed.load()
            self.server.broadcast(message, retain=timed.is_volume)
        except (CaseError, MessageError) as error:
            logger.warning("left out at %.2f s: %s", timed.offset_s, error)
            self.left_out += 1
            return False
        self._on_sent(message)
        return True

    def _is_past(self, moment_s: float) -> bool:
        return self._clock() >= moment_s

    def _due(self, start_s: float) -> Iterator[TimedMessage]:
        for timed in self.messages:
            due_s = start_s + timed.offset_s / self.speed
            self._poll(0.0)
            self._serve_until(partial(self._is_past, due_s), due_s)
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
        """Report an event of the replay."""
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
    calibration: str | Path | None = None,
    frame: PatientFrame = PatientFrame.RAS,
    await_reconstruction: bool = False,
) -> None:
    """Serve a recording until `stop` says so or Ctrl-C is pressed.

    While a tracked sweep is played, clients can have volumes reconstructed from it, with the commands of PLUS.

    Args:
        source: a case folder, a tracked sweep or a volume file.
        port: 0 takes a free one; the event "listening" tells which.
        skip_sweep: begin at the first volume, see `from_first_volume`.
        calibration: of the probe of a sweep, see `sweeps.calibration.read_calibration`.
        frame: in which the clients count.
        await_reconstruction: begin to play a sweep when a client has it reconstructed, so that no frame is missed.

    Raises:
        CaseError, SweepError, VolumeError, GeometryError: the source cannot be played.
        LinkError: the port cannot be had.
    """
    loaded = load_source(source, None if calibration is None else read_calibration(calibration))
    damage = Damage()
    messages = timeline(loaded, damage)
    messages = from_first_volume(messages) if skip_sweep else messages
    service = ReconstructionService(loaded) if isinstance(loaded, RecordedSweep) else None
    with IgtlServer(host, port, frame, answer=service.answer if service else None) as server:
        on_sent = service.take if service else lambda message: None
        may_begin = (lambda: service.is_taking) if service and await_reconstruction else (lambda: True)
        for note in notes_on(loaded) if isinstance(loaded, RecordedSweep) else ():
            on_event(ReplayEvent("note", f"Note: {note}", server.port))
        player = Player(messages, server, speed, loop, on_event, stop, on_sent=on_sent, may_begin=may_begin)
        if damage.is_any:
            player.report("note", damage.sentence(lines_file_of(loaded)))
        with contextlib.suppress(KeyboardInterrupt):
            player.run()
        player.report("stopped", "the replay has ended")
