"""kill -9 at any moment: what had arrived is there."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.recording.message_log import ARRIVALS_FILE, MESSAGES_FILE, read_message_log
from CRLMSegmentationLib.recording.recovery import recover
from CRLMSegmentationLib.recording.timeline import timeline
from helpers.recording_helpers import Sender, recorder_process, reports_of, stream_of_messages


def kill_after(port: int, out: Path, messages: int, seconds: float) -> dict:
    """Kill a recorder so long after it has told of so many messages; returns what it reported last."""
    with recorder_process(port, out) as process:
        reports = reports_of(process)
        first = next(r for r in reports if r["messages"] >= messages)
        timer = threading.Timer(seconds, os.kill, (process.pid, getattr(signal, "SIGKILL", signal.SIGTERM)))
        timer.start()
        return [first, *reports][-1]


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_a_random_moment_it_has_kept_all_that_it_had_reported(tmp_path: Path, seed: int) -> None:
    out = tmp_path / "r"
    with Sender(stream_of_messages(volume_every=8, voxels=120), per_s=400) as sender:
        reported = kill_after(sender.port, out, 20 + 120 * seed, random.Random(seed).uniform(0.0, 0.2))
    with pytest.raises(CaseError, match="crlm-seg recover"):
        load_case(out)
    recovered = recover(out)
    sent = list(sender.sent)
    assert reported["messages"] <= recovered.messages <= len(sent)
    assert (out / MESSAGES_FILE).read_bytes() == b"".join(sent[: recovered.messages])
    case = load_case(out)
    assert len(case.volumes) == recovered.volumes > 0
    assert len(timeline(case)) == recovered.messages
    assert all(t.load().device for t in timeline(case)[-9:])
    assert recovered.ended_by == "a crash"
    arrivals = read_message_log(out / MESSAGES_FILE, out / ARRIVALS_FILE)
    assert [e.event for e in arrivals.events] == ["started", "connected"]
