"""Volumes that a PLUS server reconstructs while the probe moves, asked for over the link that brings them.

    Start ──▶ Snapshot, one at a time, every so often ──▶ Stop, which brings the last volume

A server that fills no volume yet, or whose reconstruction another client has started, is no failure: snapshots are
asked for all the same, and only if none comes for long is that told. After a lost connection everything begins again
by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import count

from ..core.errors import LinkError, MessageError
from .client import IgtlClient
from .limits import limited
from .link import LinkState
from .messages import Message, StringMessage
from .plus_commands import DEFAULT_RECONSTRUCTOR, SNAPSHOT, START, STOP, PlusCommand, PlusReply, pack_command, reply_of
from .statistics import Problem

logger = logging.getLogger(__name__)

REPLY_TIMEOUT_S = 10.0
"""A server that has not answered after so long will not; a snapshot of a large volume takes a second or two."""
PATIENCE_S = 15.0
"""After so long without a volume the reason is told: until a sweep begins, a server has none to give."""
LIVE_VOLUME = "recvol_Reference"
IN_PROGRESS = "in progress"
"""In the words of PLUS: a reconstruction has been started already."""


class LiveState(Enum):
    """OFF: not asked for. STARTING: asked, not answered. RUNNING: snapshots come. STOPPING: the last volume comes.

    FAILED: the server cannot, or does not answer; `start` tries again.
    """

    OFF = "off"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True)
class OutputRegion:
    """Where a server shall reconstruct, in the Reference frame.

    Attributes:
        origin_mm: centre of the first voxel, x y z.
        spacing_mm: of the voxels along x y z.
        size: number of voxels along x y z.
    """

    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    size: tuple[int, int, int]

    def attributes(self) -> dict[str, str]:
        """As PLUS writes it."""
        extent = (bound for number in self.size for bound in (0, number - 1))
        return {
            "OutputOrigin": " ".join(f"{x:g}" for x in self.origin_mm),
            "OutputSpacing": " ".join(f"{x:g}" for x in self.spacing_mm),
            "OutputExtent": " ".join(map(str, extent)),
        }


class LiveReconstruction:
    """A client's link that has volumes reconstructed from `start` to `stop`; use it wherever a `Link` is wanted.

    Args:
        client: connected or not; closed together with this.
        every_s: pause between two snapshots; the next is asked for when the one before has been answered.
        region: None leaves it to the server's own configuration.
        device: name under which the volumes come.
        reconstructor: id of the server's reconstruction device.
        clock: seconds that never go back.

    Attributes:
        live_state, live_reason: how far it is, and what the user must know of it, mostly nothing.
        snapshots: how many volumes have come since `start`.
    """

    def __init__(
        self,
        client: IgtlClient,
        every_s: float = 1.0,
        region: OutputRegion | None = None,
        device: str = LIVE_VOLUME,
        reconstructor: str = DEFAULT_RECONSTRUCTOR,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client, self.live_state, self.live_reason, self.snapshots = client, LiveState.OFF, "", 0
        self._every_s, self._region, self._clock, self._log = every_s, region, clock, limited(logger, clock)
        self._common = {"VolumeReconstructorDeviceId": reconstructor, "OutputVolDeviceName": device}
        # A server remembers the ids of a client's last commands, and answers each once.
        self._uids = count(int(time.time()) % 100_000 * 1000 + 1)
        self._asked: PlusCommand | None = None
        self._asked_at_s = 0.0
        self._connections = 0
        self._next_at_s = self._volume_at_s = 0.0

    @property
    def state(self) -> LinkState:
        return self.client.state

    @property
    def state_reason(self) -> str:
        return self.client.state_reason

    @property
    def problem(self) -> str:
        return self.client.problem

    @property
    def problems(self) -> Iterable[Problem]:
        return self.client.problems

    @property
    def epoch(self) -> int:
        return self.client.epoch

    @property
    def silent_s(self) -> float | None:
        return self.client.silent_s

    @property
    def receiving(self) -> object | None:
        return self.client.receiving

    @property
    def is_wanted(self) -> bool:
        """It was started, and neither stopped nor given up."""
        return self.live_state in (LiveState.STARTING, LiveState.RUNNING)

    @property
    def repeats_volumes(self) -> bool:
        """While the probe rests, each snapshot is the same volume as the one before; see `incoming`."""
        return self.live_state in (LiveState.RUNNING, LiveState.STOPPING)

    def poll(self, budget_s: float = 0.004) -> list[Message]:
        """The messages that are complete, without the replies to commands of this."""
        return self._digest(self.client.poll(budget_s))

    def wait(self, timeout_s: float) -> list[Message]:
        """As `poll`, but sleeps until a message is complete, at most so long. For the command line."""
        return self._digest(self.client.wait(timeout_s))

    def start(self) -> None:
        """Have volumes reconstructed from now on; they come with `poll`."""
        if not self.is_wanted:
            self.live_state, self.live_reason, self.snapshots, self._asked = LiveState.STARTING, "", 0, None

    def stop(self) -> None:
        """Have the reconstruction ended; its last volume still comes, so go on polling until OFF or FAILED."""
        if self.is_wanted:
            self.live_state, self.live_reason, self._asked = LiveState.STOPPING, "", None

    def close(self) -> None:
        """Close the link for good; a server that still reconstructs is told to end it, as far as it listens."""
        is_on = self.is_wanted or (self.live_state is LiveState.STOPPING and self._asked is None)
        if is_on and self.client.state is LinkState.CONNECTED:
            self._ask(STOP)
            self.client.poll()
        self.client.close()

    def _digest(self, messages: list[Message]) -> list[Message]:
        left = [message for message in messages if not self._is_answer(message)]
        if self.client.state is LinkState.CONNECTED:
            self._begin_again_after_reconnection()
            self._ask_what_is_due()
        return left

    def _begin_again_after_reconnection(self) -> None:
        connections = self.client.statistics.connections
        if connections == self._connections:
            return
        self._connections, self._asked = connections, None
        if self.live_state is LiveState.RUNNING:
            self.live_state, self.live_reason = LiveState.STARTING, ""

    def _ask_what_is_due(self) -> None:
        now_s = self._clock()
        if self._asked is not None:
            if self.client.receiving is not None:  # it is busy sending, perhaps the very volume, over a slow network
                self._asked_at_s = now_s
            elif now_s - self._asked_at_s > REPLY_TIMEOUT_S:
                self._give_up(self._asked)
        elif self.live_state is LiveState.STARTING:
            self._ask(START, self._region.attributes() if self._region else {})
        elif self.live_state is LiveState.STOPPING:
            self._ask(STOP)
        elif self.live_state is LiveState.RUNNING and now_s >= self._next_at_s:
            self._next_at_s = now_s + self._every_s
            self._ask(SNAPSHOT)

    def _ask(self, name: str, attributes: dict[str, str] | None = None) -> None:
        command = PlusCommand(next(self._uids), name, {**self._common, **(attributes or {})})
        try:
            self.client.send(pack_command(command))
        except LinkError as error:
            self._log(logging.INFO, f"{name} cannot be sent: {error}")
            return
        self._asked, self._asked_at_s = command, self._clock()

    def _is_answer(self, message: Message) -> bool:
        """Take a reply to the command that was asked last; those to earlier ones are let pass unseen."""
        if not isinstance(message, StringMessage):
            return False
        try:
            reply = reply_of(message)
        except MessageError as error:
            self._log(logging.WARNING, f"a reply cannot be read: {error}")
            return False
        if reply is None:
            return False
        if self._asked is not None and reply.uid in (self._asked.uid, None):
            asked, self._asked = self._asked, None
            self._take(asked.name, reply)
        return True

    def _take(self, name: str, reply: PlusReply) -> None:
        now_s = self._clock()
        if name == START and (reply.succeeded or IN_PROGRESS in reply.text):
            self.live_state, self._next_at_s, self._volume_at_s = LiveState.RUNNING, now_s + self._every_s, now_s
        elif name == START:
            device = self._common["VolumeReconstructorDeviceId"]
            self._fail(f"the server does not reconstruct ({reply.text}); is it PLUS, and has it a device '{device}'?")
        elif reply.succeeded:
            self.snapshots, self.live_reason, self._volume_at_s = self.snapshots + 1, "", now_s
        elif name == SNAPSHOT:
            self._miss(reply.text)
        else:
            self._log(logging.INFO, f"no last volume: {reply.text}")
        if name == STOP:
            self.live_state, self.live_reason = LiveState.OFF, ""

    def _give_up(self, asked: PlusCommand) -> None:
        """Stop waiting for an answer. A server that has reconstructed before is given time: networks may stall."""
        self._asked = None
        silence = f"the server has not answered {asked.name} within {REPLY_TIMEOUT_S:.0f} s"
        if asked.name == SNAPSHOT:
            self._miss(silence)
        else:
            self._fail(f"{silence}; is it PLUS?")

    def _miss(self, why: str) -> None:
        """A volume has not come."""
        if self._clock() - self._volume_at_s > PATIENCE_S:
            action = "move the probe over the organ, and see that probe and reference are tracked"
            self.live_reason = f"no live volume comes ({why}); {action}"

    def _fail(self, reason: str) -> None:
        self._log(logging.WARNING, reason)
        self.live_state, self.live_reason, self._asked = LiveState.FAILED, reason, None
