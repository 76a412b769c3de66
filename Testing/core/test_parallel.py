"""Tasks in one process and in several. That processes end with their parent is tested with the commands."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core import parallel
from CRLMSegmentationLib.core.errors import CaseError, CrlmError
from CRLMSegmentationLib.core.parallel import ENDED_FROM_OUTSIDE, InProcess, LocalPool, local_runner
from CRLMSegmentationLib.core.tasks import (
    LISTED_FAILURES,
    Done,
    TaskFailure,
    TaskNeeds,
    TasksFailedError,
    failures_text,
    results_of,
    run_tasks,
)
from helpers.task_functions import (
    allocate,
    die_at_zero,
    die_once,
    fail_at_zero,
    threads_allowed,
    unpicklable_error,
    wait_for_file,
)

NEEDS = TaskNeeds()
RUNNERS = [InProcess(), LocalPool(1), LocalPool(2)]


@pytest.mark.parametrize("runner", RUNNERS, ids=["in process", "pool of one", "pool of two"])
def test_results_come_in_the_order_of_their_jobs(runner):
    told = []
    outcomes = run_tasks(runner, abs, [-3, 1, -2], NEEDS, lambda number, outcome: told.append((number, outcome.value)))
    assert results_of(outcomes, ["a", "b", "c"]) == [3, 1, 2]
    assert sorted(told) == [(0, 3), (1, 1), (2, 2)]


def test_order_of_jobs_is_kept_when_they_end_in_another(tmp_path):
    """The first job ends only after the second has."""
    told = []
    jobs = [(tmp_path / "written by the second", None), (None, tmp_path / "written by the second")]
    outcomes = run_tasks(LocalPool(2), wait_for_file, jobs, NEEDS, lambda number, _: told.append(number))
    assert told == [1, 0]
    assert [outcome.value for outcome in outcomes] == ["waited", "wrote"]


@pytest.mark.parametrize("runner", RUNNERS, ids=["in process", "pool of one", "pool of two"])
def test_task_that_fails_stops_no_other_and_is_named(runner):
    outcomes = run_tasks(runner, fail_at_zero, [1, 0, 2], NEEDS)
    assert [type(outcome) for outcome in outcomes] == [Done, TaskFailure, Done]
    with pytest.raises(TasksFailedError, match=r"1 of 3 failed \(P2: zero; take another\); the others are done: run"):
        results_of(outcomes, ["P1", "P2", "P3"])


@pytest.mark.parametrize("runner", RUNNERS, ids=["in process", "pool of one", "pool of two"])
def test_error_of_a_single_task_comes_as_it_is(runner):
    with pytest.raises(CaseError, match="zero; take another"):
        results_of(run_tasks(runner, fail_at_zero, [0], NEEDS), ["P1"])


def test_fault_of_the_program_says_so_and_where(caplog):
    (failure,) = run_tasks(LocalPool(2), float, ["one"], NEEDS)
    assert "a fault of this program" in failure.reason
    assert "could not convert" in failure.reason


def test_error_that_cannot_be_sent_between_processes_keeps_its_reason():
    first, second = run_tasks(LocalPool(2), unpicklable_error, ["no such thing", "nor this"], NEEDS)
    assert (first.reason, second.reason) == ("no such thing: told", "nor this: told")
    assert first.error is None


def test_process_that_dies_costs_its_task_only():
    outcomes = run_tasks(LocalPool(2), die_at_zero, [1, 0, 2, 3, 4], NEEDS)
    assert [getattr(outcome, "value", None) for outcome in outcomes] == [1, None, 2, 3, 4]
    assert outcomes[1].reason == ENDED_FROM_OUTSIDE
    assert "fewer processes" in outcomes[1].reason


def test_task_whose_process_was_ended_once_is_done_again(tmp_path):
    """As when memory ran out since several large tasks ran at the same time."""
    outcomes = run_tasks(LocalPool(2), die_once, [tmp_path / "a", tmp_path / "b"], NEEDS)
    assert [outcome.value for outcome in outcomes] == ["a", "b"]


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is limited on Linux only")
def test_memory_of_a_task_is_bounded_and_the_next_has_as_much():
    jobs = [50, 600, 50, 200, 50]
    outcomes = run_tasks(LocalPool(2, memory_gb=0.3), allocate, jobs, NEEDS)
    assert [getattr(outcome, "value", None) for outcome in outcomes] == [50, None, 50, 200, 50]
    assert "needs more memory than 0.3 GB; allow more with --task-memory" in outcomes[1].reason
    unlimited = TaskNeeds(is_limited=False)
    (outcome,) = run_tasks(LocalPool(2, memory_gb=0.3), allocate, [600], unlimited)
    assert outcome.value == 600


def test_pool_takes_all_cores_as_far_as_the_memory_allows(monkeypatch):
    monkeypatch.setattr(parallel, "cores", lambda: 16)
    monkeypatch.setattr(parallel, "free_memory_bytes", lambda: 10 * 10**9)
    assert LocalPool().workers_for(TaskNeeds(memory_gb=0.5), 100) == 16
    assert LocalPool().workers_for(TaskNeeds(memory_gb=2), 100) == 5
    assert LocalPool().workers_for(TaskNeeds(memory_gb=2), 3) == 3
    assert LocalPool().workers_for(TaskNeeds(memory_gb=20), 100) == 1
    assert LocalPool(4).workers_for(TaskNeeds(memory_gb=20), 100) == 4
    assert LocalPool(memory_gb=5).workers_for(TaskNeeds(memory_gb=0.5), 100) == 2
    monkeypatch.setattr(parallel, "free_memory_bytes", lambda: None)
    assert LocalPool().workers_for(TaskNeeds(memory_gb=20), 100) == 16


def test_processes_have_one_thread_however_many_they_are(monkeypatch):
    """Or as many as the user says."""
    for name in parallel.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for processes in (1, 2):
        outcomes = run_tasks(LocalPool(processes), threads_allowed, [0, 1], NEEDS)
        assert [outcome.value for outcome in outcomes] == ["1", "1"]
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [outcome.value for outcome in run_tasks(LocalPool(2), threads_allowed, [0, 1], NEEDS)] == ["3", "3"]


def test_one_process_is_this_one_for_callers_of_the_library():
    assert isinstance(local_runner(1), InProcess)
    assert local_runner(3) == LocalPool(3)


def test_ctrl_c_ends_the_processes_and_comes_through(tmp_path):
    """The jobs would wait for ever."""
    never = [(tmp_path / "a", None), (tmp_path / "b", None)]
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run_tasks(LocalPool(2), wait_for_file, never, NEEDS)


def test_long_lists_of_failures_are_cut():
    text = failures_text([(f"P{n}", "no") for n in range(LISTED_FAILURES + 5)], 1000, "run it again")
    assert text.startswith("25 of 1000 failed (P0: no; P1: no; ")
    assert text.endswith("P19: no; and 5 more); the others are done: run it again")


def test_arrays_come_back_as_they_were():
    (outcome,) = run_tasks(LocalPool(2), np.sqrt, [np.arange(5.0)], NEEDS)
    assert outcome.value.tobytes() == np.sqrt(np.arange(5.0)).tobytes()


def test_runner_that_loses_a_task_is_found_out():
    class Forgetful(InProcess):
        def run(self, function, jobs, *others):
            super().run(function, jobs[1:], *others)

    with pytest.raises(RuntimeError, match="has not told how 1 of 2 tasks ended"):
        run_tasks(Forgetful(), abs, [1, 2], NEEDS)


def test_failure_of_the_only_task_without_its_error_is_told():
    with pytest.raises(CrlmError, match=r"1 of 1 failed \(P1: gone\)"):
        results_of([TaskFailure("gone")], ["P1"])
