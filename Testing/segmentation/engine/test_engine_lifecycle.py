"""The engine around its worker: newest wins, cancel, death, and nothing left behind.

The first half runs the real worker with the tiny model, the second a scripted one that misbehaves.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import WorkerError
from CRLMSegmentationLib.segmentation.engine.engine import (
    Cancelled,
    CropJob,
    EngineState,
    Failed,
    Finished,
    Progress,
    Ready,
    Started,
)
from CRLMSegmentationLib.segmentation.engine.worker_engine import CANCEL_GRACE_S, MAX_CRASHES, WorkerEngine
from CRLMSegmentationLib.segmentation.models.package import ModelPackage
from helpers.inference_helpers import (
    COLD_START_LIMIT_S,
    SPACING_MM,
    crop_array,
    events_until,
    is_alive,
    wait_for,
    wait_until_gone,
)
from helpers.paths import TESTING

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and process groups of POSIX")

PROMISED_CANCEL_S = 1.0
SLOW_SHAPE = (64, 64, 64)
"""343 tiles, 8 passes each when mirrored, 2 folds: many seconds."""
LARGE_SHAPE = (1, 190, 190, 187)
"""27 MB."""


def slow_job() -> CropJob:
    return CropJob(crop_array(SLOW_SHAPE), SPACING_MM, mirroring=True)


def wait_for_first_tile(engine: WorkerEngine) -> Progress:
    return next(e for e in iter(lambda: wait_for(engine, Progress), None) if e.stage == "inference")


@pytest.mark.parametrize(("mirroring", "passes"), [(False, 2 * 3 * 4 * 2), (True, 2 * 3 * 4 * 2 * 8)])
def test_progress_counts_every_pass_of_the_network(engine, mirroring, passes):
    job_id = engine.submit(CropJob(crop_array((24, 32, 40)), SPACING_MM, mirroring))
    progress = [e for e in events_until(engine, Finished) if isinstance(e, Progress)]
    assert [e.done for e in progress if e.stage == "inference"] == list(range(1, passes + 1))
    assert {(e.job_id, e.total) for e in progress if e.stage == "inference"} == {(job_id, passes)}
    assert [e.stage for e in (progress[0], progress[-1])] == ["preprocess", "postprocess"]


def test_newest_job_wins(engine):
    first = engine.submit(slow_job())
    wait_for_first_tile(engine)
    second = engine.submit(slow_job())
    events = engine.poll()
    small = crop_array((16, 16, 16))
    third = engine.submit(CropJob(small, SPACING_MM))
    events += events_until(engine, Finished)
    assert {e.job_id for e in events if isinstance(e, Cancelled)} >= {first, second}
    assert events[-1].job_id == third
    assert events[-1].probability.shape == small.shape[1:]
    assert [e.job_id for e in events if isinstance(e, Finished)] == [third]
    assert engine.state is EngineState.READY


def test_cancel_between_tiles_keeps_the_worker_warm(engine):
    pid = engine.worker_pid
    job_id = engine.submit(slow_job())
    wait_for_first_tile(engine)
    assert engine.state is EngineState.BUSY
    engine.cancel()
    events = events_until(engine, Cancelled)
    assert [e.job_id for e in events if not isinstance(e, Progress)] == [job_id]
    assert engine.worker_pid == pid
    engine.submit(CropJob(crop_array((16, 16, 16)), SPACING_MM))
    wait_for(engine, Finished)


def test_cancelled_jobs_leave_no_threads_in_the_worker(engine):
    def threads() -> int:
        listing = ["ps", "-o", "nlwp=", "-p", str(engine.worker_pid)]
        return int(subprocess.run(listing, capture_output=True, text=True, check=True).stdout)

    counts = []
    for _ in range(4):
        engine.submit(slow_job())
        wait_for_first_tile(engine)
        engine.cancel()
        wait_for(engine, Cancelled)
        counts.append(threads())
    assert counts[-1] <= counts[0]


def test_bad_voxels_fail_the_job_and_not_the_worker(engine):
    array = crop_array((16, 16, 16))
    array[0, 3, 4, 5] = np.nan
    engine.submit(CropJob(array, SPACING_MM))
    assert "NaN" in wait_for(engine, Failed).reason
    array[0, 3, 4, 5] = 0
    engine.submit(CropJob(array, SPACING_MM))
    wait_for(engine, Finished)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 4), np.float32), np.zeros((1, 4, 4, 4)), np.zeros((1, 0, 4, 4), np.float32)]
)
def test_what_is_no_crop_is_refused_at_the_border(array):
    with pytest.raises(WorkerError, match="float32 of shape"):
        CropJob(array, SPACING_MM)


def test_interrupt_from_the_keyboard_does_not_reach_the_worker(engine):
    engine.submit(slow_job())
    wait_for_first_tile(engine)
    os.kill(engine.worker_pid, signal.SIGINT)
    engine.submit(CropJob(crop_array((16, 16, 16)), SPACING_MM))
    wait_for(engine, Finished)


def test_killed_worker_fails_its_job_and_a_fresh_one_answers_the_next(engine):
    pid = engine.worker_pid
    job_id = engine.submit(slow_job())
    wait_for_first_tile(engine)
    os.kill(pid, signal.SIGKILL)
    events = events_until(engine, Started)
    failed = next(e for e in events if isinstance(e, Failed))
    assert failed.job_id == job_id
    assert "SIGKILL" in failed.reason
    assert "try again" in failed.reason
    assert engine.state is EngineState.STARTING
    next_id = engine.submit(CropJob(crop_array((16, 16, 16)), SPACING_MM))
    assert wait_for(engine, Finished, COLD_START_LIMIT_S).job_id == next_id
    assert engine.worker_pid != pid


PARENT = """
import sys
from CRLMSegmentationLib.segmentation.engine.engine import *
from CRLMSegmentationLib.segmentation.models.package import load_model_package
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
import numpy as np
engine = WorkerEngine(load_model_package(sys.argv[1]), device="cpu", cpu_threads=1, precision="float32")
engine.start()
engine.submit(CropJob(np.ones((2, 96, 96, 96), np.float32), 1.25, True))
while True:
    for event in engine.wait(1.0):
        name = type(event).__name__ + getattr(event, "stage", "")
        print(name, engine.worker_pid, flush=True)
        if name == sys.argv[2] and sys.argv[3] == "exit":
            sys.exit()
"""


@pytest.mark.parametrize(
    ("moment", "end"), [("Started", "exit"), ("Started", "SIGKILL"), ("Progressinference", "SIGKILL")]
)
def test_worker_ends_with_its_parent_however_that_ends(tiny_package, moment, end):
    command = [sys.executable, "-c", PARENT, str(tiny_package.folder), moment, end]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        worker_pid = next(int(line.split()[1]) for line in parent.stdout if line.split()[0] == moment)
        if end == "SIGKILL":
            assert is_alive(worker_pid)
            parent.kill()
        assert wait_until_gone(worker_pid)


@pytest.fixture
def scripted(tiny_package: ModelPackage, tmp_path: Path) -> Iterator[Callable[[str], WorkerEngine]]:
    """Makes engines whose worker is `scripted_worker.py`."""
    engines = []

    def make(behaviour: str) -> WorkerEngine:
        python = tmp_path / "python"
        script = TESTING / "helpers" / "scripted_worker.py"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" {behaviour}\n')
        python.chmod(0o755)
        engines.append(WorkerEngine(tiny_package, python=str(python)))
        return engines[-1]

    yield make
    for made in engines:
        made.close()


def test_poll_does_not_wait_for_a_worker_that_takes_nothing(scripted):
    """27 MB for a stopped process: a blocking write would never return."""
    engine = scripted("answers")
    engine.start()
    wait_for(engine, Ready)
    os.kill(engine.worker_pid, signal.SIGSTOP)
    engine.submit(CropJob(np.zeros(LARGE_SHAPE, np.float32), 0.001))
    for _ in range(100):
        engine.poll()
    os.kill(engine.worker_pid, signal.SIGCONT)
    wait_for(engine, Finished)


def test_large_arrays_go_and_come_in_many_polls(scripted):
    engine = scripted("answers")
    engine.start()
    wait_for(engine, Ready)
    array = np.random.default_rng(0).random(LARGE_SHAPE, np.float32)
    engine.submit(CropJob(array, 0.001))
    events, polls, end_s = [], 0, time.monotonic() + COLD_START_LIMIT_S
    while not any(isinstance(e, Finished) for e in events):
        events += engine.poll()
        polls += 1
        time.sleep(0.005)  # the timer of a window
        assert time.monotonic() < end_s
    np.testing.assert_array_equal(events[-1].probability, array)
    assert polls > 4, "the first would have waited for the last byte"


def test_worker_that_does_not_stop_is_killed_within_a_second_of_cancel(scripted):
    engine = scripted("answers")
    engine.start()
    pid = wait_for(engine, Started).pid
    wait_for(engine, Ready)
    engine.submit(CropJob(crop_array((4, 4, 4)), spacing_mm=600.0))
    engine.poll()
    engine.cancel()
    next_id = engine.submit(CropJob(crop_array((4, 4, 4)), spacing_mm=0.01))
    wait_for(engine, Cancelled)
    assert CANCEL_GRACE_S < PROMISED_CANCEL_S
    assert wait_for(engine, Finished).job_id == next_id, "a job submitted after the cancel must survive it"
    assert wait_until_gone(pid)


def test_cancel_before_the_worker_is_ready_is_immediate(scripted):
    engine = scripted("answers")
    job_id = engine.submit(CropJob(crop_array((4, 4, 4)), 1.0))
    engine.cancel()
    assert Cancelled(job_id) in engine.poll()
    wait_for(engine, Ready)


@pytest.mark.parametrize(
    ("behaviour", "said"), [("dies", "libcudart.so.99 cannot be opened"), ("rubbish", "what is no answer")]
)
def test_worker_that_cannot_live_is_given_up(scripted, behaviour, said):
    engine = scripted(behaviour)
    job_id = engine.submit(CropJob(crop_array((4, 4, 4)), 1.0))
    events = []
    while engine.state is not EngineState.FAILED:
        events += engine.wait(10.0)
    events += engine.poll()
    assert len([e for e in events if isinstance(e, Started)]) == MAX_CRASHES
    assert [e.job_id for e in events if isinstance(e, Failed)] == [job_id, None]
    assert said in events[-1].reason
    assert "crlm-seg info" in events[-1].reason
    with pytest.raises(WorkerError, match="times in a row"):
        engine.submit(CropJob(crop_array((4, 4, 4)), 1.0))
    engine.start()
    assert engine.state is EngineState.STARTING


def test_job_that_kills_its_worker_is_not_tried_again(scripted):
    engine = scripted("dies_of_jobs")
    engine.start()
    wait_for(engine, Ready)
    job_id = engine.submit(CropJob(crop_array((4, 4, 4)), 1.0))
    failed = wait_for(engine, Failed)
    assert (failed.job_id, "exit code 7" in failed.reason) == (job_id, True)
    wait_for(engine, Ready)
    assert engine.state is EngineState.READY


def test_close_ends_the_worker_and_its_children(scripted):
    engine = scripted("has_children")
    engine.start()
    pid = wait_for(engine, Started).pid
    child_pid = int(wait_for(engine, Ready).versions["child"])
    job_id = engine.submit(CropJob(crop_array((4, 4, 4)), 60.0))
    engine.poll()
    engine.close()
    assert not is_alive(pid)
    assert wait_until_gone(child_pid)
    assert engine.poll() == [Cancelled(job_id)]
    assert engine.state is EngineState.STOPPED


def test_python_that_is_not_there_is_a_clear_error(tiny_package):
    engine = WorkerEngine(tiny_package, python="/no/such/python")
    with pytest.raises(WorkerError, match=r"'/no/such/python' cannot be started.*name a Python"):
        engine.start()
    assert engine.state is EngineState.FAILED


def test_host_without_an_interpreter_must_name_one(tiny_package, monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(WorkerError, match="PythonSlicer"):
        WorkerEngine(tiny_package)
