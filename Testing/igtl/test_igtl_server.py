"""The server: several clients, slow ones and silent ones, and ports that cannot be had."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import LinkError, MessageError
from CRLMSegmentationLib.igtl import served_client
from CRLMSegmentationLib.igtl import server as server_module
from CRLMSegmentationLib.igtl.messages import StatusMessage, StringMessage
from CRLMSegmentationLib.igtl.packing import HEADER_BYTES, pack, parse_header
from CRLMSegmentationLib.igtl.server import IgtlServer
from helpers.igtl_links import PATIENCE_S, Link, image, transform


def raw_client(server: IgtlServer) -> socket.socket:
    """A client that shows nothing of itself, once it is served."""
    count = len(server.clients)
    sock = socket.create_connection((server.host, server.port))
    sock.settimeout(PATIENCE_S)
    end_s = time.monotonic() + PATIENCE_S
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
        server.flush(PATIENCE_S)
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
        second.settimeout(PATIENCE_S)
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
        assert not server.flush(0.2)  # which would not return before somebody reads
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


def poll_until(server: IgtlServer, done: Callable[[], bool], timeout_s: float = PATIENCE_S) -> list:
    got, end_s = [], time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < end_s, "the server did not get there in time"
        got += server.poll(0.01)
    return got


def send_all(sock: socket.socket, data: bytes, server: IgtlServer) -> None:
    """Send more than the system buffers, while the server is polled."""
    sock.setblocking(False)
    rest = memoryview(data)
    end_s = time.monotonic() + PATIENCE_S
    while rest:
        assert time.monotonic() < end_s
        try:
            rest = rest[sock.send(rest) :]
        except BlockingIOError:
            server.poll(0.01)
        except OSError:
            return


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_who_can_connect_is_logged_when_it_is_not_only_this_machine(host: str, caplog) -> None:
    with caplog.at_level(logging.WARNING), IgtlServer(host) as server:
        expected = [] if host == "127.0.0.1" else [f"port {server.port} is open on 0.0.0.0: whoever reaches it"]
    assert [record.message.partition(" over")[0] for record in caplog.records] == expected


def test_client_that_declares_more_than_a_command_is_dropped_before_memory_is_taken() -> None:
    with IgtlServer() as server:
        sock = raw_client(server)
        sock.sendall(pack(image((200, 200, 200)))[:HEADER_BYTES])
        poll_until(server, lambda: not server.clients)
        assert server.statistics.dropped == {"body too large": 1}
        sock.close()


def test_client_that_never_finishes_a_message_is_dropped_however_diligent() -> None:
    now_s = [0.0]
    with IgtlServer(clock=lambda: now_s[0]) as server:
        loris, other = socket.create_connection((server.host, server.port)), None
        poll_until(server, lambda: bool(server._clients))
        now_s[0] = 1.0
        server.poll(0)
        other = socket.create_connection((server.host, server.port))
        data = pack(StringMessage("CMD_1", 1.0, "x" * 1000))
        for byte in data[:62]:
            loris.sendall(bytes([byte]))
            now_s[0] += 0.5
            server.poll(0.01)
        assert [c.socket.getpeername() for c in server.clients] == [other.getsockname()]
        assert server.statistics.dropped == {"link broke in the middle of a message": 1}
        loris.close()
        other.close()


def test_server_that_was_suspended_does_not_blame_its_clients() -> None:
    now_s = [0.0]
    with IgtlServer(clock=lambda: now_s[0]) as server:
        sock = socket.create_connection((server.host, server.port))
        data = pack(StringMessage("CMD_1", 1.0, "x"))
        sock.sendall(data[:30])
        poll_until(server, lambda: bool(server._clients) and server._clients[0].decoder.unfinished != "")
        now_s[0] = 1000.0
        server.poll(0)
        sock.sendall(data[30:])
        assert len(poll_until(server, lambda: bool(server.statistics.received))) == 1
        sock.close()


def test_client_that_floods_is_read_slowly_and_is_not_looked_at_meanwhile() -> None:
    """In 3 s of the server's clock: what it reads is counted, however fast the machine is."""
    now_s = [0.0]
    with IgtlServer(clock=lambda: now_s[0]) as server:
        flooding = socket.create_connection((server.host, server.port))
        poll_until(server, lambda: bool(server._clients))
        flooding.setblocking(False)
        flood = memoryview(pack(StatusMessage("", 1.0)) * 50_000)
        at, got, unwatched = 0, 0, 0
        while now_s[0] < 3.0:
            with contextlib.suppress(BlockingIOError):
                at = (at + flooding.send(flood[at:])) % len(flood)
            got += len(server.poll(0))
            unwatched += server._clients[0].socket not in server._selector.get_map()
            now_s[0] += 0.0005
        bound = (served_client.INBOUND_BURST_BYTES + 4 * served_client.INBOUND_BYTES_PER_S) / 2000
        assert 500 < got < bound
        assert unwatched > 200, "a socket that is watched wakes the server again at once"
        flooding.close()


def test_flooding_client_keeps_nobody_else_waiting() -> None:
    with IgtlServer() as server:
        flooding, good = raw_client(server), raw_client(server)
        send_all(flooding, pack(StatusMessage("", 1.0)) * 30_000, server)
        good.sendall(pack(StringMessage("CMD_1", 1.0, "text")))
        got: list = []
        while not any(m.device == "CMD_1" for m in got):
            assert len(got) < 30_000, "the flood is read first"
            got += server.poll(0.05)
        flooding.close()
        good.close()


def test_what_waits_for_all_clients_is_bounded_and_counts_once() -> None:
    volume_bytes = 8_000_000
    with IgtlServer(max_total_bytes=3 * volume_bytes) as server:
        slow = [raw_client(server) for _ in range(4)]
        for _ in range(10):
            server.broadcast(image((200, 200, 200)))
            server.poll(0)
        assert server.queued_bytes <= 3 * volume_bytes
        assert server.waiting_bytes > server.queued_bytes, "what waits for several is in memory once"
        assert all(client.left_out >= 6 for client in server.clients)
        for sock in slow:
            sock.close()
        poll_until(server, lambda: not server.clients)
        assert server.queued_bytes == 0


def test_retained_volume_is_packed_once_for_all_who_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    packed, pack_really = [], server_module.pack
    monkeypatch.setattr(server_module, "pack", lambda *args: packed.append(args) or pack_really(*args))
    with IgtlServer() as server:
        server.broadcast(image((50, 50, 50)), retain=True)
        for sock in [raw_client(server) for _ in range(8)]:
            sock.close()
    assert len(packed) == 1


def test_connections_are_let_in_at_a_rate_and_the_others_wait() -> None:
    now_s = [0.0]
    with IgtlServer(max_clients=1000, clock=lambda: now_s[0]) as server:
        burst = server_module.CONNECTIONS_BURST
        socks = [socket.create_connection((server.host, server.port)) for _ in range(burst + 20)]
        for _ in range(100):
            server.poll(0.001)
        assert server.statistics.connections == burst
        now_s[0] = 1.0
        for _ in range(100):
            server.poll(0.001)
        assert server.statistics.connections == burst + server_module.CONNECTIONS_PER_S
        now_s[0] = 100.0
        poll_until(server, lambda: server.statistics.connections == burst + 20)
        for sock in socks:
            sock.close()


def test_a_server_whose_newcomers_wait_sleeps_meanwhile() -> None:
    with IgtlServer(max_clients=1000) as server:
        socks = [socket.create_connection((server.host, server.port)) for _ in range(60)]
        start_s, polls = time.monotonic(), 0
        while time.monotonic() - start_s < 0.5:
            server.poll(0.05)
            polls += 1
        assert polls < 200, "each newcomer and every 0.05 s wake it, and nothing else"
        for sock in socks:
            sock.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="the system does not offer it")
def test_half_open_connection_is_noticed_by_the_system() -> None:
    with IgtlServer() as server:
        sock = raw_client(server)
        served = server.clients[0].socket
        assert served.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, every, count = (
            served.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
        )
        assert idle + every * count <= 15
        sock.close()


def test_lines_about_clients_that_come_and_go_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), IgtlServer() as server:
        for _ in range(30):
            sock = socket.create_connection((server.host, server.port))
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n".ljust(80))
            poll_until(server, lambda: bool(server._clients))
            poll_until(server, lambda: not server._clients)
            sock.close()
    assert len(caplog.records) < 30
    assert sum(server.statistics.dropped.values()) == 30


def test_answer_that_cannot_be_sent_costs_that_client_its_answer_and_nobody_else_anything(caplog) -> None:
    answers = iter([StringMessage("ACK_1", 0.0, "Lebér"), StringMessage("ACK_2", 0.0, "Leber")])
    with IgtlServer(answer=lambda message: [next(answers)] if isinstance(message, StringMessage) else []) as server:
        link = Link(server)
        client = link.client()
        for number in (1, 2):
            client.send(StringMessage(f"CMD_{number}", 0.0, "a question"))
        (got,) = link.receive(client)
        client.close()
    assert got.text == "Leber"
    assert "an answer to it cannot be sent" in caplog.text


def test_last_command_of_a_client_that_breaks_off_is_heard_though_nothing_can_be_sent_to_it() -> None:
    """A client that closes with something unread resets the connection; a send may notice that before a read does."""
    with IgtlServer() as server:
        sock = raw_client(server)
        server.clients[0].inbound.spend(1 << 30)  # it is only written to for now
        server.broadcast(transform())
        server.poll(0)
        sock.sendall(pack(StringMessage("CMD_7", 1.0, "stop")))
        sock.close()
        server.broadcast(transform())
        heard = []
        while server.clients:
            heard += [message.text for message in server.poll(0.01)]
            server.broadcast(transform())
        assert heard == ["stop"]
