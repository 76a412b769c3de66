"""OpenIGTLink server without a thread. A slow client does not delay the others."""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections.abc import Callable, Iterable

from ..core.errors import LinkError, MessageError
from .limits import TokenBucket, limited
from .listening import listen
from .messages import STATUS_OK, Message, PatientFrame, TransformMessage
from .packing import pack
from .served_client import UNFINISHED_TIMEOUT_S, ServedClient
from .sockets import MAX_QUEUE_BYTES, SEND_TIMEOUT_S, QueuedBytes, prepare, reason_of
from .statistics import DropReason, LinkStatistics

logger = logging.getLogger(__name__)

MAX_CLIENTS = 16
INTRODUCTION_S = 0.1
"""Time that a new client has to show header version 2; after it messages are sent in version 1."""
MAX_TOTAL_QUEUE_BYTES = 1 << 30
"""Limit over all clients; an empty queue takes one message in any case, however large."""
CONNECTIONS_BURST, CONNECTIONS_PER_S = 32, 10
"""Rate limit of new connections; the others wait in the queue of the operating system."""
LONGEST_TURN_S = 1.0
"""Longest time between two calls of `poll` that counts towards the timeouts of clients."""


class IgtlServer:
    """Sends messages to all connected clients; its owner calls `poll` often.

    Of messages sent with `retain` the last one of each type and device is kept, and sent to clients that connect later.
    Header version 1 has no metadata, hence no status, so that only valid transforms are sent to its clients.

    OpenIGTLink has no passwords. What a client can use of this machine is limited: connections, size and rate of what
    it sends, the time for one message, and the memory of messages that wait for it.

    Args:
        host: address to listen on; only the loopback is closed to other machines.
        port: 0 chooses a free port.
        frame: patient frame that the clients use.
        max_queue_bytes: limit of the messages that wait for one client; further ones are not sent to it.
        send_timeout_s: a client that reads nothing for so long is dropped.
        max_total_bytes: limit of the messages that wait for all clients, each message counted once; beyond it a message
            is only sent to clients for which no other one waits.
        unfinished_timeout_s: a client that takes longer to send one message is dropped.
        answer: called with each message of a client; returns the replies to that client.

    Raises:
        LinkError: the port or the address is not available.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        frame: PatientFrame = PatientFrame.RAS,
        max_clients: int = MAX_CLIENTS,
        max_queue_bytes: int = MAX_QUEUE_BYTES,
        send_timeout_s: float = SEND_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
        max_total_bytes: int = MAX_TOTAL_QUEUE_BYTES,
        unfinished_timeout_s: float = UNFINISHED_TIMEOUT_S,
        answer: Callable[[Message], Iterable[Message]] | None = None,
    ) -> None:
        self.statistics = LinkStatistics()
        self._frame, self._max_clients, self._max_queue_bytes = frame, max_clients, max_queue_bytes
        self._max_total_bytes, self._unfinished_timeout_s = max_total_bytes, unfinished_timeout_s
        self._send_timeout_s, self._clock, self._answer = send_timeout_s, clock, answer
        self._clients: list[ServedClient] = []
        self._retained: dict[tuple[type, str], _Retained] = {}
        self._queued = QueuedBytes()
        self._admission = TokenBucket(CONNECTIONS_BURST, CONNECTIONS_PER_S, clock())
        self._polled_at_s = clock()
        self._log = limited(logger, clock)
        self._listener = listen(host, port)
        self.host: str
        self.port: int
        self.host, self.port = self._listener.getsockname()[:2]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    @property
    def clients(self) -> tuple[ServedClient, ...]:
        """The clients to which messages are sent."""
        return tuple(c for c in self._clients if c.joined)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are not sent yet, over all clients."""
        return sum(c.queue.waiting_bytes for c in self._clients)

    @property
    def queued_bytes(self) -> int:
        """Memory of the messages that wait; one that waits for several clients counts once."""
        return self._queued.count

    def broadcast(self, message: Message, retain: bool = False) -> None:
        """Queue a message for all clients that the next `poll` sends.

        Raises:
            MessageError: OpenIGTLink cannot carry it.
        """
        packed = {version: pack(message, version, self._frame) for version in self._versions_needed()}
        if retain:
            self._retained[type(message), message.device] = _Retained(message, packed)
        for client in self.clients:
            self._queue(client, message, packed[client.decoder.peer_version])

    def poll(self, timeout_s: float = 0.0) -> list[Message]:
        """Accept, send and receive, and return the messages of clients; sleep if there is nothing to do."""
        messages: list[Message] = []
        for key, events in self._selector.select(self._time_to_sleep_s(timeout_s)):
            if key.fileobj is self._listener:
                self._accept()
            elif key.data in self._clients:
                received = self._serve(key.data, events)
                self._reply(key.data, received)
                messages += received
        self._update_clients()
        return messages

    def flush(self, timeout_s: float) -> bool:
        """Poll until everything is sent; return False if the timeout is over first."""
        end_s = self._clock() + timeout_s
        while self.waiting_bytes and self._clock() < end_s:
            self.poll(0.05)
        return not self.waiting_bytes

    def close(self) -> None:
        """Close all connections and the port."""
        for client in list(self._clients):
            self._drop(client, "the server closes")
        self._selector.close()
        self._listener.close()

    def __enter__(self) -> IgtlServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _versions_needed(self) -> set[int]:
        """Return the header versions to pack for; one if there is no client, lest a wrong message go unnoticed."""
        return {c.decoder.peer_version for c in self.clients} or {1}

    def _time_to_sleep_s(self, timeout_s: float) -> float:
        """Return the timeout, or less if a new client must be served or a rate limit ends before."""
        now_s = self._clock()
        waits_s = [w for w in (c.inbound.wait_s(now_s) for c in self._clients) if w > 0]
        waits_s += [INTRODUCTION_S] * any(not c.joined for c in self._clients)
        waits_s += [self._admission.wait_s(now_s)] * (self._listener not in self._selector.get_map())
        return max(0.0, min([timeout_s, *waits_s]))

    def _accept(self) -> None:
        if not self._admission.take(self._clock()):
            self._selector.unregister(self._listener)  # they wait in the system's queue, which is bounded
            self._log(logging.WARNING, f"more than {CONNECTIONS_PER_S} connections a second: the others wait")
            return
        try:
            sock, address = self._listener.accept()
        except OSError as error:  # the client left before it was let in
            self._log(logging.INFO, f"a connection could not be accepted: {reason_of(error)}")
            return
        name = f"{address[0]}:{address[1]}"
        if len(self._clients) >= self._max_clients:
            self._log(logging.WARNING, f"{name} refused: {len(self._clients)} clients are connected already")
            sock.close()
            return
        self._add_client(sock, name, self._clock())

    def _add_client(self, sock: socket.socket, name: str, now_s: float) -> None:
        try:
            prepare(sock)
        except OSError as error:  # it has left again
            sock.close()
            self._log(logging.INFO, f"{name} could not be served: {reason_of(error)}")
            return
        client = ServedClient(sock, name, self._frame, self.statistics, self._max_queue_bytes, self._queued, now_s)
        self._clients.append(client)
        self._selector.register(sock, selectors.EVENT_READ, client)
        self.statistics.connections += 1
        self._log(logging.INFO, f"{name} connected")

    def _serve(self, client: ServedClient, events: int) -> list[Message]:
        messages: list[Message] = []
        try:
            if events & selectors.EVENT_READ:
                messages = client.receive()
            if events & selectors.EVENT_WRITE:
                client.queue.send(client.socket, self._clock())
        except LinkError as error:
            self._drop(client, str(error))
        except OSError as error:
            # It has left. What it has sent before that is still to be read, such as the command that ends something.
            messages += client.receive_rest()
            self._drop(client, reason_of(error))
        return messages

    def _reply(self, client: ServedClient, received: Iterable[Message]) -> None:
        replies = [reply for message in received for reply in self._answer(message)] if self._answer else []
        for reply in replies if client in self._clients else ():
            try:
                self._queue(client, reply, pack(reply, client.decoder.peer_version, self._frame))
            except MessageError as error:  # what a client asks for must not end the server
                self._log(logging.WARNING, f"{client}: an answer to it cannot be sent: {error}")

    def _update_clients(self) -> None:
        now_s = self._clock()
        turn_s, self._polled_at_s = min(now_s - self._polled_at_s, LONGEST_TURN_S), now_s
        if self._listener not in self._selector.get_map() and self._admission.wait_s(now_s) == 0:
            self._selector.register(self._listener, selectors.EVENT_READ)
        for client in list(self._clients):
            introduced = client.decoder.peer_version > 1 or now_s - client.accepted_at_s >= INTRODUCTION_S
            if introduced and not client.joined:
                self._join(client)
            self._watch(client)
            reason = client.drop_reason(now_s, turn_s, self._send_timeout_s, self._unfinished_timeout_s)
            if reason:
                self._drop(client, reason)

    def _watch(self, client: ServedClient) -> None:
        wanted = client.wanted_events(self._clock())
        key = self._selector.get_map().get(client.socket)
        if key is None:
            if wanted:
                self._selector.register(client.socket, wanted, client)
        elif not wanted:
            self._selector.unregister(client.socket)
        elif key.events != wanted:
            self._selector.modify(client.socket, wanted, client)

    def _join(self, client: ServedClient) -> None:
        client.joined = True
        for retained in self._retained.values():
            data = retained.packed_for(client.decoder.peer_version, self._frame)
            self._queue(client, retained.message, data)

    def _queue(self, client: ServedClient, message: Message, data: bytes) -> None:
        needs_status = isinstance(message, TransformMessage) and message.full_status != STATUS_OK
        if needs_status and client.decoder.peer_version == 1:
            return
        fits = not client.queue or self._queued.would_be(data) <= self._max_total_bytes
        if fits and client.queue.put(data, self._clock()):
            self.statistics.sent += 1
            self._watch(client)
            return
        client.left_out += 1
        if client.left_out == 1:
            self._log(logging.WARNING, f"{client} is too slow: messages to it are left out")

    def _drop(self, client: ServedClient, reason: str) -> None:
        self._clients.remove(client)  # first: a Ctrl-C between these lines must not make `close` drop it again
        if client.socket in self._selector.get_map():
            self._selector.unregister(client.socket)
        client.socket.close()
        self.statistics.sent_bytes += client.queue.sent_bytes
        client.queue.clear()
        if client.decoder.unfinished:
            self.statistics.drop(DropReason.CUT_SHORT, client.decoder.unfinished)
        self._log(logging.INFO, f"{client} dropped: {reason}")


class _Retained:
    """A message for clients that connect later, packed once for each header version."""

    def __init__(self, message: Message, packed: dict[int, bytes]) -> None:
        self.message = message
        self._packed = dict(packed)

    def packed_for(self, version: int, frame: PatientFrame) -> bytes:
        if version not in self._packed:
            self._packed[version] = pack(self.message, version, frame)
        return self._packed[version]
