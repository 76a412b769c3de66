"""The replay as a process of its own, which nothing must leave behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import LinkError
from CRLMSegmentationLib.core.frames import Frame, FrameReader, encode
from CRLMSegmentationLib.igtl.client import IgtlClient, LinkState
from CRLMSegmentationLib.igtl.messages import ImageMessage, volume_of
from CRLMSegmentationLib.igtl.server import IgtlServer
from CRLMSegmentationLib.recording.case import Case
from CRLMSegmentationLib.recording.player_process import ReplayProcess

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

PARENT = """
import signal, sys, time
from CRLMSegmentationLib.recording.player_process import ReplayProcess
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with it ignored
with ReplayProcess(sys.argv[1]) as replay:
    print(replay.pid, flush=True)
    time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(done: Callable[[], bool], timeout_s: float = 120.0) -> bool:
    end_s = time.monotonic() + timeout_s
    while not done() and time.monotonic() < end_s:
        time.sleep(0.02)
    return done()


def frames_of(pipe: io.BufferedReader) -> Iterator[Frame]:
    """Read frames until the pipe is closed."""
    reader = FrameReader()
    while count := pipe.readinto(reader.wanted()):
        frame = reader.filled(count)
        if frame is not None:
            yield frame


def child_that_writes(folder: Path, text: bytes) -> Path:
    """Return a program that writes bytes to stdout and ends."""
    (folder / "said").write_bytes(text)
    child = folder / "child"
    child.write_text(f"#!/bin/sh\ncat '{folder / 'said'}'\n")
    child.chmod(0o755)
    return child


def test_case_arrives_from_another_process(tiny_case: Case) -> None:
    with ReplayProcess(tiny_case.folder, skip_sweep=True) as replay, IgtlClient("127.0.0.1", replay.port) as client:
        assert replay.is_running
        messages = []
        end_s = time.monotonic() + 120
        while len(messages) < 6 and time.monotonic() < end_s:
            messages += client.wait(1.0)
        assert isinstance(messages[0], ImageMessage)
        np.testing.assert_array_equal(volume_of(messages[0]).array, tiny_case.volume().array)
        assert [m.matrix[0, 3] for m in messages[1:]] == [5, 6, 7, 8, 9]
        replay.stop()
        assert wait_for(lambda: client.poll() == [] and client.state is LinkState.RETRYING)
    assert not replay.is_running


def test_case_that_cannot_be_played_is_told_and_leaves_no_process(tiny_case: Case) -> None:
    (tiny_case.folder / "volume.nrrd").unlink()
    replay = ReplayProcess(tiny_case.folder)
    with pytest.raises(LinkError, match=r"cannot start: volume\.nrrd is missing"):
        replay.start()
    assert not replay.is_running


def test_last_words_of_a_child_that_fails_in_mid_play_are_kept(tiny_case: Case, tmp_path: Path) -> None:
    said = [{"type": "listening", "port": 7}, {"type": "error", "text": "the volume is gone"}]
    child = child_that_writes(tmp_path, b"".join(part for header in said for part in encode(header)))
    with ReplayProcess(tiny_case.folder, python=str(child)) as replay:
        assert wait_for(lambda: not replay.is_running)
        assert replay.last_error == "the volume is gone"


def test_child_that_dies_in_the_middle_of_a_message_does_no_harm(tiny_case: Case, tmp_path: Path) -> None:
    whole, half = encode({"type": "listening", "port": 7}), encode({"type": "finished"})
    child = child_that_writes(tmp_path, b"".join([*whole, bytes(half[0])[:-5]]))
    with ReplayProcess(tiny_case.folder, python=str(child)) as replay:
        assert wait_for(lambda: not replay.is_running)
        assert (replay.port, replay.last_error, replay.has_finished) == (7, "", False)


def test_child_that_writes_no_reports_is_told_and_ended(tiny_case: Case, tmp_path: Path) -> None:
    replay = ReplayProcess(tiny_case.folder, python=str(child_that_writes(tmp_path, b"please cite us\n" * 10)))
    with pytest.raises(LinkError, match="no report"):
        replay.start()
    assert not replay.is_running


def test_port_in_use_is_told(tiny_case: Case) -> None:
    with IgtlServer() as server, pytest.raises(LinkError, match=f"port {server.port} .* in use"):
        ReplayProcess(tiny_case.folder, port=server.port).start()


def test_missing_interpreter_is_told(tiny_case: Case) -> None:
    with pytest.raises(LinkError, match="no-such-python"):
        ReplayProcess(tiny_case.folder, python="no-such-python").start()


def test_child_that_dies_at_once_is_told(tiny_case: Case) -> None:
    with pytest.raises(LinkError, match="ended at once"):
        ReplayProcess(tiny_case.folder, python="false" if os.name == "posix" else "where").start()


@linux_only
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_parent_dies(sent: signal.Signals, tiny_case: Case) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tiny_case.folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.send_signal(sent)
    parent.wait(120)
    parent.stdout.close()
    assert wait_for(lambda: not is_alive(pid))


@linux_only
def test_ctrl_c_ends_the_process_quietly(tiny_case: Case) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "CRLMSegmentationLib.recording", str(tiny_case.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    frames = frames_of(process.stdout)
    assert next(frame.type for frame in frames if frame.type != "note") == "listening"
    process.send_signal(signal.SIGINT)
    assert [frame.type for frame in frames][-1] == "stopped"
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert errors == b""


def test_end_of_stdin_ends_the_process(tiny_case: Case) -> None:
    with ReplayProcess(tiny_case.folder) as replay:
        replay._child._stdin.close()
        assert wait_for(lambda: not replay.is_running)
        assert replay._child.exit_code == 0


def test_wrong_arguments_give_exit_code_2() -> None:
    done = subprocess.run([sys.executable, "-m", "CRLMSegmentationLib.recording"], capture_output=True, check=False)
    assert done.returncode == 2
