"""The server: several clients, slow ones and silent ones, and ports that cannot be had."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import LinkError, MessageError
from CRLMSegmentationLib.igtl.messages import StringMessage
from CRLMSegmentationLib.igtl.packing import HEADER_BYTES, pack, parse_header
from CRLMSegmentationLib.igtl.server import IgtlServer
from igtl_links import Link, image, transform


def raw_client(server: IgtlServer) -> socket.socket:
    """A client that shows nothing of itself, once it is served."""
    count = len(server.clients)
    sock = socket.create_connection((server.host, server.port))
    sock.settimeout(5)
    end_s = time.monotonic() + 5
    while len(server.clients) == count:
        assert time.monotonic() < end_s
        server.poll(0.01)
    return sock


def read_exactly(sock: socket.socket, count: int, server: IgtlServer | None = None) -> bytes:
    data = bytearray()
    while len(data) < count:
        if server:
            server.poll(0)
        data += sock.recv(count - len(data))
    return bytes(data)


def test_several_clients_get_everything(link: Link) -> None:
    clients = [link.client() for _ in range(5)]
    link.server.broadcast(image((60, 50, 40)))
    link.server.broadcast(transform())
    got = link.poll_until(lambda: all(c.statistics.received["TRANSFORM"] for c in clients))
    for client in clients:
        assert [m.device for m in got[client]] == ["recvol_Reference", "ProbeToReference"]
        np.testing.assert_array_equal(got[client][0].array, image((60, 50, 40)).array)


def test_late_client_gets_the_retained_volume_at_once_but_no_old_transform(link: Link) -> None:
    link.server.broadcast(image(device="old"), retain=True)
    link.server.broadcast(image((9, 8, 7), device="recvol_Reference"), retain=True)
    link.server.broadcast(image((5, 5, 5), device="recvol_Reference"), retain=True)
    link.server.broadcast(transform())
    client = link.client()
    got = link.receive(client, 2)
    assert [(m.device, m.array.shape) for m in got] == [("old", (4, 3, 2)), ("recvol_Reference", (5, 5, 5))]
    link.server.poll(0.05)
    assert client.poll() == []


def test_version_1_client_is_spoken_to_in_version_1_and_gets_no_invalid_pose() -> None:
    with IgtlServer() as server:
        sock = raw_client(server)
        server.broadcast(transform("Lost", status="MISSING"))
        server.broadcast(transform("Good"))
        server.flush(5)
        header = parse_header(read_exactly(sock, HEADER_BYTES))
        assert (header.version, header.device, header.body_bytes) == (1, "Good", 48)
        sock.close()


def test_a_slow_client_holds_up_nobody(link: Link) -> None:
    slow = raw_client(link.server)
    client = link.client()
    for _ in range(3):
        link.server.broadcast(image((200, 200, 200)))
        link.receive(client)
    assert link.server.clients[0].queue.waiting_bytes > 10_000_000
    assert client.statistics.received["IMAGE"] == 3
    slow.close()


def test_the_queue_of_a_slow_client_is_bounded() -> None:
    with IgtlServer(max_queue_bytes=20_000_000) as server:
        slow = raw_client(server)
        for _ in range(10):
            server.broadcast(image((200, 200, 200)))
            server.poll(0)
        (served,) = server.clients
        assert served.queue.waiting_bytes <= 20_000_000
        assert served.left_out >= 6
        slow.close()


def test_a_client_that_takes_nothing_is_dropped() -> None:
    now_s = [0.0]
    with IgtlServer(send_timeout_s=30.0, clock=lambda: now_s[0]) as server:
        sock = socket.create_connection((server.host, server.port))
        server.poll(1.0)
        now_s[0] = 1.0
        server.poll(0)
        server.broadcast(image((200, 200, 200)))
        for _ in range(50):
            server.poll(0.001)
        now_s[0] = 30.0
        server.poll(0)
        assert len(server.clients) == 1
        now_s[0] = 31.5
        server.poll(0)
        assert not server.clients
        sock.close()


def test_a_client_that_takes_little_but_something_is_kept() -> None:
    now_s = [0.0]
    with IgtlServer(send_timeout_s=30.0, clock=lambda: now_s[0]) as server:
        sock = socket.create_connection((server.host, server.port))
        server.poll(1.0)
        now_s[0] = 1.0
        server.poll(0)
        server.broadcast(image((300, 300, 300)))
        for now_s[0] in (20.0, 40.0, 60.0):
            read_exactly(sock, 4_000_000, server)
        assert len(server.clients) == 1
        assert server.clients[0].queue
        sock.close()


def test_a_client_that_leaves_is_forgotten(link: Link) -> None:
    client, other = link.client(), link.client()
    client.close()
    link.poll_until(lambda: len(link.server.clients) == 1)
    link.server.broadcast(transform())
    assert [m.device for m in link.receive(other)] == ["ProbeToReference"]


def test_a_client_that_leaves_in_the_middle_of_a_volume(link: Link) -> None:
    sock = raw_client(link.server)
    client = link.client()
    link.server.broadcast(image((200, 200, 200)))
    link.server.poll(0.01)
    sock.close()
    link.receive(client)
    link.poll_until(lambda: len(link.server.clients) == 1)


def test_a_client_that_sends_garbage_is_dropped_alone(link: Link) -> None:
    client = link.client()
    sock = raw_client(link.server)
    sock.sendall(b"\xff" * 100)
    link.poll_until(lambda: len(link.server.clients) == 1)
    link.server.broadcast(transform())
    assert len(link.receive(client)) == 1
    sock.close()


def test_messages_of_clients_are_received(link: Link) -> None:
    sock = raw_client(link.server)
    sock.sendall(pack(StringMessage("CMD_7", 1.0, "text")))
    link.poll_until(lambda: bool(link.got_by_server))
    assert link.got_by_server[0].text == "text"
    sock.close()


def test_too_many_clients_are_refused() -> None:
    with IgtlServer(max_clients=1) as server:
        first = raw_client(server)
        second = socket.create_connection((server.host, server.port))
        second.settimeout(5)
        server.poll(1.0)
        assert second.recv(1) == b""
        assert len(server.clients) == 1
        first.close()
        second.close()


def test_port_in_use_is_named_with_the_next_action() -> None:
    with IgtlServer() as server, pytest.raises(LinkError, match=f"port {server.port} on 127.0.0.1 is in use.*--port"):
        IgtlServer(port=server.port)


def test_port_is_free_again_after_close() -> None:
    with IgtlServer() as server:
        sock, port = raw_client(server), server.port
    with IgtlServer(port=port) as again:
        assert again.port == port
    sock.close()


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70000), ("192.0.2.1", 0), ("no such host", 0)])
def test_impossible_addresses_are_told(host: str, port: int) -> None:
    with pytest.raises(LinkError, match=r"use 127\.0\.0\.1|choose another|from 0 to 65535"):
        IgtlServer(host, port)


def test_loopback_is_the_default(link: Link) -> None:
    assert link.server.host == "127.0.0.1"


def test_what_cannot_be_sent_is_told_even_without_a_client(link: Link) -> None:
    with pytest.raises(MessageError, match="65535"):
        link.server.broadcast(StringMessage("S", 1.0, "x" * 70000))


def test_flush_without_a_reader_ends_in_time() -> None:
    with IgtlServer() as server:
        sock = raw_client(server)
        server.broadcast(image((200, 200, 200)))
        start_s = time.monotonic()
        assert not server.flush(0.2)
        assert time.monotonic() - start_s < 1.0
        sock.close()


def test_ctrl_c_while_a_client_is_dropped_does_not_spoil_the_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket is closed already, what follows has not been done yet."""
    server = IgtlServer()
    raw_client(server).close()
    unregister = server._selector.unregister

    def interrupted(sock: socket.socket) -> None:
        unregister(sock)
        sock.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(server._selector, "unregister", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.poll(5.0)
    monkeypatch.undo()
    server.close()
