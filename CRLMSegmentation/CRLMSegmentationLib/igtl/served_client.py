"""A client that is connected to our server, with limits for what it can use of this machine."""

from __future__ import annotations

import selectors
import socket

from ..core.errors import LinkError
from .limits import TokenBucket
from .messages import Message, PatientFrame
from .protocol import Decoder
from .sockets import QueuedBytes, SendQueue
from .statistics import LinkStatistics

MAX_INBOUND_BODY_BYTES = 1 << 20
"""Largest body of a message from a client; clients send commands, STATUS and STRING."""
INBOUND_BURST_BYTES, INBOUND_BYTES_PER_S = 2 << 20, 1 << 20
"""Rate limit for the bytes that are read from one client."""
INBOUND_CHUNK_BYTES = 64 << 10
READ_COST_BYTES = 1 << 10
"""Added to the bytes of each read, so that many tiny messages are limited as well, to some 500 a second."""
UNFINISHED_TIMEOUT_S = 30.0
"""Longest time for one message of a client, even if some bytes arrive now and then."""


class ServedClient:
    """One connected client.

    Args:
        name: address and port.
        max_queue_bytes: size of its queue of messages to send.
        queued: memory of the queues of all clients.

    Attributes:
        joined: whether messages are sent to it yet, see `server.INTRODUCTION_S`.
        left_out: number of messages that did not fit into its queue.
        unfinished_s: time since it began the message that it is sending, not counting pauses between polls.
    """

    def __init__(
        self,
        sock: socket.socket,
        name: str,
        frame: PatientFrame,
        statistics: LinkStatistics,
        max_queue_bytes: int,
        queued: QueuedBytes,
        now_s: float,
    ) -> None:
        self.socket, self.name = sock, name
        self.decoder = Decoder(frame, max_body_bytes=MAX_INBOUND_BODY_BYTES, statistics=statistics)
        self.queue = SendQueue(max_queue_bytes, now_s, queued)
        self.inbound = TokenBucket(INBOUND_BURST_BYTES, INBOUND_BYTES_PER_S, now_s)
        self.accepted_at_s = now_s
        self.joined = False
        self.left_out = 0
        self.unfinished_s = 0.0

    def __str__(self) -> str:
        return self.name

    def receive(self) -> list[Message]:
        """Read once within the rate limit, and return the messages that are complete.

        Raises:
            LinkError: it has closed the connection, or does not speak OpenIGTLink.
            OSError: the connection is lost.
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
        """Return the events to wait for; nothing is read from a client beyond its rate limit."""
        reading = selectors.EVENT_READ if self.inbound.wait_s(now_s) == 0 else 0
        return reading | (selectors.EVENT_WRITE if self.queue else 0)

    def drop_reason(self, now_s: float, turn_s: float, send_timeout_s: float, unfinished_timeout_s: float) -> str:
        """Return the reason to drop the client, or an empty text. `turn_s` is the time since the last call."""
        self.unfinished_s += turn_s if self.decoder.unfinished else 0.0
        if self.queue.stalled_s(now_s) > send_timeout_s:
            return f"took nothing for {send_timeout_s:.0f} s"
        if self.unfinished_s > unfinished_timeout_s:
            return f"did not finish a message within {unfinished_timeout_s:.0f} s"
        return ""
