"""What client and server share: non-blocking sockets, a bounded queue of bytes to send, plain reasons."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque

from ..core.errors import LinkError

CHUNK_BYTES = 256 << 10
"""Read at once: checking and storing it takes under 1 ms, so that a timer tick stays short."""
DEFAULT_PORT = 18944
"""OpenIGTLink's own."""
MAX_PORT = 65535
SEND_BYTES = 1 << 20
MAX_QUEUE_BYTES = 512 << 20
SEND_TIMEOUT_S = 30.0
KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
"""A peer whose cable was pulled is noticed after about 11 s, where the system offers it."""

UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY)
REASONS = {
    errno.ECONNREFUSED: "nothing listens there; start PLUS or the replay, or check host and port",
    errno.ECONNRESET: "the peer broke the connection off",
    errno.EPIPE: "the peer broke the connection off",
    errno.ETIMEDOUT: "no answer; check the network and the firewall",
    errno.EHOSTUNREACH: "the host cannot be reached; check the network",
    errno.ENETUNREACH: "the host cannot be reached; check the network",
}


def check_port(port: int, lowest: int) -> None:
    """Refuse what is no port; `getaddrinfo` would silently take another one.

    Raises:
        LinkError: out of range.
    """
    if not lowest <= port <= MAX_PORT:
        raise LinkError(
            f"a port is a number from {lowest} to {MAX_PORT}, got {port}; OpenIGTLink's own is {DEFAULT_PORT}"
        )


def reason_of(error: OSError) -> str:
    """Plain words for a socket error."""
    return REASONS.get(error.errno, f"{error.strerror or error}")


def connect(sock: socket.socket, address: tuple) -> None:
    """Begin to connect a non-blocking socket.

    Raises:
        OSError: it is refused at once.
    """
    number = sock.connect_ex(address)
    if number not in UNDER_WAY:
        raise OSError(number, os.strerror(number))


def check_connected(sock: socket.socket) -> None:
    """Make sure that a socket that has become writable has found a peer, other than itself.

    On the loopback a socket that looks for a free port's server can be given that very port and meet itself.

    Raises:
        OSError: why the connection was not made.
    """
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))
    if sock.getsockname() == sock.getpeername():
        raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


def prepare(sock: socket.socket) -> None:
    """No blocking, no delay for small messages, and a sign when the peer is gone without a word."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class SendQueue:
    """Packed messages that wait for a socket; the bytes of a message may stand in several queues.

    Args:
        max_bytes: a message beyond this is not taken, except into an empty queue.
        now_s: the time at the start.
    """

    def __init__(self, max_bytes: int, now_s: float) -> None:
        self.max_bytes = max_bytes
        self.waiting_bytes = 0
        self.sent_bytes = 0
        self._parts: deque[memoryview] = deque()
        self._progress_at_s = now_s

    def put(self, data: bytes, now_s: float) -> bool:
        """Take a message; False when there is no room."""
        if self._parts and self.waiting_bytes + len(data) > self.max_bytes:
            return False
        if not self._parts:
            self._progress_at_s = now_s
        self._parts.append(memoryview(data))
        self.waiting_bytes += len(data)
        return True

    def send(self, sock: socket.socket, now_s: float) -> bool:
        """Hand the socket what it takes at once; False when it takes nothing.

        Raises:
            OSError: the connection is gone.
        """
        if not self._parts:
            return False
        try:
            count = sock.send(self._parts[0][:SEND_BYTES])
        except BlockingIOError:
            return False
        self._progress_at_s = now_s
        self.waiting_bytes -= count
        self.sent_bytes += count
        rest = self._parts.popleft()[count:]
        if rest:
            self._parts.appendleft(rest)
        return True

    def stalled_s(self, now_s: float) -> float:
        """For how long the peer has taken nothing of what waits for it."""
        return now_s - self._progress_at_s if self._parts else 0.0

    def __bool__(self) -> bool:
        return bool(self._parts)
