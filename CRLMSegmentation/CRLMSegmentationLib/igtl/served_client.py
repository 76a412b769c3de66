"""One client of a server, and what it may take of this machine."""

from __future__ import annotations

import selectors
import socket

from ..core.errors import LinkError
from .limits import Allowance
from .messages import Frame, Message
from .protocol import Decoder
from .sockets import QueuedBytes, SendQueue
from .statistics import LinkStatistics

MAX_INBOUND_BODY_BYTES = 1 << 20
"""Clients send commands, STATUS and STRING; none of them needs more."""
INBOUND_BURST_BYTES, INBOUND_BYTES_PER_S = 2 << 20, 1 << 20
"""What is read from one client; the rest waits at its end."""
INBOUND_CHUNK_BYTES = 64 << 10
READ_COST_BYTES = 1 << 10
"""What a read counts beside its bytes, so that many tiny messages are slowed down as well, to some 500 a second."""
UNFINISHED_TIMEOUT_S = 30.0
"""How long a client may take over one message, however diligently it sends a byte now and then."""


class ServedClient:
    """One connected client.

    Args:
        name: its address.
        max_queue_bytes: what may wait for it.
        queued: keeps account over all clients.

    Attributes:
        joined: whether it is served yet, see `server.INTRODUCTION_S`.
        left_out: messages that found no room in its queue.
        unfinished_s: for how long it has been sending one message, while somebody looked.
    """

    def __init__(
        self,
        sock: socket.socket,
        name: str,
        frame: Frame,
        statistics: LinkStatistics,
        max_queue_bytes: int,
        queued: QueuedBytes,
        now_s: float,
    ) -> None:
        self.socket, self.name = sock, name
        self.decoder = Decoder(frame, max_body_bytes=MAX_INBOUND_BODY_BYTES, statistics=statistics)
        self.queue = SendQueue(max_queue_bytes, now_s, queued)
        self.inbound = Allowance(INBOUND_BURST_BYTES, INBOUND_BYTES_PER_S, now_s)
        self.accepted_at_s = now_s
        self.joined = False
        self.left_out = 0
        self.unfinished_s = 0.0

    def __str__(self) -> str:
        return self.name

    def receive(self) -> list[Message]:
        """Read once, and have it pay for that.

        Raises:
            LinkError: it has left, or does not speak OpenIGTLink.
            OSError: the connection is gone.
        """
        try:
            count = self.socket.recv_into(self.decoder.writable()[:INBOUND_CHUNK_BYTES])
        except BlockingIOError:
            return []
        if count == 0:
            raise LinkError("left")
        self.inbound.spend(count + READ_COST_BYTES)
        messages = self.decoder.advance(count)
        if messages or not self.decoder.unfinished:
            self.unfinished_s = 0.0
        return messages

    def receive_rest(self) -> list[Message]:
        """Return the messages that had arrived when the connection ended; at most as many as the allowance lets in."""
        messages: list[Message] = []
        for _ in range(INBOUND_BURST_BYTES // INBOUND_CHUNK_BYTES):
            try:
                count = self.socket.recv_into(self.decoder.writable()[:INBOUND_CHUNK_BYTES])
                messages += self.decoder.advance(count) if count else []
            except (OSError, LinkError):
                break
            if count == 0:
                break
        return messages

    def wanted_events(self, now_s: float) -> int:
        """For which events to watch it; nothing is read from one that has used up its allowance."""
        reading = selectors.EVENT_READ if self.inbound.wait_s(now_s) == 0 else 0
        return reading | (selectors.EVENT_WRITE if self.queue else 0)

    def must_go(self, now_s: float, turn_s: float, send_timeout_s: float, unfinished_timeout_s: float) -> str:
        """Why it is to be dropped, or nothing. `turn_s` has passed since it was asked last."""
        self.unfinished_s += turn_s if self.decoder.unfinished else 0.0
        if self.queue.stalled_s(now_s) > send_timeout_s:
            return f"took nothing for {send_timeout_s:.0f} s"
        if self.unfinished_s > unfinished_timeout_s:
            return f"did not finish a message within {unfinished_timeout_s:.0f} s"
        return ""
