"""A training step of the preset `quick` on its own crops: processor time of its parts, as ratios within one run.

    cd Testing && python -m benchmarks.benchmark_training

Simulates a few patients, prepares and plans them, and trains the same first steps in three ways, in turn, each in a
process of its own: as the program does it, with bfloat16 for the whole batch at once, and in float32. Then once
more beside busy programs, one for each core. The clock counts what all threads use, so that a core that waits in a
busy loop is counted and one that sleeps is not. The loss of every way is printed, as they train the same.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import wraps
from pathlib import Path
from unittest import mock

from CRLMSegmentationLib.core.hashing import sha256_of
from CRLMSegmentationLib.recording.dataset import check_cases
from CRLMSegmentationLib.research.phantom.cases import write_cohort
from CRLMSegmentationLib.research.training import fold_process
from CRLMSegmentationLib.research.training.fold_process import KEEP_MEMORY, FoldSettings
from CRLMSegmentationLib.research.training.layout import Layout
from CRLMSegmentationLib.research.training.plan import plan_and_preprocess
from CRLMSegmentationLib.research.training.preparation import Preparation
from CRLMSegmentationLib.research.training.prepare import prepare_dataset
from CRLMSegmentationLib.research.training.presets import QUICK

TODAY, WHOLE_BATCH, FLOAT32 = "as it trains", "whole batch, bfloat16", "whole batch, float32"
WAYS = (TODAY, WHOLE_BATCH, FLOAT32)
PARTS = ("data", "forward", "loss", "backward", "clipping", "optimizer")
WARM_UP = 3
BUSY = "while True: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12, help="that are measured in each process")
    parser.add_argument("--rounds", type=int, default=2, help="of the three ways")
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--child", nargs=2, metavar=("FOLD", "WAY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(Path(arguments.child[0]), arguments.child[1], arguments.steps)))
        return
    with tempfile.TemporaryDirectory() as folder:
        fold = write_fold(Path(folder), arguments.patients)
        cores = os.cpu_count() or 1
        compare(f"{cores} cores", fold, arguments)
        with busy_programs(cores):
            compare(f"{cores} cores beside {cores} busy programs", fold, arguments)


def write_fold(folder: Path, patients: int) -> Path:
    """A planned dataset of simulated patients, cut as for the shipped model; returns the folder of fold 0."""
    write_cohort(folder / "cases", 1, range(patients), 2, version=1)
    cases, problems = check_cases(folder / "cases")
    preparation = Preparation(crops_per_lesion=2, folds=2, seed=1)
    manifest = prepare_dataset(cases, folder / "dataset", preparation, problems=problems, skip_bad=True)
    layout = Layout(folder / "dataset", manifest.dataset_name)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        plan_and_preprocess(layout, QUICK)
    FoldSettings(0, QUICK, QUICK.epochs, 1, sha256_of(layout.manifest), True, "").write(layout.fold_of(QUICK, 0))
    return layout.fold_of(QUICK, 0)


@contextlib.contextmanager
def busy_programs(count: int) -> Iterator[None]:
    programs = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def compare(title: str, fold: Path, arguments: argparse.Namespace) -> None:
    """Print a table of all ways, run in turn."""
    runs = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way in WAYS:
            runs[way].append(run_child(fold, way, arguments.steps))
    print(f"{title}, median processor time of a step in ms ({arguments.rounds} x {arguments.steps} steps)")
    print(f"  {'':12}" + "".join(f"{way:>30}" for way in WAYS))
    times = {way: {part: median_ms(runs[way], part) for part in PARTS} for way in WAYS}
    total = {way: sum(times[way].values()) for way in WAYS}
    for part in PARTS:
        print(
            f"  {part:12}" + "".join(f"{times[way][part]:20.1f} {times[way][part] / total[way]:7.1%}  " for way in WAYS)
        )
    print(f"  {'step':12}" + "".join(f"{total[way]:20.1f} {total[way] / total[TODAY]:6.2f} x  " for way in WAYS))
    for name, of_step in (("elapsed", "elapsed_ms"), ("page faults", "page_faults"), ("memory, MB", "memory_mb")):
        print(
            f"  {name:12}" + "".join(f"{statistics.median(r[of_step] for r in runs[way]):20.0f}{'':10}" for way in WAYS)
        )
    for name, chosen in (("first loss", 0), ("last loss", -1)):
        print(f"  {name:12}" + "".join(f"{runs[way][0]['losses'][chosen]:20.4f}{'':10}" for way in WAYS))
    if arguments.rounds < 2:
        return
    same = all(run["losses"] == runs[way][0]["losses"] for way in WAYS for run in runs[way])
    print(f"  repeated runs of a way give {'equal' if same else 'DIFFERENT'} losses, bit for bit", flush=True)


def median_ms(runs: list[dict], part: str) -> float:
    return statistics.median(ms for run in runs for ms in run["ms"][part])


def run_child(fold: Path, way: str, steps: int) -> dict:
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **(KEEP_MEMORY if way == TODAY else {})}
    command = [sys.executable, "-m", "benchmarks.benchmark_training", "--steps", str(steps), "--child", str(fold), way]
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(answer.stdout)


def measure(fold: Path, way: str, steps: int) -> dict:
    """Train the first steps of a fold, and return what they took."""
    settings = FoldSettings.read(fold)
    if way == FLOAT32:
        settings = replace(settings, preset=replace(settings.preset, bfloat16_on_cpu=False))
    with contextlib.redirect_stdout(io.StringIO()):
        trainer = make_trainer(fold, settings, way)
        trainer.on_train_start()
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
    spent: dict[str, list[float]] = defaultdict(list)
    losses = []
    with measured_parts(trainer, spent):
        for step in range(WARM_UP + steps):
            if step == WARM_UP:
                spent.clear()
                before, started_s = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
            batch = timed(spent, "data", trainer.dataloader_train.__next__)()
            losses.append(float(trainer.train_step(batch)["loss"]))
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "ms": spent,
        "losses": losses,
        "elapsed_ms": (time.perf_counter() - started_s) / steps * 1e3,
        "page_faults": (after.ru_minflt - before.ru_minflt) / steps,
        "memory_mb": most_memory_mb(),
    }


def most_memory_mb() -> float:
    """The most that this process has held; `ru_maxrss` counts the parent that has started it. NaN if unknown."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM")), math.nan)


def make_trainer(fold: Path, settings: FoldSettings, way: str):
    """The program's trainer; for the whole batch at once, the samples are not parted."""
    from CRLMSegmentationLib.research.training import trainer as module

    parted = module.run_per_sample if way == TODAY else whole_batch_in_bfloat16
    with mock.patch.object(module, "run_per_sample", parted):
        return fold_process.make_trainer(fold, settings, "cpu")


def whole_batch_in_bfloat16(network, samples: int) -> None:
    import torch

    quick = torch.autocast("cpu", torch.bfloat16)(network.forward)
    network.forward = lambda tiles: [output.float() for output in quick(tiles)]


@contextlib.contextmanager
def measured_parts(trainer, spent: dict[str, list[float]]) -> Iterator[None]:
    """Measure the parts of nnU-Net's own step."""
    import torch

    trainer.network.forward = timed(spent, "forward", trainer.network.forward)
    trainer.loss.forward = timed(spent, "loss", trainer.loss.forward)
    trainer.optimizer.step = timed(spent, "optimizer", trainer.optimizer.step)
    backward = timed(spent, "backward", torch.Tensor.backward)
    clip = timed(spent, "clipping", torch.nn.utils.clip_grad_norm_)
    with mock.patch.object(torch.Tensor, "backward", backward), mock.patch("torch.nn.utils.clip_grad_norm_", clip):
        yield


def timed(spent: dict[str, list[float]], part: str, function: Callable) -> Callable:
    @wraps(function)
    def run(*arguments, **keywords):
        started_s = time.process_time()
        result = function(*arguments, **keywords)
        spent[part].append((time.process_time() - started_s) * 1e3)
        return result

    return run


if __name__ == "__main__":
    main()
