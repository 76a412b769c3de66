"""Timers, threads and processes under the host's event loop, as measured in Slicer (shared/slicer-host.md)."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from slicer_host import HostError


@pytest.fixture
def ticks():
    return []


@pytest.fixture
def turns(ticks):
    """The turns of a Python thread that sleeps 1 ms: after how many ticks each came."""
    came, going = [], [True]

    def work():
        while going[0]:
            time.sleep(0.001)
            came.append(len(ticks))

    thread = threading.Thread(target=work)
    thread.start()
    yield came
    going[0] = False
    thread.join()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="starving is made for Linux only")
def test_a_python_thread_starves_while_the_loop_is_idle(host, turns):
    """A thread that is not starved gets some 200 turns; where the loop is entered and left, any thread gets some."""
    counts = []
    for _ in range(5):
        before = len(turns)
        host.run_for(0.2)
        counts.append(len(turns) - before)
    assert min(counts) <= 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="starving is made for Linux only")
def test_a_python_thread_gets_turns_with_the_ticks(host, qt, ticks, turns):
    """While one run of the loop lasts, the ticks are all the Python code that runs."""
    timer = qt.QTimer()

    def tick():
        ticks.append(1)
        if len(set(turns)) > 10 or len(ticks) == 5000:
            loop.quit()

    loop = qt.QEventLoop()
    timer.timeout.connect(tick)
    timer.start(10)
    loop.exec_()
    assert len(set(turns)) > 10, f"in {len(ticks)} ticks"


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
