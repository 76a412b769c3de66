"""OpenIGTLink client without a thread: its owner calls `poll` every few milliseconds.

In Slicer a QTimer does so (a Python thread starves there); on the command line `wait` sleeps until bytes arrive. A
broken network raises no exception: `state` and `state_reason` describe it, and the client reconnects by itself.
"""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections.abc import Callable, Iterable

from ..core.errors import LinkError
from ..core.text import printable
from .limits import limited
from .link import LinkState, reason_kind
from .messages import Message, PatientFrame, StatusMessage
from .packing import pack
from .protocol import MAX_BODY_BYTES, Decoder, OnMessage, ReceiveProgress, Refusal
from .sockets import (
    CHUNK_BYTES,
    MAX_QUEUE_BYTES,
    SEND_TIMEOUT_S,
    AddressLookup,
    Endpoint,
    SendQueue,
    check_connected,
    check_port,
    connect,
    prepare,
    reason_of,
)
from .statistics import DropReason, LinkStatistics, MessageProblem

logger = logging.getLogger(__name__)

BACKOFF_S = (0.1, 0.5)
"""First and longest pause between two attempts, so that a restarted server is found within 2 s."""
CONNECT_TIMEOUT_S = 1.5
"""A host that was off missed the first SYN; the operating system repeats it after 1 s, then only after 3 s."""
LASTING_S = 1.0
"""A connection that lasted longer counts as success: after it the pause between attempts starts short again."""
STALL_TIMEOUT_S = 30.0
"""A network may pause in the middle of a volume, even for 10 s, and continue."""
LOOKUP_POLL_S = 0.01
SILENCE_S = 3.0
"""Time without a byte after which `state_reason` reports it."""
CLIENT_NAME = "CRLMSegmentation"


class IgtlClient:
    """Receives messages from PLUS, a scanner or a replay, and reconnects when the connection is lost.

    Args:
        frame: patient frame of the coordinates that the server sends.
        max_body_bytes: a larger message closes the connection.
        introduce: send a STATUS with header version 2 on connecting, as SlicerOpenIGTLink does, so that the server
            sends transforms with their status; turn off for servers built on the OpenIGTLink 1.x library.
        stall_timeout_s: how long the server may pause in the middle of a message.
        clock: monotonic, seconds.
        on_message: called with the bytes of each message, see `protocol.Decoder`.
        refusal: decides which volumes are refused, see `protocol.Decoder`.

    Raises:
        LinkError: the port is out of range.
    """

    def __init__(
        self,
        host: str,
        port: int,
        frame: PatientFrame = PatientFrame.RAS,
        max_body_bytes: int = MAX_BODY_BYTES,
        introduce: bool = True,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
        on_message: OnMessage | None = None,
        refusal: Refusal | None = None,
    ) -> None:
        check_port(port, lowest=1)
        self.host, self.port, self.frame = host, port, frame
        self.state, self.state_reason = LinkState.CONNECTING, ""
        self.statistics = LinkStatistics()
        self._max_body_bytes, self._on_message = max_body_bytes, on_message
        self._refusal = refusal
        self._introduce, self._stall_timeout_s, self._clock = introduce, stall_timeout_s, clock
        self._selector = selectors.DefaultSelector()
        self._log = limited(logger, clock)
        self._lookup: AddressLookup | None = None
        self._socket: socket.socket | None = None
        self._attempts = 0
        self._backoff_s, self._retry_at_s, self._attempt_at_s = BACKOFF_S[0], 0.0, 0.0
        self._connected_at_s = self._received_at_s = 0.0
        self._reset()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def receiving(self) -> ReceiveProgress | None:
        """The message that is being received, or None."""
        return self._decoder.receiving

    @property
    def problems(self) -> Iterable[MessageProblem]:
        """Reasons for which messages were lost or odd, with counts."""
        return self.statistics.problems

    @property
    def problem(self) -> str:
        """The newest of the reasons for which messages were lost, or an empty text."""
        return self.statistics.last_problem

    @property
    def epoch(self) -> int:
        """Number of connections made so far."""
        return self.statistics.connections

    @property
    def silent_s(self) -> float | None:
        """Seconds since the last byte arrived; None while not connected. PLUS sends a STATUS as keep-alive."""
        return self._clock() - self._received_at_s if self.state is LinkState.CONNECTED else None

    def poll(self, budget_s: float = 0.004) -> list[Message]:
        """Connect, send and receive without blocking, and return the messages that are complete.

        Args:
            budget_s: stop reading after this time; the next call continues.
        """
        now_s = self._clock()
        if self.state is LinkState.CLOSED:
            return []
        if self._socket is None and now_s >= self._retry_at_s:
            self._start_connecting(now_s)
        if self._socket is not None and self.state is not LinkState.CONNECTED:
            self._finish_connecting(self._socket, now_s)
        if self._socket is None or self.state is not LinkState.CONNECTED:
            return []
        messages: list[Message] = []
        try:
            self._send(self._socket, now_s + budget_s)
            self._receive(self._socket, messages, now_s + budget_s)
            self._report_silence()
        except LinkError as error:
            self._disconnect(str(error))
        except OSError as error:
            self._disconnect(reason_of(error))
        return messages

    def wait(self, timeout_s: float) -> list[Message]:
        """Sleep until a message is complete or the timeout is over. For the command line, not for Slicer."""
        end_s = self._clock() + timeout_s
        while True:
            messages = self.poll(max(0.004, min(0.1, end_s - self._clock())))
            left_s = end_s - self._clock()
            if messages or left_s <= 0 or self.state is LinkState.CLOSED:
                return messages
            if self._socket is None:
                time.sleep(min(left_s, max(LOOKUP_POLL_S, self._retry_at_s - self._clock())))
            else:
                self._selector.select(min(left_s, 0.1))

    def send(self, message: Message) -> None:
        """Queue a message that the next `poll` sends.

        Raises:
            LinkError: not connected, or the queue is full because the server reads nothing.
            MessageError: the message cannot be packed.
        """
        if self._socket is None or self.state is not LinkState.CONNECTED:
            raise LinkError(f"not connected: {self.state_reason or f'still connecting to {self.address}'}")
        data = pack(message, self._decoder.peer_version, self.frame)
        if not self._queue.put(data, self._clock()):
            raise LinkError(f"{self.address} takes no more data; wait, or connect again")
        self.statistics.sent += 1
        self._watch(self._socket)

    def close(self) -> None:
        """Close the connection and do not reconnect."""
        if self.state is not LinkState.CLOSED:
            self._drop_socket()
            self._selector.close()
            self._set_state(LinkState.CLOSED, "closed")

    def __enter__(self) -> IgtlClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reset(self) -> None:
        self._broken = ""
        self._decoder = Decoder(self.frame, self._max_body_bytes, self.statistics, self._on_message, self._refusal)
        self._queue = SendQueue(MAX_QUEUE_BYTES, self._clock())

    def _start_connecting(self, now_s: float) -> None:
        if self._lookup is None:
            self._lookup, self._attempt_at_s = AddressLookup(self.host, self.port), now_s
        try:
            found = self._lookup.addresses()
            if found:
                self._lookup, self._attempt_at_s = None, now_s
                self._open(found[self._attempts % len(found)])
            elif now_s - self._attempt_at_s > CONNECT_TIMEOUT_S:
                why = "no answer yet from the name server; give the number of the host"
                self._set_state(LinkState.RETRYING, f"{self.address}: {why}")
        except (OSError, LinkError) as error:
            self._lookup = None
            self._disconnect(reason_of(error) if isinstance(error, OSError) else str(error))

    def _open(self, endpoint: Endpoint) -> None:
        self._attempts += 1
        self._socket = sock = socket.socket(endpoint.family, endpoint.kind, endpoint.protocol)
        self._selector.register(sock, selectors.EVENT_WRITE)
        prepare(sock)
        connect(sock, endpoint.address)

    def _finish_connecting(self, sock: socket.socket, now_s: float) -> None:
        if self._selector.select(0):
            try:
                check_connected(sock)
                self._set_connected(sock, now_s)
            except OSError as error:
                self._disconnect(reason_of(error))
        elif now_s - self._attempt_at_s > CONNECT_TIMEOUT_S:
            self._disconnect("no answer; check host, network and firewall")

    def _set_connected(self, sock: socket.socket, now_s: float) -> None:
        self._reset()
        self._connected_at_s = self._received_at_s = now_s
        self.statistics.connections += 1
        self._set_state(LinkState.CONNECTED, "")
        if self._introduce:
            self._queue.put(pack(StatusMessage(CLIENT_NAME, time.time()), version=2), now_s)
        self._watch(sock)

    def _send(self, sock: socket.socket, end_s: float) -> None:
        """Send what is queued. An error ends the connection only after what the server has sent before is read."""
        before = self._queue.sent_bytes
        try:
            while self._queue.send(sock, self._clock()) and self._clock() < end_s:  # once in any case
                pass
        except OSError as error:
            self._queue.clear()
            self._broken = reason_of(error)
        self.statistics.sent_bytes += self._queue.sent_bytes - before
        if self._queue.stalled_s(self._clock()) > SEND_TIMEOUT_S:
            self._queue.clear()
            self._broken = f"the server has taken nothing for {SEND_TIMEOUT_S:.0f} s"
        self._watch(sock)

    def _receive(self, sock: socket.socket, messages: list[Message], end_s: float) -> None:
        """Read until nothing is left or time is up; messages completed before an error stay in `messages`."""
        while True:
            try:
                count = sock.recv_into(self._decoder.writable()[:CHUNK_BYTES])
            except BlockingIOError:
                if self._broken:
                    raise LinkError(self._broken) from None
                self._check_stall()
                return
            if count == 0:
                raise LinkError("the server closed the connection")
            self._received_at_s = self._clock()
            messages += self._decoder.advance(count)
            if self._received_at_s >= end_s:
                return

    def _report_silence(self) -> None:
        silent_s = int(self._clock() - self._received_at_s)
        within = f" in the middle of {self._decoder.unfinished}" if self._decoder.unfinished else ""
        reason = f"nothing has come for {silent_s} s{within}" if silent_s >= SILENCE_S else ""
        self._set_state(LinkState.CONNECTED, reason)

    def _check_stall(self) -> None:
        """End a connection that stalls within a message; only after an empty read, lest a busy caller be the cause."""
        silent_s = self._clock() - self._received_at_s
        if self._decoder.unfinished and silent_s > self._stall_timeout_s:
            raise LinkError(f"the server stopped in the middle of a message {silent_s:.0f} s ago")

    def _disconnect(self, reason: str) -> None:
        lost = self._decoder.unfinished
        if lost:
            self.statistics.drop(DropReason.CUT_SHORT, lost)
            reason = f"{reason}, and lost {lost}"
        if self.state is LinkState.CONNECTED and self._clock() - self._connected_at_s >= LASTING_S:
            self._backoff_s = BACKOFF_S[0]
        self._drop_socket()
        self._reset()
        self._retry_at_s = self._clock() + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, BACKOFF_S[1])
        self._set_state(LinkState.RETRYING, f"{self.address}: {reason}")

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _watch(self, sock: socket.socket) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._queue else 0)
        if self._selector.get_key(sock).events != events:
            self._selector.modify(sock, events)

    def _set_state(self, state: LinkState, reason: str) -> None:
        before = (self.state, reason_kind(self.state_reason))
        self.state, self.state_reason = state, printable(reason)
        if (state, reason_kind(self.state_reason)) != before:
            level = logging.WARNING if reason and state is not LinkState.CLOSED else logging.INFO
            self._log(level, f"link to {self.address}: {state.value} {reason}".rstrip())
