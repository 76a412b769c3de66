"""Timers, threads and processes under the host's event loop, as measured in Slicer (shared/slicer-host.md)."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from host import HostError


@pytest.fixture
def turns():
    """How often a Python thread that sleeps 1 ms got a turn, in a list of one number."""
    count, going = [0], [True]

    def work():
        while going[0]:
            time.sleep(0.001)
            count[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    yield count
    going[0] = False
    thread.join()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="starving is made for Linux only")
def test_a_python_thread_starves_while_the_loop_is_idle(host, turns):
    host.run_for(0.2)
    assert turns[0] <= 20  # some on a busy machine; a thread that is not starved gets hundreds


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="starving is made for Linux only")
def test_a_python_thread_gets_a_turn_with_each_tick(host, qt, turns):
    timer, ticks = qt.QTimer(), []
    timer.timeout.connect(lambda: ticks.append(1))
    timer.start(10)
    host.run_for(0.3)
    assert 1 <= turns[0] <= 2 * len(ticks) + 20


def test_a_process_answers_bytes_with_zeros(host, qt):
    process, got = qt.QProcess(), []
    process.connect("readyReadStandardOutput()", lambda: got.append(process.readAllStandardOutput().data()))
    sent = bytes(range(256)) * 4000
    copy = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    process.start(sys.executable, ["-c", copy])
    process.write(qt.QByteArray(sent))
    process.closeWriteChannel()
    host.run_until(lambda: process.state() == qt.QProcess.NotRunning)
    assert b"".join(got) == sent
    assert process.exitCode() == 0
    assert process.readAllStandardOutput().data() == b""


def test_a_socket_connects_and_reads(host, qt):
    server, client, got = qt.QTcpServer(), qt.QTcpSocket(), []
    assert server.listen(qt.QHostAddress("127.0.0.1"), 0)
    server.connect("newConnection()", lambda: server.nextPendingConnection().write(qt.QByteArray(b"hello")))
    client.connect("readyRead()", lambda: got.append(client.readAll().data()))
    client.connectToHost("127.0.0.1", server.serverPort())
    host.run_until(lambda: got == [b"hello"])
    client.abort()


def test_waiting_for_what_does_not_come_says_so(host):
    with pytest.raises(HostError, match="did not hold"):
        host.run_until(lambda: False, timeout_s=0.05)
