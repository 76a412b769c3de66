"""Hostile and broken bytes: nothing on the wire stops the decoder or the client, or grows without bound."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import LinkError
from CRLMSegmentationLib.core.text import MAX_TEXT, printable
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.limits import LimitedLog, TokenBucket
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.packing import FULL_NAME_KEY, HEADER_BYTES, pack
from CRLMSegmentationLib.igtl.protocol import (
    MAX_DEVICE_NAME,
    MAX_RECEIVED_METADATA_BYTES,
    MAX_SMALL_BODY_BYTES,
    SMALL_TYPES,
    Decoder,
)
from CRLMSegmentationLib.igtl.server import IgtlServer
from CRLMSegmentationLib.igtl.sockets import CHUNK_BYTES
from CRLMSegmentationLib.igtl.statistics import MAX_NAMES, OTHERS, DropReason, LinkStatistics
from helpers.igtl_links import PATIENCE_S, Link, RawServer, poll_client_until, transform, with_right_checksum
from helpers.mutations import REQUESTS, samples
from helpers.paths import TESTING
from hypothesis import given, settings
from hypothesis import strategies as st
from pyigtl.messages import CRC64

SAMPLES = samples()
GOOD = pack(transform("After"), 2)


def framed(message_type: str, body: bytes, version: int = 1, device: bytes = b"X", time_s: int = 1) -> bytes:
    """Any body under a header that is right for it."""
    head = struct.pack(">H12s20sIIQQ", version, message_type.encode(), device, time_s, 0, len(body), CRC64(body))
    return head + body


def with_metadata(content: bytes, pairs: list[tuple[bytes, bytes]]) -> bytes:
    """The body of a version 2 message."""
    index = struct.pack(">H", len(pairs)) + b"".join(struct.pack(">HHI", len(k), 3, len(v)) for k, v in pairs)
    strings = b"".join(k + v for k, v in pairs)
    return struct.pack(">HHII", 12, len(index), len(strings), 0) + content + index + strings


IDENTITY = struct.pack(">12f", 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_message_cut_at_every_byte_is_never_delivered(number: int) -> None:
    data = SAMPLES[number]
    for end in range(1, len(data)):
        decoder = Decoder()
        assert decoder.feed(data[:end]) == []
        assert decoder.unfinished
    assert len(decoder.feed(data[-1:])) == 1


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_every_byte_of_a_body_may_be_wrong_under_a_right_checksum(number: int) -> None:
    data = SAMPLES[number]
    decoder = Decoder()
    for at in range(HEADER_BYTES, len(data)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            body = bytearray(data[HEADER_BYTES:])
            body[at - HEADER_BYTES] = value
            head = data[:50] + struct.pack(">Q", CRC64(bytes(body)))
            assert decoder.feed(head + bytes(body) + GOOD)[-1].device == "After"
    assert set(decoder.statistics.dropped) <= {DropReason.BODY.value}


EDITS = st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=8)), max_size=6)


def edited(number: int, edits: list[tuple[int, bytes]], length: int) -> bytes:
    """A valid message with some bytes overwritten, cut somewhere."""
    data = bytearray(SAMPLES[number % len(SAMPLES)])
    for at, value in edits:
        data[at : at + len(value)] = value
    return bytes(data[:length] if length < 400 else data)


@given(
    number=st.integers(0, len(SAMPLES) - 1),
    edits=EDITS,
    length=st.integers(0, 500),
    cuts=st.lists(st.integers(0, 500), max_size=5),
)
@settings(deadline=None, max_examples=300)
def test_any_change_costs_at_most_one_message_or_the_connection(
    number: int, edits: list[tuple[int, bytes]], length: int, cuts: list[int]
) -> None:
    data = with_right_checksum(edited(number, edits, length))
    decoder = Decoder()
    places = sorted(min(cut, len(data)) for cut in cuts)
    try:
        for start, end in zip([0, *places], [*places, len(data)]):
            decoder.feed(data[start:end])
        if not decoder.unfinished:
            assert [m.device for m in decoder.feed(GOOD)] == ["After"]
    except LinkError:
        assert decoder.unfinished == "", "the bytes of an error are not lost a second time"


@pytest.mark.parametrize("message_type", SMALL_TYPES)
def test_body_that_is_too_large_for_its_type_is_left_out_and_the_link_kept(message_type: str) -> None:
    decoder = Decoder()
    body = bytes(MAX_SMALL_BODY_BYTES + 1)
    tracemalloc.start()
    got = decoder.feed(memoryview(framed(message_type, body) + GOOD))
    peak_bytes = tracemalloc.get_traced_memory()[1] - 2 * len(body)  # what this test itself has put together
    tracemalloc.stop()
    assert [m.device for m in got] == ["After"]
    assert decoder.statistics.dropped == {"body too large": 1}
    assert peak_bytes < MAX_SMALL_BODY_BYTES / 2


def test_declared_size_takes_no_memory_before_it_comes() -> None:
    decoder = Decoder()
    header = struct.pack(">H12s20sIIQQ", 1, b"IMAGE", b"X", 0, 0, 500 << 20, 0)
    before = _resident_bytes()
    decoder.feed(header + bytes(1000))
    assert _resident_bytes() - before < 20 << 20


def _resident_bytes() -> int:
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * 4096 if path.exists() else 0


def test_machine_without_memory_for_a_volume_loses_the_link_and_not_the_program(monkeypatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    decoder = Decoder()
    monkeypatch.setattr(np, "empty", no_memory)
    with pytest.raises(LinkError, match="no memory for IMAGE"):
        decoder.feed(SAMPLES[0])


@pytest.mark.parametrize("count", [7000, 8191])
def test_metadata_of_64_kb_is_read(count: int) -> None:
    body = with_metadata(IDENTITY, [(b"k%d" % n, b"v" * 10) for n in range(count)])
    (got,) = Decoder().feed(framed("TRANSFORM", body, 2))
    assert len(got.metadata) == count


def test_metadata_beyond_reason_is_refused_and_the_framing_kept() -> None:
    body = with_metadata(IDENTITY, [(b"key", b"v" * MAX_RECEIVED_METADATA_BYTES)])
    decoder = Decoder()
    assert [m.device for m in decoder.feed(framed("TRANSFORM", body, 2) + GOOD)] == ["After"]
    assert "bytes of metadata" in decoder.statistics.last_problem


@pytest.mark.parametrize("name", [b"a" * (MAX_DEVICE_NAME + 1), b"two\nlines", b"nul\0inside", b"\x1b[2J"])
def test_full_name_that_is_no_name_is_refused(name: bytes) -> None:
    body = with_metadata(IDENTITY, [(FULL_NAME_KEY.encode(), name)])
    decoder = Decoder()
    assert [m.device for m in decoder.feed(framed("TRANSFORM", body, 2) + GOOD)] == ["After"]
    assert decoder.statistics.dropped == {"body unreadable": 1}
    assert decoder.statistics.last_problem.isprintable()


def test_short_name_ends_at_its_nul() -> None:
    assert [m.device for m in Decoder().feed(framed("TRANSFORM", IDENTITY, device=b"Probe\0garbage"))] == ["Probe"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, 3e38, 1e-45])
@pytest.mark.parametrize("position", range(9))
def test_matrices_that_place_nothing_are_refused_without_a_warning(bad: float, position: int, recwarn) -> None:
    values = list(struct.unpack(">12f", IDENTITY))
    values[position] = bad
    decoder = Decoder()
    got = decoder.feed(framed("TRANSFORM", struct.pack(">12f", *values)) + GOOD)
    assert got[-1].device == "After"
    assert all(np.isfinite(m.matrix).all() and abs(np.linalg.det(m.matrix)) > 0 for m in got)
    assert not recwarn.list


def test_thousands_of_messages_at_once_are_all_delivered() -> None:
    assert len(Decoder().feed(GOOD * 5000)) == 5000


def test_types_that_a_peer_invents_are_counted_and_not_collected() -> None:
    decoder = Decoder()
    for n in range(5000):
        decoder.feed(framed(f"T{n}", b""))
    assert len(decoder.statistics.skipped) <= MAX_NAMES + 1
    assert sum(decoder.statistics.skipped.values()) == 5000
    assert decoder.statistics.skipped[OTHERS] == 5000 - MAX_NAMES


def test_each_reason_is_shown_once_and_counted() -> None:
    statistics, seen = LinkStatistics(), set()
    for n in range(1000):
        statistics.drop(DropReason.CRC, f"IMAGE 'Name{n}', {n} bytes")
        statistics.drop(DropReason.BODY, f"TRANSFORM 'Name{n}'")
        seen.add(statistics.last_problem)
    assert seen == {"body unreadable: TRANSFORM 'Name0'"}
    assert [(p.kind, p.count) for p in statistics.problems] == [(DropReason.CRC, 1000), (DropReason.BODY, 1000)]
    assert statistics.summary()["problems"][0] == "checksum wrong: IMAGE 'Name0', 0 bytes (1000 times)"


def test_text_of_a_peer_is_one_line_of_bounded_length() -> None:
    assert printable("a\nb\x1b[31mc\0") == "a�b�[31mc�"
    assert len(printable("x" * 10_000_000)) == MAX_TEXT


def test_allowance_is_a_burst_and_then_a_rate() -> None:
    bucket = TokenBucket(3, 2.0, now_s=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait_s(0.0) == pytest.approx(0.5)
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_log_lines_that_a_peer_provokes_are_counted_beyond_the_allowance() -> None:
    now_s, lines = [0.0], []
    log = LimitedLog(lambda level, text: lines.append(text), burst=2, per_s=1, clock=lambda: now_s[0])
    for n in range(10):
        log(logging.INFO, f"line {n}")
    now_s[0] = 1.0
    log(logging.INFO, "later")
    assert lines == ["line 0", "line 1", "later (8 such lines before were left out)"]


@pytest.mark.parametrize("request_bytes", REQUESTS)
def test_client_leaves_who_speaks_something_else_and_comes_back(raw_server: RawServer, request_bytes: bytes) -> None:
    with IgtlClient("127.0.0.1", raw_server.port) as client:
        sock = raw_server.accept(client)
        sock.sendall(request_bytes)
        poll_client_until(client, lambda: client.state is LinkState.RETRYING)
        assert "OpenIGTLink" in client.state_reason or "version" in client.state_reason
        again = raw_server.accept(client)
        again.sendall(GOOD)
        assert [m.device for m in poll_client_until(client, lambda: client.statistics.received)] == ["After"]
        assert sum(client.statistics.dropped.values()) == 1
        for each in (sock, again):
            each.close()


def test_flood_of_tiny_messages_leaves_the_caller_its_time(raw_server: RawServer) -> None:
    """Each look at the clock costs 1 ms, so that a poll of 4 ms reads a few pieces, however much there is."""
    with IgtlClient("127.0.0.1", raw_server.port, clock=(0.001 * tick for tick in count()).__next__) as client:
        sock = raw_server.accept(client)
        sock.setblocking(False)
        flood = memoryview(framed("STATUS", b"\0\1" + bytes(28)) * 20_000)
        at, most_bytes, before, received = 0, 0, 0, 0
        while received < 10_000:
            with contextlib.suppress(BlockingIOError):
                at = (at + sock.send(flood[at:])) % len(flood)
            received += len(client.poll(0.004))
            most_bytes = max(most_bytes, client.statistics.received_bytes - before)
            before = client.statistics.received_bytes
        assert most_bytes <= 4 * CHUNK_BYTES
        sock.close()


def test_flood_of_errors_is_told_in_bounded_lines(raw_server: RawServer, caplog: pytest.LogCaptureFixture) -> None:
    bad = framed("TRANSFORM", b"short") * 3000
    with caplog.at_level(logging.DEBUG), IgtlClient("127.0.0.1", raw_server.port) as client:
        sock = raw_server.accept(client)
        sock.sendall(bad + GOOD)
        poll_client_until(client, lambda: client.statistics.received)
        sock.close()
    assert client.statistics.dropped == {"body unreadable": 3000}
    assert len(caplog.records) < 10


def test_server_that_hangs_up_at_once_again_and_again_is_not_hurried_after(raw_server: RawServer) -> None:
    now_s = [0.0]
    with IgtlClient("127.0.0.1", raw_server.port, clock=lambda: now_s[0]) as client:
        raw_server.listener.settimeout(0.0)
        end_s = time.monotonic() + PATIENCE_S
        while now_s[0] < 10.0:
            assert time.monotonic() < end_s
            now_s[0] += 0.01
            client.poll()
            with contextlib.suppress(BlockingIOError):
                raw_server.listener.accept()[0].close()
        assert 5 < client.statistics.connections <= 22


def test_name_server_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name server answers only after the client has been polled often: a poll that waited would never return."""
    asked, may_answer, now_s = socket.getaddrinfo, threading.Event(), [0.0]

    def slow(host: str, *rest: object, **options: object) -> list:
        if host == "tracker.hospital" and not options.get("flags"):
            may_answer.wait(PATIENCE_S)
        return asked("127.0.0.1" if host == "tracker.hospital" and not options.get("flags") else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    server = RawServer()
    start_s = time.monotonic()
    with IgtlClient("tracker.hospital", server.port, clock=lambda: now_s[0]) as client:
        for now_s[0] in np.arange(0.0, 1.2, 0.01):
            client.poll()
            assert client.state is not LinkState.CONNECTED
        assert time.monotonic() - start_s < PATIENCE_S / 2
        may_answer.set()
        poll_client_until(client, lambda: client.state is LinkState.CONNECTED)
    server.listener.close()


def test_what_was_sent_before_the_server_left_is_read_though_nothing_can_be_sent(raw_server: RawServer) -> None:
    with IgtlClient("127.0.0.1", raw_server.port) as client:
        sock = raw_server.accept(client)
        sock.sendall(GOOD * 3)
        sock.close()  # with the introduction unread, this is a reset
        with contextlib.suppress(LinkError):
            client.send(transform())
        got = client.poll(0.0)
        got += poll_client_until(client, lambda: client.state is not LinkState.CONNECTED)
        assert len(got) == 3


@given(st.lists(st.builds(edited, st.integers(0, 100), EDITS, st.integers(0, 500)), min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_client_receives_the_next_good_message_after_anything(parts: list[bytes]) -> None:
    hurried_s = lambda: 20 * time.monotonic()  # noqa: E731
    server = RawServer()
    with IgtlClient("127.0.0.1", server.port, clock=hurried_s) as client:
        sock = server.accept(client)
        with contextlib.suppress(OSError):
            for part in parts:
                sock.sendall(part)
                client.poll()
        sock.close()
        poll_client_until(client, lambda: client.state is not LinkState.CONNECTED)
        assert client.state_reason
        again = server.accept(client)
        again.sendall(GOOD)
        got = poll_client_until(client, lambda: client.receiving is None and client.silent_s is not None)
        while not got:
            got = client.wait(1.0)
        assert got[-1].device == "After"
        again.close()
    server.listener.close()


@given(st.lists(st.builds(edited, st.integers(0, 100), EDITS, st.integers(0, 500)), min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_server_serves_its_good_client_beside_anything(parts: list[bytes]) -> None:
    with IgtlServer() as server:
        link = Link(server)
        client = link.client()
        with socket.create_connection((server.host, server.port)) as hostile, contextlib.suppress(OSError):
            for part in parts:
                hostile.sendall(part)
                server.poll(0)
        server.broadcast(transform("After"))
        assert [m.device for m in link.receive(client)] == ["After"]
        link.poll_until(lambda: len(server.clients) == 1 and server.statistics.connections == 2)
        client.close()


@pytest.mark.parametrize("seed", [1])
def test_short_run_of_the_fuzzer(seed: int) -> None:
    command = [sys.executable, "-m", "fuzz.fuzz_igtl", "--messages", "4000", "--seconds", "60", "--seed", str(seed)]
    done = subprocess.run(command, cwd=TESTING, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-5000:]
    assert "dropped: body unreadable" in done.stdout
