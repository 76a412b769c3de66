"""`replay` with a real client, and the end of `phantom` before its time, each as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import time

import numpy as np
import pytest
from CRLMSegmentationLib.cli.replay import _is_loopback
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.messages import ImageMessage, Message, TransformMessage, volume_of
from CRLMSegmentationLib.recording.case import load_case
from helpers.cli_helpers import TIMEOUT_S, Run, wait_until

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")


def port_of(started: Run) -> int:
    return int(re.search(r"port (\d+)", started.wait_for_line("out", "port"))[1])


def received(port: int, enough: int) -> list[Message]:
    messages: list[Message] = []
    end_s = time.monotonic() + TIMEOUT_S
    with IgtlClient("127.0.0.1", port) as client:
        while len(messages) < enough and time.monotonic() < end_s:
            messages += client.wait(1.0)
    return messages


def ends_by_ctrl_c(started: Run) -> None:
    """Ctrl-C is the ordinary end of a replay: exit code 0 and not a word of error."""
    started.press_ctrl_c()
    done = started.finish()
    assert done.code == 0
    assert done.err == ""
    assert done.out.splitlines()[-1] == "the replay has ended"
    assert started.leaves_nothing()


def test_case_is_received_whole_and_ctrl_c_is_the_ordinary_end(tiny_case):
    with Run("replay", tiny_case, "--port", 0, "--speed", 4) as started:
        messages = received(port_of(started), 11)
        ends_by_ctrl_c(started)
    images = [m for m in messages if isinstance(m, ImageMessage)]
    poses = [m for m in messages if isinstance(m, TransformMessage)]
    np.testing.assert_array_equal(volume_of(images[0]).array, load_case(tiny_case).volume().array)
    assert {(m.device, m.status) for m in poses} == {("ProbeToReference", "OK")}
    assert len(poses) == 10


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz"])
def test_single_volume_is_received_under_the_name_that_plus_uses(suffix, tiny_volume, tmp_path):
    from CRLMSegmentationLib.core.volume import write_volume

    write_volume(tiny_volume, tmp_path / f"scan{suffix}")
    with Run("replay", tmp_path / f"scan{suffix}", "--port", 0) as started:
        (message,) = received(port_of(started), 1)
        ends_by_ctrl_c(started)
    assert message.device == "recvol_Reference"
    np.testing.assert_array_equal(volume_of(message).array, tiny_volume.array)
    np.testing.assert_allclose(volume_of(message).ijk_to_ras, tiny_volume.ijk_to_ras, atol=1e-4)


def test_replay_says_when_others_than_this_machine_can_connect(tiny_case):
    with Run("replay", tiny_case, "--port", 0, "--host", "0.0.0.0") as started:
        assert len(received(port_of(started), 1)) >= 1
        started.press_ctrl_c()
        done = started.finish()
    assert done.code == 0
    assert done.error_lines == [
        "Note: whoever reaches 0.0.0.0 over the network can connect; OpenIGTLink knows no passwords."
    ]


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True)]
    + [("0.0.0.0", False), ("::", False), ("", False), ("192.168.0.5", False), ("theatre-3", False)],
)
def test_loopback_is_told_from_what_others_reach(host, loopback):
    assert _is_loopback(host) is loopback


@pytest.mark.parametrize("computed_s", [0.0, 1.5, 4.0])
def test_ctrl_c_ends_a_simulation_without_tracebacks(computed_s, tmp_path):
    """While its processes start, and while they simulate: long before it would have come to its end."""
    with Run("phantom", "--cases", 20, "--out", tmp_path) as started:
        started.wait_for_child("spawn_main")
        assert wait_until(lambda: started.cpu_seconds() >= computed_s)
        started.press_ctrl_c()
        done = started.finish()
        assert (done.code, done.out) == (1, "")
        assert done.error_lines == ["Error: stopped before the end"]
        assert started.leaves_nothing()


@pytest.mark.parametrize(("sent", "computed_s"), [(signal.SIGTERM, 0.0), (signal.SIGHUP, 1.5), (signal.SIGKILL, 3.0)])
def test_processes_of_a_simulation_do_not_outlive_their_parent(sent, computed_s, tmp_path):
    with Run("phantom", "--cases", 20, "--out", tmp_path) as started:
        started.wait_for_child("spawn_main")
        assert wait_until(lambda: started.cpu_seconds() >= computed_s)
        os.kill(started.process.pid, sent)
        started.process.wait(TIMEOUT_S)
        assert started.leaves_nothing()
