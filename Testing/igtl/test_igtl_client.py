"""The client: links that break in every way, and volumes that arrive whole or not at all."""

from __future__ import annotations

import itertools
import logging
import select
import socket
import time

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import LinkError
from CRLMSegmentationLib.igtl.client import IgtlClient, LinkState
from CRLMSegmentationLib.igtl.messages import ImageMessage, PatientFrame, StringMessage
from CRLMSegmentationLib.igtl.packing import HEADER_BYTES, pack
from CRLMSegmentationLib.igtl.server import IgtlServer
from CRLMSegmentationLib.igtl.sockets import CHUNK_BYTES, check_connected
from helpers.igtl_links import (
    OBLIQUE_LEFT_HANDED,
    PATIENCE_S,
    Link,
    RawServer,
    free_port,
    image,
    poll_client_until,
    transform,
)


@pytest.mark.parametrize("frame", list(PatientFrame))
def test_volume_goes_over_the_loopback(frame: PatientFrame) -> None:
    with IgtlServer(frame=frame) as server:
        link = Link(server)
        client = link.client(frame=frame)
        server.broadcast(image((30, 20, 10)))
        (got,) = link.receive(client)
        client.close()
    np.testing.assert_array_equal(got.array, image((30, 20, 10)).array)
    np.testing.assert_allclose(got.ijk_to_ras, OBLIQUE_LEFT_HANDED, atol=2e-5)


def test_client_shows_version_2_and_gets_the_status_of_transforms(link: Link) -> None:
    client = link.client()
    link.server.broadcast(transform(status="MISSING"))
    (got,) = link.receive(client)
    assert got.status == "MISSING"


def test_client_for_old_servers_stays_silent(raw_server: RawServer) -> None:
    with IgtlClient("127.0.0.1", raw_server.port, introduce=False) as client:
        sock = raw_server.accept(client)
        sock.settimeout(0.05)
        with pytest.raises(socket.timeout):
            sock.recv(1)
        sock.close()


def test_introduction_is_a_status_of_version_2(raw_server: RawServer) -> None:
    with IgtlClient("127.0.0.1", raw_server.port) as client:
        sock = raw_server.accept(client)
        sock.settimeout(PATIENCE_S)
        client.poll()
        assert sock.recv(14).rstrip(b"\0") == b"\0\2STATUS"
        sock.close()


def test_header_split_over_two_packets(raw_server: RawServer) -> None:
    with IgtlClient("127.0.0.1", raw_server.port) as client:
        sock = raw_server.accept(client)
        data = pack(transform())
        sock.sendall(data[:30])
        poll_client_until(client, lambda: client.statistics.received_bytes == 30)
        sock.sendall(data[30:])
        (got,) = poll_client_until(client, lambda: bool(client.statistics.received))
        assert got.device == "ProbeToReference"
        sock.close()


def test_server_that_vanishes_in_the_middle_of_a_volume(raw_server: RawServer) -> None:
    with IgtlClient("127.0.0.1", raw_server.port) as client:
        sock = raw_server.accept(client)
        data = pack(image((50, 40, 30)))
        sock.sendall(pack(transform()) + data[: len(data) // 2])
        got = poll_client_until(
            client, lambda: client.receiving is not None and client.receiving.received_bytes > 29000
        )
        assert client.receiving.total_bytes == 60072
        sock.close()
        got += poll_client_until(client, lambda: client.state is not LinkState.CONNECTED)
        assert [m.device for m in got] == ["ProbeToReference"]
        assert client.state is LinkState.RETRYING
        assert "lost 'recvol_Reference' after 30" in client.state_reason
        assert client.statistics.dropped == {"link broke in the middle of a message": 1}
        assert client.receiving is None

        again = raw_server.accept(client)
        again.sendall(data)
        (whole,) = poll_client_until(client, lambda: client.statistics.received["IMAGE"] == 1)
        np.testing.assert_array_equal(whole.array, image((50, 40, 30)).array)
        assert client.statistics.connections == 2
        again.close()


def test_volume_that_is_complete_before_the_link_ends_is_delivered(raw_server: RawServer) -> None:
    with IgtlClient("127.0.0.1", raw_server.port) as client:
        sock = raw_server.accept(client)
        client.poll()
        assert sock.recv(1000)  # the introduction: closing with bytes unread would be a reset
        sock.sendall(pack(image()))
        sock.close()
        got = poll_client_until(client, lambda: client.state is LinkState.RETRYING)
        assert [m.device for m in got] == ["recvol_Reference"]
        assert "the server closed the connection" in client.state_reason


def test_server_that_stops_in_the_middle_of_a_message_is_left(raw_server: RawServer) -> None:
    now_s = [0.0]
    with IgtlClient("127.0.0.1", raw_server.port, stall_timeout_s=0.2, clock=lambda: now_s[0]) as client:
        sock = raw_server.accept(client)
        now_s[0] += 0.3
        client.poll()
        assert client.state is LinkState.CONNECTED  # silence between messages is no fault
        sock.sendall(pack(image())[:70])
        poll_client_until(client, lambda: client.receiving is not None)
        now_s[0] += 0.3
        client.poll()
        assert client.state is LinkState.RETRYING
        assert "stopped in the middle of a message" in client.state_reason
        sock.close()


def test_a_busy_caller_is_not_taken_for_a_silent_server(raw_server: RawServer) -> None:
    now_s = [0.0]
    with IgtlClient("127.0.0.1", raw_server.port, stall_timeout_s=0.1, clock=lambda: now_s[0]) as client:
        sock = raw_server.accept(client)
        data = pack(image())
        sock.sendall(data[:70])
        poll_client_until(client, lambda: client.receiving is not None)
        sock.sendall(data[70:])
        select.select([client._socket], [], [])  # all of it is there
        now_s[0] += 0.2
        assert [m.device for m in client.poll()] == ["recvol_Reference"]
        sock.close()


def test_wrong_checksum_is_dropped_and_the_link_kept(raw_server: RawServer) -> None:
    with IgtlClient("127.0.0.1", raw_server.port) as client:
        sock = raw_server.accept(client)
        bad = bytearray(pack(transform("Bad")))
        bad[-1] ^= 1
        sock.sendall(bytes(bad) + pack(transform("Good")))
        got = poll_client_until(client, lambda: bool(client.statistics.received))
        assert [m.device for m in got] == ["Good"]
        assert client.state is LinkState.CONNECTED
        assert client.statistics.dropped == {"checksum wrong": 1}
        sock.close()


def test_a_peer_that_does_not_speak_openigtlink_is_left(raw_server: RawServer) -> None:
    with IgtlClient("127.0.0.1", raw_server.port) as client:
        sock = raw_server.accept(client)
        sock.sendall(b"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13".ljust(HEADER_BYTES, b"."))
        poll_client_until(client, lambda: client.state is LinkState.RETRYING)
        assert "OpenIGTLink" in client.state_reason or "version" in client.state_reason
        sock.close()


def test_nothing_listens_and_then_a_server_comes() -> None:
    port = free_port()
    with IgtlClient("127.0.0.1", port) as client:
        poll_client_until(client, lambda: client.state is LinkState.RETRYING)
        assert f"127.0.0.1:{port}: nothing listens there; start PLUS or the replay" in client.state_reason
        with IgtlServer(port=port) as server:
            poll_client_until(client, lambda: not server.poll(0) and client.state is LinkState.CONNECTED)


def test_a_socket_that_has_met_itself_is_not_a_server() -> None:
    """On the loopback, connecting to a free port can succeed when that very port is given to the connecting end."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        with pytest.raises(ConnectionRefusedError):
            check_connected(sock)


def test_reconnection_backs_off_to_half_a_second() -> None:
    now_s = [0.0]
    client = IgtlClient("127.0.0.1", free_port(), clock=lambda: now_s[0])
    attempts = []
    while now_s[0] < 12.0:
        before = client._attempts
        for _ in range(20):  # refused at once, or after the loopback has answered
            client.poll()
        attempts += [now_s[0]] * (client._attempts - before)
        now_s[0] += 0.05
    client.close()
    gaps = np.diff(attempts)
    assert gaps[0] == pytest.approx(0.1, abs=0.051)
    assert (np.diff(gaps) > -0.051).all()
    assert gaps[-1] == pytest.approx(0.5, abs=0.051)


def test_state_changes_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), IgtlClient("127.0.0.1", free_port()) as client:
        poll_client_until(client, lambda: client._attempts >= 4)
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]


@pytest.mark.parametrize("host", ["no such host", "x" * 300, "256.0.0.1"])
def test_impossible_hosts_are_told_and_not_raised(host: str) -> None:
    with IgtlClient(host, 18944) as client:
        assert poll_client_until(client, lambda: client.state is LinkState.RETRYING) == []
        assert client.state_reason


def test_wait_sleeps_until_a_message_comes_or_time_is_up(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    client = link.client()
    polls, poll = [], client.poll
    monkeypatch.setattr(client, "poll", lambda budget_s: polls.append(budget_s) or poll(budget_s))
    start_s = time.monotonic()
    assert client.wait(0.3) == []
    assert time.monotonic() - start_s >= 0.29
    assert len(polls) < 10, "it does not poll without a pause"
    link.server.broadcast(transform())
    assert link.server.flush(PATIENCE_S)
    assert [m.device for m in client.wait(PATIENCE_S)] == ["ProbeToReference"]


def test_a_poll_keeps_to_its_budget(link: Link) -> None:
    """Each look at the clock costs 1 ms, so that a poll of 4 ms reads a few pieces, however much there is."""
    client = link.client(clock=(0.001 * tick for tick in itertools.count()).__next__)
    link.server.broadcast(image((200, 200, 200)))
    at_bytes, got = [0], []
    while not got:
        link.server.poll(0)
        got = client.poll(0.004)
        at_bytes.append(client.statistics.received_bytes)
    assert np.diff(at_bytes).max() <= 4 * CHUNK_BYTES
    assert got[0].array.nbytes == 8_000_000


def test_client_sends_and_the_server_receives(link: Link) -> None:
    client = link.client()
    client.send(StringMessage("CMD_1", 1.0, "x" * 60000))
    link.poll_until(lambda: len(link.got_by_server) == 2)
    assert [m.device for m in link.got_by_server] == ["CRLMSegmentation", "CMD_1"]


def test_sending_without_a_link_says_why() -> None:
    with IgtlClient("127.0.0.1", free_port()) as client:
        poll_client_until(client, lambda: client.state is LinkState.RETRYING)
        with pytest.raises(LinkError, match=r"not connected: .*nothing listens"):
            client.send(transform())


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(LinkError, match="from 1 to 65535"):
        IgtlClient("127.0.0.1", port)


def test_closed_is_closed() -> None:
    client = IgtlClient("127.0.0.1", free_port())
    client.close()
    client.close()
    assert client.poll() == []
    assert client.wait(0.01) == []
    assert client.state is LinkState.CLOSED


def test_no_message_is_lost_in_a_burst(link: Link) -> None:
    client = link.client()
    for number in range(500):
        link.server.broadcast(transform(time_s=1700000000.0 + number))
    got = link.receive(client, 500)
    assert [m.timestamp_s for m in got] == [1700000000.0 + n for n in range(500)]


def test_an_image_outlives_the_link(link: Link) -> None:
    client = link.client()
    link.server.broadcast(image())
    (got,) = link.receive(client)
    client.close()
    assert isinstance(got, ImageMessage)
    assert got.array[3, 2, 1] == 23


def test_silence_is_told_while_connected_and_logged_once(raw_server: RawServer, caplog) -> None:
    now_s = [0.0]
    with caplog.at_level(logging.INFO), IgtlClient("127.0.0.1", raw_server.port, clock=lambda: now_s[0]) as client:
        assert client.silent_s is None
        sock = raw_server.accept(client)
        sock.sendall(pack(transform()))
        poll_client_until(client, lambda: bool(client.statistics.received))
        assert client.state_reason == ""
        for now_s[0] in np.arange(0.5, 60.0, 0.5):
            client.poll()
        assert client.silent_s == 59.5
        assert client.state is LinkState.CONNECTED
        assert client.state_reason == "nothing has come for 59 s"
        sock.sendall(pack(transform())[:70])
        poll_client_until(client, lambda: client.receiving is not None)
        assert (client.silent_s, client.state_reason) == (0.0, "")
        now_s[0] += 4.0
        client.poll()
        assert (
            client.state_reason == "nothing has come for 4 s in the middle of 'ProbeToReference' after 12 of 48 bytes"
        )
        sock.close()
    said = [record.message.partition(": ")[2] for record in caplog.records]
    assert said == [
        "connected",
        "connected nothing has come for 3 s",
        "connected",
        "connected nothing has come for 4 s in the middle of 'ProbeToReference' after 12 of 48 bytes",
        "closed closed",
    ]


def test_stall_of_10_s_in_the_middle_of_a_message_is_survived(raw_server: RawServer) -> None:
    now_s = [0.0]
    with IgtlClient("127.0.0.1", raw_server.port, clock=lambda: now_s[0]) as client:
        sock = raw_server.accept(client)
        data = pack(image())
        sock.sendall(data[:70])
        poll_client_until(client, lambda: client.receiving is not None)
        for now_s[0] in (5.0, 10.0, 20.0):
            client.poll()
        sock.sendall(data[70:])
        assert len(poll_client_until(client, lambda: bool(client.statistics.received))) == 1
        sock.close()
