"""Faults while a link is in use: servers killed, networks that stand still, receivers suspended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.messages import StringMessage
from CRLMSegmentationLib.igtl.packing import pack
from CRLMSegmentationLib.igtl.server import IgtlServer
from CRLMSegmentationLib.segmentation.incoming import LinkChanged, TransformArrived
from CRLMSegmentationLib.segmentation.session import Session
from helpers.igtl_links import PATIENCE_S, free_port, image, transform
from helpers.paths import ROOT

LIBRARY = ROOT / "CRLMSegmentation"
KILLS = 20

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

SENDER = """
import socket, struct, sys, time
port, message = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
listener = socket.create_server(("127.0.0.1", port))
print("listening", flush=True)
peer, _ = listener.accept()
peer.recv(4096)
number = 0
while True:
    number += 1
    peer.sendall(message[:34] + struct.pack(">II", number, 0) + message[42:])
    print(number, flush=True)
    time.sleep(0.002)
"""
"""Numbers its messages in the time of the header. Without this library, so that it starts at once.

It reads what the client sends on connecting: else the system would reset the connection when the process is killed, and
throw away what a client on a busy machine has not read yet.
"""

RECEIVER = """
import sys, time
from CRLMSegmentationLib.igtl.client import IgtlClient
with IgtlClient("127.0.0.1", int(sys.argv[1])) as client:
    while True:
        for message in client.wait(1.0):
            print(message.text.split()[0], client.statistics.connections, flush=True)
            if message.text == "last":
                sys.exit()
"""


class IdleEngine:
    """Never asked for anything."""

    def start(self) -> None: ...

    def poll(self) -> list:
        return []

    def close(self) -> None: ...


class Sender:
    """A child process that sends numbered transforms until it is killed."""

    def __init__(self, port: int) -> None:
        message = pack(transform())
        command = [sys.executable, "-S", "-c", SENDER, str(port), message.hex()]
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._child.stdout.readline() == b"listening\n"

    def kill(self) -> int:
        """Kill it, and return the number of the last message that it has surely sent."""
        self._child.send_signal(signal.SIGKILL)
        lines = self._child.stdout.read().splitlines()
        self._child.wait()
        self._child.stdout.close()
        return int(lines[-1]) if lines else 0


def test_server_that_is_killed_and_restarted_20_times() -> None:
    """The link is back each time, nothing that was sent is lost, and the state is told as it is."""
    port, changes = free_port(), 0
    with Session(IdleEngine(), None, IgtlClient("127.0.0.1", port)) as session:
        for _ in range(KILLS):
            sender, start_s, numbers = Sender(port), time.monotonic(), []
            try:
                while len(numbers) < 30:
                    assert time.monotonic() - start_s < PATIENCE_S, session.link.state_reason
                    numbers += [event.message.timestamp_s for event in _events(session, TransformArrived)]
                    if numbers:
                        assert session.link.state is LinkState.CONNECTED
            finally:
                sent = sender.kill()
            end_s = time.monotonic() + PATIENCE_S
            while session.link.state is LinkState.CONNECTED:
                assert time.monotonic() < end_s, "the link was not seen to end"
                numbers += [event.message.timestamp_s for event in _events(session, TransformArrived)]
            assert session.link.state is LinkState.RETRYING
            assert session.link.state_reason
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) >= sent
            changes += session.changes
            session.changes = 0
        assert session.link.statistics.connections == KILLS
    assert changes <= 4 * KILLS


def _events(session: Session, kind: type) -> list:
    events = session.poll(0.004)
    session.changes = getattr(session, "changes", 0) + sum(isinstance(event, LinkChanged) for event in events)
    time.sleep(0.001)
    return [event for event in events if isinstance(event, kind)]


class StallingProxy:
    """A network between a client and a server that can stand still, in a thread.

    Args:
        stall_after_bytes: towards the client; then it forwards nothing until `go_on`.
    """

    def __init__(self, server_port: int, stall_after_bytes: int) -> None:
        self._server_port, self._left_bytes = server_port, stall_after_bytes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.stalled, self._may_go_on, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_on(self) -> None:
        self._may_go_on.set()

    def close(self) -> None:
        self._ended.set()
        self._may_go_on.set()
        self._listener.close()
        self._thread.join(5)

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            near, _ = self._listener.accept()
            far = socket.create_connection(("127.0.0.1", self._server_port))
            with near, far:
                while not self._ended.is_set():
                    for sock in select.select([near, far], [], [], 0.1)[0]:
                        self._forward(sock, near, far)

    def _forward(self, sock: socket.socket, near: socket.socket, far: socket.socket) -> None:
        data = sock.recv(1 << 16)
        if sock is near:
            far.sendall(data)
            return
        if self._left_bytes < len(data) and not self.stalled.is_set():
            near.sendall(data[: self._left_bytes])
            data = data[self._left_bytes :]
            self.stalled.set()
            self._may_go_on.wait()
        self._left_bytes -= len(data)
        near.sendall(data)


@pytest.fixture
def now_s() -> list[float]:
    """The time of the ends, which passes as the test says."""
    return [0.0]


@pytest.fixture
def server(now_s: list[float]) -> Iterator[IgtlServer]:
    with IgtlServer(clock=lambda: now_s[0]) as made:
        yield made


def _drive(server: IgtlServer, client: IgtlClient) -> list:
    """A turn of both ends. One that waited for a network that stands still would never come back."""
    server.poll(0.001)
    return client.poll()


def test_network_that_stands_still_for_10_s_in_the_middle_of_a_volume_of_27_mb(
    server: IgtlServer, now_s: list[float]
) -> None:
    proxy = StallingProxy(server.port, stall_after_bytes=11_000_000)
    with IgtlClient("127.0.0.1", proxy.port, clock=lambda: now_s[0]) as client:
        end_s = time.monotonic() + PATIENCE_S
        while not server.clients:
            assert time.monotonic() < end_s
            _drive(server, client)
        volume = image((300, 300, 300))
        server.broadcast(volume)
        while not proxy.stalled.is_set():
            assert time.monotonic() < end_s
            _drive(server, client)
        while client.receiving is None or client.receiving.received_bytes < 10_900_000:
            assert time.monotonic() < end_s
            _drive(server, client)
        reasons, got = set(), []
        for _ in range(102):
            now_s[0] += 0.1
            assert _drive(server, client) == []
            assert client.state is LinkState.CONNECTED
            assert client.receiving.total_bytes > 27_000_000
            reasons.add(client.state_reason)
        assert client.silent_s > 9
        assert any(f"nothing has come for 9 s in the middle of '{volume.device}'" in reason for reason in reasons)
        proxy.go_on()
        end_s = time.monotonic() + PATIENCE_S
        while not got:
            assert time.monotonic() < end_s
            got += _drive(server, client)
        np.testing.assert_array_equal(got[0].array, volume.array)
        assert client.state_reason == ""
        assert client.statistics.connections == 1
        assert not client.statistics.dropped
    proxy.close()


def test_receiver_that_is_suspended_for_5_s_loses_nothing(server: IgtlServer, now_s: list[float]) -> None:
    command = [sys.executable, "-c", RECEIVER, str(server.port), str(LIBRARY)]
    receiver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        end_s = time.monotonic() + PATIENCE_S
        while not server.clients:
            assert time.monotonic() < end_s
            server.poll(0.05)
        sent = 0
        while sent < 520:
            server.broadcast(StringMessage("Number", 1.0, f"{sent} {'x' * 20_000}"))
            server.poll(0.0)
            sent += 1
            if sent == 20:
                receiver.send_signal(signal.SIGSTOP)
            now_s[0] += 0.01
        assert server.waiting_bytes > 0, "the system's buffers hold all of it, which shows nothing"
        receiver.send_signal(signal.SIGCONT)
        server.broadcast(StringMessage("Number", 1.0, "last"))
        while server.waiting_bytes:
            assert time.monotonic() < end_s
            server.poll(0.05)
        lines = [line.split() for line in receiver.communicate(timeout=PATIENCE_S)[0].splitlines()]
    finally:
        receiver.kill()
        receiver.wait()
    assert [line[0] for line in lines] == [*map(str, range(sent)), "last"]
    assert {line[-1] for line in lines} == {"1"}, "the connection was kept"


def test_host_that_does_not_answer_blocks_nothing_and_is_tried_often(now_s: list[float]) -> None:
    """A listener whose queue is full answers no further SYN, as a host that is off: who waits, waits for minutes."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    while not select.select([], fillers, [], PATIENCE_S)[1]:
        pass
    start_s = time.monotonic()
    with IgtlClient("127.0.0.1", listener.getsockname()[1], clock=lambda: now_s[0]) as client:
        while now_s[0] < 4.0:
            now_s[0] += 0.01
            assert client.poll() == []
        assert client.state is LinkState.RETRYING
        assert "no answer" in client.state_reason
    assert time.monotonic() - start_s < PATIENCE_S
    for sock in (*fillers, listener):
        sock.close()


def test_connection_that_is_reset_in_the_middle_of_messages_delivers_those_before() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with IgtlClient("127.0.0.1", listener.getsockname()[1]) as client:
        end_s = time.monotonic() + PATIENCE_S
        while client.state is not LinkState.CONNECTED:
            assert time.monotonic() < end_s
            client.poll()
        peer, _ = listener.accept()
        peer.sendall(pack(transform()) * 10 + pack(transform())[:70])
        got = []
        while client.receiving is None or client.receiving.received_bytes < 12:
            assert time.monotonic() < end_s
            got += client.poll()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        while client.state is LinkState.CONNECTED:
            assert time.monotonic() < end_s
            got += client.poll()
        assert len(got) == 10
        assert "lost 'ProbeToReference' after 12 of 48 bytes" in client.state_reason
    listener.close()
