"""Cost of many cases: linear in their number, less with more workers; what a cluster adds; memory of each step.

    python -m benchmarks.benchmark_cluster [--cases 8] [--only cohorts|steps|ray]

Ratios within one run count; seconds are those of this machine and of what else runs on it. The nodes of the simulated
cluster share this machine, so that tasks which compute get no faster than its cores: whether anything serialises is
measured with tasks that only wait.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from CRLMSegmentationLib.core.parallel import LocalPool, cores
from CRLMSegmentationLib.core.tasks import TaskNeeds, results_of, run_tasks
from CRLMSegmentationLib.recording.dataset import check_cases
from CRLMSegmentationLib.research.baselines.methods import baseline_named
from CRLMSegmentationLib.research.evaluation.lesions import measure_method
from CRLMSegmentationLib.research.evaluation.methods import ModelMethod, started
from CRLMSegmentationLib.research.evaluation.result_cache import ResultCache
from CRLMSegmentationLib.research.evaluation.settings import EvaluationSettings
from CRLMSegmentationLib.research.phantom.cases import write_cohort, write_phantom_case
from CRLMSegmentationLib.research.training.nnunet_raw import write_case_images
from CRLMSegmentationLib.research.training.preparation import Preparation
from CRLMSegmentationLib.research.training.readiness import check_case
from CRLMSegmentationLib.segmentation.models.package import model_or_default

ROUNDS = 2
PLAIN = EvaluationSettings(robustness_lesions=0)
WAIT_S, WARM_UP_S = 2.0, 5.0
"""Of a task that only waits: as a case."""
TASKS_OF_A_NODE = 8
SMALL = 2000
"""Tasks that do nothing, to measure what the head node can hand out."""
ROW_BYTES = 20_000
"""Of the result of a measurement: a row, and the mask as a compressed file."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--cases", type=int, default=8, help="of the largest cohort; a quarter and half are measured too"
    )
    parser.add_argument("--only", choices=("cohorts", "steps", "ray"), help="a part of the measurements")
    options = parser.parse_args(arguments)
    print(f"{cores()} cores; load {os.getloadavg()[0]:.1f} before the run")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if options.only in (None, "cohorts"):
            cohort = measure_phantoms(folder, options.cases)
            measure_evaluation(cohort)
        if options.only in (None, "steps"):
            cohort = new_folder(folder)
            write_cohort(cohort, 1, range(1))
            measure_steps(folder, cohort)
    if options.only in (None, "ray"):
        measure_ray()


def measure_phantoms(folder: Path, most: int) -> Path:
    """Processor time of cohorts of three sizes, and the pace of one and two workers, in turn."""
    print("\nSimulating patients")
    costs: dict[int, float] = {}
    for count in (most // 4, most // 2, most):
        out = new_folder(folder)
        before_s = processor_seconds()
        write_cohort(out, 1, range(count), runner=LocalPool(1))
        costs[count] = processor_seconds() - before_s
        print(f"  {count:3d} cases: {costs[count]:6.1f} s of processor time, {costs[count] / count:5.2f} s a case")
    half, quarter = most // 2, most // 4
    first, second = (costs[half] - costs[quarter]) / (half - quarter), (costs[most] - costs[half]) / (most - half)
    print(f"  one case more costs {first:.2f} s from {quarter} to {half}, {second:.2f} s from {half} to {most}")

    def pace(workers: int) -> float:
        ends: list[float] = []
        note = lambda case: ends.append(time.perf_counter())  # noqa: E731
        write_cohort(new_folder(folder), 1, range(most), on_written=note, runner=LocalPool(workers))
        return seconds_each(ends, workers)

    print_paces("case", [(pace(1), pace(2)) for _ in range(ROUNDS)])
    return out


def measure_evaluation(folder: Path) -> None:
    print("\nMeasuring lesions")
    cases, _ = check_cases(folder)
    model = ModelMethod(model_or_default(None))
    for name, method in (("region-growing", baseline_named("region-growing")), ("model", model)):
        print(f"  {name}")
        print_paces(
            "lesion", [tuple(evaluation_pace(method, cases, workers) for workers in (1, 2)) for _ in range(ROUNDS)]
        )


def evaluation_pace(method: Any, cases: Sequence[Any], workers: int) -> float:
    ends: list[float] = []
    cache = ResultCache(None, method.header(PLAIN))
    note = lambda name, *_: ends.append(time.perf_counter())  # noqa: E731
    measure_method(method, cases, PLAIN, cache, None, note, LocalPool(workers))
    return seconds_each(ends, workers + 1)


def seconds_each(ends: Sequence[float], first: int) -> float:
    """Seconds for each result, without the first ones, for which the processes had to be started."""
    return (ends[-1] - ends[first - 1]) / (len(ends) - first)


def print_paces(what: str, rounds: Sequence[Sequence[float]]) -> None:
    """Print the seconds of one and of two workers in each round, and their ratio."""
    for one_s, two_s in rounds:
        print(f"    1 worker {one_s:.2f} s a {what}, 2 workers {two_s:.2f} s: {two_s / one_s:.2f} of the time")


def processor_seconds() -> float:
    """Processor time of the processes that have ended, which does not depend on what else runs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def new_folder(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


def measure_steps(folder: Path, cohort: Path) -> None:
    """Processor time of a task once its process has started, and most memory; both with the processes it starts."""
    print("\nOne task: processor time for the start and the first, for the next; most memory with all that is loaded")
    cases, _ = check_cases(cohort)
    raw = folder / "raw"
    for name in ("imagesTr", "labelsTr"):
        (raw / name).mkdir(parents=True)
    preparation, model = Preparation(), ModelMethod(model_or_default(None))
    steps: dict[str, Callable[[], Any]] = {
        "phantom, version 1": partial(write_phantom_case, folder / "one", 1, 0, 1),
        "phantom, version 2": partial(write_phantom_case, folder / "two", 1, 0, 2),
        "prepare, check": partial(check_case, (cases[0], preparation)),
        "prepare, write": partial(write_case_images, (cases[0], cases[0].lesions, preparation, raw)),
        "evaluate region-growing": partial(_measure_one, baseline_named("region-growing"), cases[:1]),
        "evaluate model": partial(_measure_one, model, cases[:1]),
    }
    for name, step in steps.items():
        outcomes = run_tasks(LocalPool(1), _cost_of, [step], TaskNeeds(is_limited=False))
        first_s, next_s, peak = results_of(outcomes, [name])[0]
        print(f"  {name}: {first_s:.1f} s, {next_s:.2f} s; {peak / 1e9:.2f} GB")


def _measure_one(method: Any, cases: Sequence[Any]) -> None:
    from CRLMSegmentationLib.research.evaluation.lesions import _tasks_of, measure_task

    measure_task(method, PLAIN, True, _tasks_of(cases, PLAIN)[0])
    started(method, PLAIN)  # which keeps the worker process alive


def _cost_of(step: Callable[[], Any]) -> tuple[float, float, int]:
    """Processor seconds until a step has run once, and for the second time; most memory in bytes."""
    step()
    first_s = _processor_seconds()
    step()
    mine = [os.getpid(), *_descendants(os.getpid())]
    return first_s, _processor_seconds() - first_s, sum(_peak_bytes(pid) for pid in mine)


def _processor_seconds() -> float:
    """Processor time of this process and of all below it that run."""
    ticks = 0
    for pid in (os.getpid(), *_descendants(os.getpid())):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _descendants(pid: int) -> list[int]:
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *_descendants(int(child))]
    return found


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def measure_ray() -> None:
    try:
        from CRLMSegmentationLib.research.ray_cluster import RayCluster
        from helpers.ray_helpers import LocalRay

        cluster = LocalRay(1)
    except ImportError:
        print("\nRay is not installed; make test-cluster installs it")
        return
    needs = TaskNeeds(memory_gb=0.1)
    print(f"\nRay: nodes of one core, tasks that wait {WAIT_S} s, {TASKS_OF_A_NODE} for each node")
    try:
        alone = 0.0
        for count in (1, 2, 4, 8):
            try:
                while len(cluster.nodes) < count:
                    cluster.nodes.append(cluster.add_node())
            except Exception as error:  # Ray gives a node 30 s to start, which a busy machine may exceed
                print(f"  {count} nodes cannot be started: {error}")
                break
            with RayCluster(cluster.address) as runner:
                run_tasks(runner, _wait, [WARM_UP_S] * count, needs)  # starts a process on each node
                ends: list[float] = []
                note = lambda *_, ends=ends: ends.append(time.perf_counter())  # noqa: E731
                run_tasks(runner, _wait, [WAIT_S] * TASKS_OF_A_NODE * count, needs, note)
            rate = 1 / seconds_each(ends, count)
            alone = alone or rate
            print(f"  {count} nodes: {rate:5.2f} tasks/s, {100 * rate / alone / count:.0f} % of linear")
        with RayCluster(cluster.address) as runner:
            small_s = seconds(lambda: run_tasks(runner, abs, list(range(SMALL)), needs))
            rows_s = seconds(lambda: run_tasks(runner, bytes, [ROW_BYTES] * SMALL, needs))
        print(
            f"  tasks that do nothing: {SMALL / small_s:.0f} a second; with results of {ROW_BYTES // 1000} kB "
            f"{SMALL / rows_s:.0f} a second, {SMALL * ROW_BYTES / rows_s / 1e6:.1f} MB/s through the head"
        )
    finally:
        cluster.close()
    with tempfile.TemporaryDirectory() as scratch:
        print("\nRay: simulating patients (the nodes share the cores of this machine)")
        measure_ray_phantoms(Path(scratch))


def measure_ray_phantoms(folder: Path) -> None:
    from CRLMSegmentationLib.research.ray_cluster import RayCluster
    from helpers.ray_helpers import LocalRay

    taken = {}
    for nodes in (1, 2):
        cluster, out = LocalRay(nodes), folder / str(nodes)
        out.mkdir()
        try:
            with RayCluster(cluster.address) as runner:
                run_tasks(runner, _wait, [0.0] * 2 * nodes, TaskNeeds())
                taken[nodes] = seconds(lambda o=out, r=runner: write_cohort(o, 1, range(4), runner=r))
        finally:
            cluster.close()
        print(f"  {nodes} nodes: {taken[nodes] / 4:.2f} s a case")
    print(f"  two nodes take {taken[2] / taken[1]:.2f} of the time of one")


def _wait(wait_s: float) -> None:
    time.sleep(wait_s)


def seconds(function: Callable[[], Any]) -> float:
    started_s = time.perf_counter()
    function()
    return time.perf_counter() - started_s


if __name__ == "__main__":
    main()
