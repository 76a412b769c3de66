"""The sending side of a link, without a thread: several clients, none of which can hold up another."""

from __future__ import annotations

import errno
import logging
import os
import selectors
import socket
import time
from collections.abc import Callable

from ..core.errors import LinkError
from .messages import STATUS_OK, Frame, Message, TransformMessage
from .packing import pack
from .protocol import Decoder
from .sockets import CHUNK_BYTES, MAX_QUEUE_BYTES, SEND_TIMEOUT_S, SendQueue, check_port, prepare, reason_of
from .statistics import LinkStatistics

logger = logging.getLogger(__name__)

MAX_CLIENTS = 16
INTRODUCTION_S = 0.1
"""How long a new client may take to show its header version, before it is served as version 1."""


class ServedClient:
    """One connected client.

    Attributes:
        name: its address.
        joined: whether it is served yet, see `INTRODUCTION_S`.
        left_out: messages that found no room in its queue.
    """

    def __init__(self, sock: socket.socket, name: str, frame: Frame, max_queue_bytes: int, now_s: float) -> None:
        self.socket, self.name = sock, name
        self.decoder = Decoder(frame)
        self.queue = SendQueue(max_queue_bytes, now_s)
        self.accepted_at_s = now_s
        self.joined = False
        self.left_out = 0

    def __str__(self) -> str:
        return self.name


class IgtlServer:
    """Sends each message to all clients; `poll` must be called often.

    A message with `retain` is kept, and a client that connects later gets the last one of its type and device
    at once. Clients of header version 1 get no metadata, hence no transforms but valid ones.

    Args:
        host: the loopback unless others may connect: OpenIGTLink knows no passwords.
        port: 0 takes a free one.
        frame: in which the clients count.
        max_queue_bytes: what may wait for one slow client; beyond it messages to that client are left out.
        send_timeout_s: a client that takes nothing for so long is dropped.

    Raises:
        LinkError: the port or the address cannot be had.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        frame: Frame = Frame.RAS,
        max_clients: int = MAX_CLIENTS,
        max_queue_bytes: int = MAX_QUEUE_BYTES,
        send_timeout_s: float = SEND_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.statistics = LinkStatistics()
        self._frame, self._max_clients, self._max_queue_bytes = frame, max_clients, max_queue_bytes
        self._send_timeout_s, self._clock = send_timeout_s, clock
        self._clients: list[ServedClient] = []
        self._retained: dict[tuple[type, str], Message] = {}
        self._listener = _listen(host, port)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    @property
    def host(self) -> str:
        return self._listener.getsockname()[0]

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    @property
    def clients(self) -> tuple[ServedClient, ...]:
        """Those that are served now."""
        return tuple(c for c in self._clients if c.joined)

    @property
    def waiting_bytes(self) -> int:
        """What has not been handed to the network yet, over all clients."""
        return sum(c.queue.waiting_bytes for c in self._clients)

    def broadcast(self, message: Message, retain: bool = False) -> None:
        """Queue a message for all clients; `poll` sends it.

        Raises:
            MessageError: OpenIGTLink cannot carry it.
        """
        packed = {version: pack(message, version, self._frame) for version in self._versions_needed()}
        if retain:
            self._retained[type(message), message.device] = message
        for client in self.clients:
            self._queue(client, message, packed[client.decoder.peer_version])

    def poll(self, timeout_s: float = 0.0) -> list[Message]:
        """Accept, send and receive what can be at once; sleep at most so long when there is nothing to do."""
        newcomers = [c for c in self._clients if not c.joined]
        if newcomers:
            timeout_s = min(timeout_s, INTRODUCTION_S)
        messages: list[Message] = []
        for key, events in self._selector.select(max(0.0, timeout_s)):
            if key.fileobj is self._listener:
                self._accept()
            elif key.data in self._clients:
                messages += self._serve(key.data, events)
        self._look_after_clients()
        return messages

    def flush(self, timeout_s: float) -> bool:
        """Poll until everything is with the network; False when time runs out first."""
        end_s = self._clock() + timeout_s
        while self.waiting_bytes and self._clock() < end_s:
            self.poll(0.05)
        return not self.waiting_bytes

    def close(self) -> None:
        """Drop all clients and free the port."""
        for client in list(self._clients):
            self._drop(client, "the server closes")
        self._selector.close()
        self._listener.close()

    def __enter__(self) -> IgtlServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _versions_needed(self) -> set[int]:
        """At least one, so that what cannot be packed is told to the caller even without a client."""
        return {c.decoder.peer_version for c in self.clients} or {1}

    def _accept(self) -> None:
        try:
            sock, address = self._listener.accept()
        except OSError as error:  # the client left before it was let in
            logger.info("a connection could not be accepted: %s", reason_of(error))
            return
        name = f"{address[0]}:{address[1]}"
        if len(self._clients) >= self._max_clients:
            logger.warning("%s refused: %d clients are connected already", name, len(self._clients))
            sock.close()
            return
        prepare(sock)
        client = ServedClient(sock, name, self._frame, self._max_queue_bytes, self._clock())
        self._clients.append(client)
        self._selector.register(sock, selectors.EVENT_READ, client)
        self.statistics.connections += 1
        logger.info("%s connected", name)

    def _serve(self, client: ServedClient, events: int) -> list[Message]:
        messages: list[Message] = []
        try:
            if events & selectors.EVENT_READ:
                self._receive(client, messages)
            if events & selectors.EVENT_WRITE:
                client.queue.send(client.socket, self._clock())
                self._watch(client)
        except LinkError as error:
            self._drop(client, str(error))
        except OSError as error:
            self._drop(client, reason_of(error))
        return messages

    def _receive(self, client: ServedClient, messages: list[Message]) -> None:
        try:
            count = client.socket.recv_into(client.decoder.writable()[:CHUNK_BYTES])
        except BlockingIOError:
            return
        if count == 0:
            raise LinkError("left")
        messages += client.decoder.advance(count)

    def _look_after_clients(self) -> None:
        now_s = self._clock()
        for client in list(self._clients):
            introduced = client.decoder.peer_version > 1 or now_s - client.accepted_at_s >= INTRODUCTION_S
            if introduced and not client.joined:
                self._join(client)
            if client.queue.stalled_s(now_s) > self._send_timeout_s:
                self._drop(client, f"took nothing for {self._send_timeout_s:.0f} s")

    def _watch(self, client: ServedClient) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.queue else 0)
        if self._selector.get_key(client.socket).events != events:
            self._selector.modify(client.socket, events, client)

    def _join(self, client: ServedClient) -> None:
        client.joined = True
        version = client.decoder.peer_version
        for message in self._retained.values():
            self._queue(client, message, pack(message, version, self._frame))

    def _queue(self, client: ServedClient, message: Message, data: bytes) -> None:
        untold = isinstance(message, TransformMessage) and message.status != STATUS_OK
        if untold and client.decoder.peer_version == 1:
            return
        if client.queue.put(data, self._clock()):
            self.statistics.sent += 1
            self._watch(client)
            return
        client.left_out += 1
        if client.left_out == 1:
            logger.warning("%s is too slow: messages to it are left out", client)

    def _drop(self, client: ServedClient, reason: str) -> None:
        self._clients.remove(client)  # first: a Ctrl-C between these lines must not make `close` drop it again
        self._selector.unregister(client.socket)
        client.socket.close()
        self.statistics.sent_bytes += client.queue.sent_bytes
        logger.info("%s dropped: %s", client, reason)


def _listen(host: str, port: int) -> socket.socket:
    check_port(port, lowest=0)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise LinkError(f"{host} is no address of this machine: {error}; use 127.0.0.1") from error
    try:
        # On Windows the option would let two servers share a port.
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
        listener.setblocking(False)
        return listener
    except OSError as error:
        listener.close()
        raise LinkError(_bind_reason(error, host, port)) from error


def _bind_reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; stop the program that listens there, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} may not be opened by this user; choose one above 1023 with --port"
    return f"cannot listen on {host} port {port}: {error}; choose another host or port"
