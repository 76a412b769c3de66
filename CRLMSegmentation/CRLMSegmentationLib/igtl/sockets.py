"""Parts of client and server: non-blocking sockets, a bounded queue of bytes to send, errors in plain words."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections import Counter, deque
from typing import NamedTuple, Union

from ..core.errors import LinkError

CHUNK_BYTES = 256 << 10
"""Bytes of one read; processing them takes under 1 ms, so that a timer tick stays short."""
DEFAULT_PORT = 18944
"""Registered port of OpenIGTLink."""
MAX_PORT = 65535
SEND_BYTES = 1 << 20
MAX_QUEUE_BYTES = 512 << 20
SEND_TIMEOUT_S = 30.0
KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
"""A connection whose cable was pulled is noticed after about 11 s, where the operating system offers these options."""

UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY)
REASONS = {
    errno.ECONNREFUSED: "nothing listens there; start PLUS or the replay, or check host and port",
    errno.ECONNRESET: "the peer broke the connection off",
    errno.EPIPE: "the peer broke the connection off",
    errno.ETIMEDOUT: "no answer; check the network and the firewall",
    errno.EHOSTUNREACH: "the host cannot be reached; check the network",
    errno.ENETUNREACH: "the host cannot be reached; check the network",
}

SocketAddress = Union[tuple[str, int], tuple[str, int, int, int], tuple[int, bytes]]
"""IPv4, IPv6, and what Python gives where it was built without IPv6."""


class Endpoint(NamedTuple):
    """How a host can be reached, as `socket.getaddrinfo` gives it."""

    family: int
    kind: int
    protocol: int
    address: SocketAddress


def check_port(port: int, lowest: int) -> None:
    """Check the number of a port; `getaddrinfo` would silently use another one.

    Raises:
        LinkError: it is out of range.
    """
    if not lowest <= port <= MAX_PORT:
        raise LinkError(
            f"a port is a number from {lowest} to {MAX_PORT}, got {port}; OpenIGTLink's own is {DEFAULT_PORT}"
        )


def reason_of(error: OSError) -> str:
    """Return a socket error in plain words."""
    return REASONS.get(error.errno or 0, f"{error.strerror or error}")


class AddressLookup:
    """Looks up the addresses of a host without blocking: a name server may take many seconds.

    A numeric address is returned at once; a name is looked up in a thread.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._found: list[Endpoint] = []
        self._problem = ""
        try:
            self._found = self._ask(socket.AI_NUMERICHOST)
        except (OSError, UnicodeError):
            self._thread = threading.Thread(target=self._look_up, name=f"look up {host:.50}", daemon=True)
            self._thread.start()

    def addresses(self) -> list[Endpoint]:
        """Return how the host can be reached; empty while the lookup is running.

        Raises:
            LinkError: the host is unknown; says why.
        """
        if self._problem:
            raise LinkError(self._problem)
        return self._found

    def _look_up(self) -> None:
        try:
            self._found = self._ask(0)
        except OSError as error:
            self._problem = reason_of(error)
        except UnicodeError as error:
            self._problem = f"{self._host!r:.80} is no name of a host: {error}"

    def _ask(self, flags: int) -> list[Endpoint]:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=flags)
        return [Endpoint(family, kind, protocol, address) for family, kind, protocol, _, address in found]


def connect(sock: socket.socket, address: SocketAddress) -> None:
    """Start to connect a non-blocking socket.

    Raises:
        OSError: the connection is refused at once.
    """
    number = sock.connect_ex(address)
    if number not in UNDER_WAY:
        raise OSError(number, os.strerror(number))


def check_connected(sock: socket.socket) -> None:
    """Check that a socket that has become writable is connected, and not to itself.

    On the loopback a socket that connects to a port without a server can be assigned that port, and so reach itself.

    Raises:
        OSError: why the connection was not made.
    """
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))
    if sock.getsockname() == sock.getpeername():
        raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


def prepare(sock: socket.socket) -> None:
    """Set a socket to non-blocking, without delay for small messages, and with keep-alive."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class QueuedBytes:
    """Memory of several queues; a message that several of them hold is counted once."""

    def __init__(self) -> None:
        self.count = 0
        self._holders: Counter[int] = Counter()

    def add(self, data: bytes) -> None:
        self._holders[id(data)] += 1
        if self._holders[id(data)] == 1:
            self.count += len(data)

    def remove(self, data: bytes) -> None:
        self._holders[id(data)] -= 1
        if not self._holders[id(data)]:
            del self._holders[id(data)]
            self.count -= len(data)

    def would_be(self, data: bytes) -> int:
        """Return the count after adding a message."""
        return self.count + (0 if id(data) in self._holders else len(data))


class SendQueue:
    """Packed messages that wait for a socket; several queues may hold the same bytes.

    Args:
        max_bytes: size of the queue; one message fits into an empty queue in any case.
        now_s: current time.
        shared: memory of several queues.
    """

    def __init__(self, max_bytes: int, now_s: float, shared: QueuedBytes | None = None) -> None:
        self.max_bytes = max_bytes
        self.waiting_bytes = 0
        self.sent_bytes = 0
        self._shared = QueuedBytes() if shared is None else shared
        self._messages: deque[bytes] = deque()
        self._sent_of_first = 0
        self._progress_at_s = now_s

    def put(self, data: bytes, now_s: float) -> bool:
        """Add a message; return False if it does not fit."""
        if self._messages and self.waiting_bytes + len(data) > self.max_bytes:
            return False
        if not self._messages:
            self._progress_at_s = now_s
        self._messages.append(data)
        self._shared.add(data)
        self.waiting_bytes += len(data)
        return True

    def send(self, sock: socket.socket, now_s: float) -> bool:
        """Send what the socket accepts without blocking; return False if that is nothing.

        Raises:
            OSError: the connection is lost.
        """
        if not self._messages:
            return False
        first, start = self._messages[0], self._sent_of_first
        try:
            count = sock.send(memoryview(first)[start : start + SEND_BYTES])
        except BlockingIOError:
            return False
        self._progress_at_s = now_s
        self.waiting_bytes -= count
        self.sent_bytes += count
        self._sent_of_first += count
        if self._sent_of_first == len(first):
            self._shared.remove(self._messages.popleft())
            self._sent_of_first = 0
        return True

    def clear(self) -> None:
        """Remove all messages, since the connection is lost."""
        while self._messages:
            self._shared.remove(self._messages.popleft())
        self.waiting_bytes = self._sent_of_first = 0

    def stalled_s(self, now_s: float) -> float:
        """Return for how many seconds the peer has read nothing while messages wait; 0 if none waits."""
        return now_s - self._progress_at_s if self._messages else 0.0

    def __bool__(self) -> bool:
        return bool(self._messages)
