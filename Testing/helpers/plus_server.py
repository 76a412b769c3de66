"""A PLUS server as the panel meets one: plays a tracked sweep, and reconstructs it when it is asked to."""

from __future__ import annotations

import contextlib
import math
import secrets
import socket
import threading

import numpy as np
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.igtl.messages import Message, StringMessage
from CRLMSegmentationLib.igtl.plus_commands import PlusReply, command_of, pack_reply
from CRLMSegmentationLib.igtl.server import IgtlServer
from CRLMSegmentationLib.recording.player import Player
from CRLMSegmentationLib.recording.reconstruction_service import ReconstructionService
from CRLMSegmentationLib.recording.sweep_messages import RecordedSweep, messages_of_sweep
from CRLMSegmentationLib.tracking.sweeps.calibration import ProbeCalibration
from CRLMSegmentationLib.tracking.sweeps.sequence import TrackedSequence, TransformTrack

FRAME_S, REST_FRAMES = 0.04, 15
"""As slow as the tests can wait for: server and panel share one processor here, and none may fall behind."""


def sweep_over(volume: Volume) -> RecordedSweep:
    """The slices of a volume of 1 mm voxels as the frames of a probe that rests for a while, then moves along z."""
    slices = np.concatenate([np.zeros(REST_FRAMES, int), np.arange(len(volume.array))])
    count = len(slices)
    probe = np.tile(np.eye(4), (count, 1, 1))
    probe[:, 2, 3] = slices
    still, fine = np.tile(np.eye(4), (count, 1, 1)), ("OK",) * count
    tracks = {"ProbeToTracker": TransformTrack(probe, fine), "ReferenceToTracker": TransformTrack(still, fine)}
    times_s = 1000.0 + FRAME_S * np.arange(count)
    return RecordedSweep(
        TrackedSequence("sweep", volume.array[slices], times_s, fine, tracks), ProbeCalibration(np.eye(4))
    )


class PlusServer:
    """Serves in a thread while the `with` block lasts; sweeps again and again, so that no test must look in time.

    Args:
        failure: None answers as PLUS does, "" not at all; else every command fails with these words.
        slices: the sweep covers only so many slices until `sweep_on`; None for all.
        once: sweep once, from when a client has it reconstructed.

    Attributes:
        asked: names of the commands that have come.
    """

    def __init__(
        self,
        volume: Volume,
        port: int = 0,
        failure: str | None = None,
        slices: int | None = None,
        once: bool = False,
    ) -> None:
        sweep = sweep_over(volume)
        self._messages = tuple(messages_of_sweep(sweep))
        until_s = math.inf if slices is None else FRAME_S * (REST_FRAMES + slices - 0.5)
        first = [timed for timed in self._messages if timed.offset_s < until_s]
        self._service, self._failure, self.asked = ReconstructionService(sweep), failure, []
        self.server = IgtlServer(port=port, answer=self._answer)
        self._ended = threading.Event()
        self._player = Player(
            first,
            self.server,
            loop=not once,
            stop=self._ended.is_set,
            on_sent=self._service.take,
            may_begin=lambda: self._service.is_taking or not once,
        )
        self._thread = threading.Thread(target=self._player.run)
        self.port = self.server.port

    @property
    def clients(self) -> int:
        return len(self.server.clients)

    def sweep_on(self) -> None:
        """Cover the whole volume from the next sweep on."""
        self._player.messages = self._messages

    def _answer(self, message: Message) -> list[Message]:
        command = command_of(message) if isinstance(message, StringMessage) else None
        if command is None:
            return []
        self.asked.append(command.name)
        if self._failure is None:
            return self._service.answer(message)
        return [pack_reply(PlusReply(command.uid, False, self._failure))] if self._failure else []

    def __enter__(self) -> PlusServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Be gone, as a computer that is switched off."""
        if not self._ended.is_set():
            self._ended.set()
            self._thread.join()
            self.server.close()


def free_port() -> int:
    """A port below those that the system hands out, lest another test be given it meanwhile."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
