"""Tasks on a Ray cluster of several nodes: order, failures, a killed node, memory, and what is refused at the start."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.tasks import Done, TaskFailure, TaskNeeds, results_of, run_tasks
from CRLMSegmentationLib.research import ray_cluster as module
from CRLMSegmentationLib.research.ray_cluster import RayCluster
from helpers.ray_helpers import LocalRay, free_port
from helpers.task_functions import (
    PATIENCE_S,
    allocate,
    die_at_zero,
    fail_at_zero,
    note_and_wait,
    threads_allowed,
    unpicklable_error,
    wait_for_file,
)

NEEDS = TaskNeeds(memory_gb=0.5)


@pytest.fixture
def runner(ray_cluster: LocalRay):
    with RayCluster(ray_cluster.address) as runner:
        yield runner


def test_results_come_in_the_order_of_their_jobs(runner, tmp_path):
    """The first job ends only after the second has."""
    told = []
    jobs = [(tmp_path / "written by the second", None), (None, tmp_path / "written by the second")]
    outcomes = run_tasks(runner, wait_for_file, jobs, NEEDS, lambda number, _: told.append(number))
    assert told == [1, 0]
    assert results_of(outcomes, ["a", "b"]) == ["waited", "wrote"]


def test_many_more_tasks_than_nodes_are_handed_over_bit_by_bit(runner):
    assert results_of(run_tasks(runner, abs, range(-100, 0), NEEDS), [""] * 100) == list(range(100, 0, -1))


def test_task_that_fails_stops_no_other_and_is_named(runner):
    outcomes = run_tasks(runner, fail_at_zero, [1, 0, 2], NEEDS)
    assert [type(outcome) for outcome in outcomes] == [Done, TaskFailure, Done]
    assert outcomes[1].reason == "zero; take another"
    (failure,) = run_tasks(runner, unpicklable_error, ["no such thing"], NEEDS)
    assert failure.reason == "no such thing: told"


def test_task_that_ends_its_process_again_and_again_fails_alone(runner):
    outcomes = run_tasks(runner, die_at_zero, [1, 0, 2], NEEDS)
    assert [getattr(outcome, "value", None) for outcome in outcomes] == [1, None, 2]
    assert "was lost 4 times, as where memory runs out" in outcomes[1].reason
    assert "--task-memory" in outcomes[1].reason


def test_memory_of_a_task_is_bounded(ray_cluster):
    with RayCluster(ray_cluster.address, memory_gb=0.3) as small:
        outcomes = run_tasks(small, allocate, [50, 600, 50], TaskNeeds())
    assert [getattr(outcome, "value", None) for outcome in outcomes] == [50, None, 50]
    assert "needs more memory than 0.3 GB" in outcomes[1].reason


def test_memory_decides_how_many_tasks_a_node_runs(runner, tmp_path):
    """Two nodes of one core, of which each has memory for one task: a third is not begun before one has ended."""
    jobs = [(number, tmp_path, tmp_path / "go on") for number in range(3)]
    needs = TaskNeeds(memory_gb=7, cpus=0.25)

    def look() -> None:
        if len(list(tmp_path.glob("begun-*"))) == 2:
            seen.append(sorted(tmp_path.glob("begun-*")))
        if len(seen) == 2:  # seconds later there are still two
            (tmp_path / "go on").touch()

    seen: list[list[Path]] = []
    outcomes = run_tasks(runner, note_and_wait, jobs, needs, on_idle=look)
    assert [outcome.value for outcome in outcomes] == [0, 1, 2]
    assert len(seen) >= 2


def test_task_that_no_node_can_run_is_refused_at_once(runner):
    with pytest.raises(CrlmError, match=r"GB of memory: 500.*larger nodes, or state less with --task-memory"):
        run_tasks(runner, abs, [1], TaskNeeds(memory_gb=500))
    with pytest.raises(CrlmError, match="GPUs: 1"):
        run_tasks(runner, abs, [1], TaskNeeds(gpus=1.0))


def test_task_has_as_many_threads_as_cores(runner):
    assert results_of(run_tasks(runner, threads_allowed, [0], NEEDS), [""]) == ["1"]


def test_first_task_runs_alone_where_the_others_need_what_it_stores(runner, tmp_path):
    jobs = [(number, tmp_path, None) for number in range(4)]
    told: list[int] = []

    def tell(number: int, _: object) -> None:
        if not told:
            assert len(list(tmp_path.glob("begun-*"))) == 1
        told.append(number)

    run_tasks(runner, note_and_wait, jobs, TaskNeeds(memory_gb=0.5, first_alone=True), tell)
    assert told[0] == 0
    assert sorted(told) == [0, 1, 2, 3]


def test_killed_node_costs_only_the_tasks_that_ran_on_it(ray_cluster, tmp_path):
    """Four tasks have ended, one waits on each of three nodes; one node is killed, and its task alone begins anew."""
    third = ray_cluster.add_node()
    jobs = [(number, tmp_path, None) for number in range(4)]
    jobs += [(number, tmp_path, tmp_path / "go on") for number in range(4, 7)]
    processes = {}

    def kill_one() -> None:
        wait_until(lambda: all((tmp_path / f"begun-{number}").exists() for number in range(7)))
        processes.update({number: begun(tmp_path, number) for number in range(4, 7)})
        ray_cluster.kill_node(third)
        wait_until(lambda: any(not Path("/proc", pid).exists() for lines in processes.values() for _, pid in lines))
        (tmp_path / "go on").touch()

    killer = threading.Thread(target=kill_one)
    with RayCluster(ray_cluster.address) as runner:
        killer.start()
        outcomes = run_tasks(runner, note_and_wait, jobs, NEEDS)
        killer.join()
    assert [outcome.value for outcome in outcomes] == list(range(7))
    times = [len(begun(tmp_path, number)) for number in range(7)]
    assert times[:4] == [1, 1, 1, 1]
    assert sorted(times[4:]) == [1, 1, 2]
    assert len({parent for lines in processes.values() for parent, _ in lines}) == 3


def begun(folder: Path, number: int) -> list[tuple[str, str]]:
    """Parent and process of each begin of a task."""
    return [tuple(line.split()) for line in (folder / f"begun-{number}").read_text().splitlines()]


def wait_until(holds) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_folder_that_a_node_does_not_see_is_told(runner, tmp_path):
    runner.check_folder(tmp_path)
    with pytest.raises(CrlmError, match=r"absent is not seen by the node .*; mount the same share at the same path"):
        runner.check_folder(tmp_path / "absent")


def test_address_that_is_none_is_told():
    with pytest.raises(CrlmError, match="a cluster is local or ray://HOST:PORT"):
        RayCluster("10.0.0.1:10001")


def test_cluster_that_cannot_be_reached_is_told():
    pytest.importorskip("ray", reason="Ray is not installed; make test-cluster installs it")
    with pytest.raises(CrlmError, match=r"cannot be reached .*; check the address"):
        RayCluster(f"ray://127.0.0.1:{free_port()}")


def test_nodes_with_another_version_are_refused(ray_cluster, monkeypatch):
    monkeypatch.setattr(module, "__version__", "0.0.1")
    with pytest.raises(CrlmError, match=r"this machine has 0\.0\.1 with Python .*install the same version on all"):
        RayCluster(ray_cluster.address)


def test_nothing_is_sent_home(runner):
    from ray._common.usage.usage_lib import usage_stats_enabled

    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert not usage_stats_enabled()
