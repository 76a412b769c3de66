"""Live volume reconstruction of a PLUS server, controlled over the connection that delivers the volumes.

    Start ──▶ Snapshot, one at a time, every so often ──▶ Stop, which brings the last volume

It is no failure when the server has no volume yet, or when another client has started its reconstruction: snapshots
are requested all the same, and the reason is reported only if no volume arrives for `NO_VOLUME_TIMEOUT_S`. After a lost
connection the reconstruction is started again.
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
from .statistics import MessageProblem

logger = logging.getLogger(__name__)

REPLY_TIMEOUT_S = 10.0
"""Time to wait for the reply to a command while nothing is being received; a snapshot of a large volume takes a second
or two."""
LONGEST_REPLY_S = 60.0
"""Time to wait for it in any case; on a link that lags, something is always being received."""
NO_VOLUME_TIMEOUT_S = 15.0
"""Time without a volume after which the reason is reported; until a sweep begins, a server has none."""
CLOSE_BUDGET_S = 0.05
"""Time to hand over the last command; it takes much less unless the program is held up in between."""
LIVE_VOLUME = "recvol_Reference"
IN_PROGRESS = "in progress"
"""Part of the reply of PLUS when a reconstruction has been started already."""


class LiveState(Enum):
    """State of the live reconstruction.

    OFF: not requested. STARTING: requested, not answered. RUNNING: snapshots arrive. STOPPING: the last volume arrives.
    FAILED: the server cannot reconstruct, or does not answer; `start` tries again.
    """

    OFF = "off"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True)
class OutputRegion:
    """Region that the server reconstructs, in the Reference frame.

    Attributes:
        origin_mm: centre of the first voxel, x y z.
        spacing_mm: of the voxels along x y z.
        size: number of voxels along x y z.
    """

    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    size: tuple[int, int, int]

    def attributes(self) -> dict[str, str]:
        """Return the region as attributes of a PLUS command."""
        extent = (bound for number in self.size for bound in (0, number - 1))
        return {
            "OutputOrigin": " ".join(f"{x:g}" for x in self.origin_mm),
            "OutputSpacing": " ".join(f"{x:g}" for x in self.spacing_mm),
            "OutputExtent": " ".join(map(str, extent)),
        }


class LiveReconstruction:
    """A `Link` that has the server reconstruct volumes from `start` to `stop`.

    Args:
        client: connected or not; closed together with this.
        every_s: pause between two snapshots; the next is requested after the reply to the one before.
        region: region to reconstruct; None leaves it to the configuration of the server.
        device: device name of the volumes.
        reconstructor: id of the reconstruction device of the server.
        clock: monotonic, seconds.

    Attributes:
        live_state, live_reason: state, and what the user must know about it, mostly nothing.
        snapshots: number of volumes that arrived since `start`.
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
        self._pending: PlusCommand | None = None
        self._sent_at_s = self._quiet_since_s = 0.0
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
    def problems(self) -> Iterable[MessageProblem]:
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
        """Whether it was started, and has neither been stopped nor failed."""
        return self.live_state in (LiveState.STARTING, LiveState.RUNNING)

    @property
    def repeats_volumes(self) -> bool:
        """Whether the same volume may arrive several times, as it does while the probe rests."""
        return self.live_state in (LiveState.RUNNING, LiveState.STOPPING)

    def poll(self, budget_s: float = 0.004) -> list[Message]:
        """Return the messages that are complete, without the replies to own commands."""
        return self._handle_replies(self.client.poll(budget_s))

    def wait(self, timeout_s: float) -> list[Message]:
        """Return as `poll` does, after sleeping until a message is complete or the timeout is over."""
        return self._handle_replies(self.client.wait(timeout_s))

    def start(self) -> None:
        """Start the reconstruction; `poll` returns its volumes."""
        if not self.is_wanted:
            self.live_state, self.live_reason, self.snapshots, self._pending = LiveState.STARTING, "", 0, None

    def stop(self) -> None:
        """Stop the reconstruction. Its last volume still arrives, so continue to poll until OFF or FAILED."""
        if self.is_wanted:
            self.live_state, self.live_reason, self._pending = LiveState.STOPPING, "", None

    def close(self) -> None:
        """Stop the reconstruction, without waiting for the reply, and close the connection."""
        is_on = self.is_wanted or (self.live_state is LiveState.STOPPING and self._pending is None)
        if is_on and self.client.state is LinkState.CONNECTED:
            self._send_command(STOP)
            self.client.poll(CLOSE_BUDGET_S)
        self.client.close()

    def _handle_replies(self, messages: list[Message]) -> list[Message]:
        left = [message for message in messages if not self._is_reply(message)]
        if self.client.state is LinkState.CONNECTED:
            self._restart_after_reconnection()
            self._send_next_command()
        return left

    def _restart_after_reconnection(self) -> None:
        connections = self.client.statistics.connections
        if connections == self._connections:
            return
        self._connections, self._pending = connections, None
        if self.live_state is LiveState.RUNNING:
            self.live_state, self.live_reason = LiveState.STARTING, ""

    def _send_next_command(self) -> None:
        now_s = self._clock()
        if self._pending is not None:
            if self.client.receiving is not None:  # it is busy sending, perhaps the very volume, over a slow network
                self._quiet_since_s = now_s
            if now_s - self._sent_at_s > LONGEST_REPLY_S:
                text = f"within {LONGEST_REPLY_S:.0f} s, in which it sent other messages; have it send less"
                self._give_up(self._pending, text)
            elif now_s - self._quiet_since_s > REPLY_TIMEOUT_S:
                self._give_up(self._pending, f"within {REPLY_TIMEOUT_S:.0f} s", "; is it PLUS?")
        elif self.live_state is LiveState.STARTING:
            self._send_command(START, self._region.attributes() if self._region else {})
        elif self.live_state is LiveState.STOPPING:
            self._send_command(STOP)
        elif self.live_state is LiveState.RUNNING and now_s >= self._next_at_s:
            self._next_at_s = now_s + self._every_s
            self._send_command(SNAPSHOT)

    def _send_command(self, name: str, attributes: dict[str, str] | None = None) -> None:
        command = PlusCommand(next(self._uids), name, {**self._common, **(attributes or {})})
        try:
            self.client.send(pack_command(command))
        except LinkError as error:
            self._log(logging.INFO, f"{name} cannot be sent: {error}")
            return
        self._pending = command
        self._sent_at_s = self._quiet_since_s = self._clock()

    def _is_reply(self, message: Message) -> bool:
        """Return whether a message is a reply to a command; handle it if it answers the last one."""
        if not isinstance(message, StringMessage):
            return False
        try:
            reply = reply_of(message)
        except MessageError as error:
            self._log(logging.WARNING, f"a reply cannot be read: {error}")
            return False
        if reply is None:
            return False
        if self._pending is not None and reply.uid in (self._pending.uid, None):
            command, self._pending = self._pending, None
            self._handle_reply(command.name, reply)
        return True

    def _handle_reply(self, name: str, reply: PlusReply) -> None:
        now_s = self._clock()
        if name == START and (reply.succeeded or IN_PROGRESS in reply.text):
            self.live_state, self._next_at_s, self._volume_at_s = LiveState.RUNNING, now_s + self._every_s, now_s
        elif name == START:
            device = self._common["VolumeReconstructorDeviceId"]
            self._fail(f"the server does not reconstruct ({reply.text}); is it PLUS, and has it a device '{device}'?")
        elif reply.succeeded:
            self.snapshots, self.live_reason, self._volume_at_s = self.snapshots + 1, "", now_s
        elif name == SNAPSHOT:
            self._report_no_volume(reply.text)
        else:
            self._log(logging.INFO, f"no last volume: {reply.text}")
        if name == STOP:
            self.live_state, self.live_reason = LiveState.OFF, ""

    def _give_up(self, command: PlusCommand, how_long: str, question: str = "") -> None:
        """Stop waiting for a reply. Only a missing snapshot is no failure: the network may have stalled."""
        self._pending = None
        silence = f"the server has not answered {command.name} {how_long}"
        if command.name == SNAPSHOT:
            self._report_no_volume(silence)
        else:
            self._fail(f"{silence}{question}")

    def _report_no_volume(self, why: str) -> None:
        """Report that no volume arrives, once that has lasted for `NO_VOLUME_TIMEOUT_S`."""
        if self._clock() - self._volume_at_s > NO_VOLUME_TIMEOUT_S:
            action = "move the probe over the organ, and see that probe and reference are tracked"
            self.live_reason = f"no live volume comes ({why}); {action}"

    def _fail(self, reason: str) -> None:
        self._log(logging.WARNING, reason)
        self.live_state, self.live_reason, self._pending = LiveState.FAILED, reason, None
