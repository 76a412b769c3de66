"""What a segmentation costs: runtimes and precisions, against nnU-Net, volume, number of lesions and crop.

    cd Testing && python -m benchmarks.benchmark_segmentation            # a few minutes
    cd Testing && python -m benchmarks.benchmark_segmentation --quick    # without nnUNetv2_predict

Ratios are of processor time within one run, which other programs on the machine change little. The baseline is
nnU-Net's own predictor in torch float32 on the CPU, loaded and warm, over its patches. The case is a simulated one.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the worker does: threads that spin would count as work

import numpy as np
import SimpleITK as sitk
import torch
from CRLMSegmentationLib.cli.segment_files import model_or_default
from CRLMSegmentationLib.core.crop import extract_crop, network_input
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.inference.inference_cache import InferenceCache
from CRLMSegmentationLib.segmentation.inference.networks import build_network
from CRLMSegmentationLib.segmentation.inference.nnunet import NnUNet
from CRLMSegmentationLib.segmentation.inference.openvino_module import openvino
from CRLMSegmentationLib.segmentation.inference.openvino_runtime import ELEMENT_TYPES, openvino_choices
from CRLMSegmentationLib.segmentation.inference.runtime import Precision, RuntimeChoice
from CRLMSegmentationLib.segmentation.inference.runtime_choice import available_cpu_threads, open_runtime
from CRLMSegmentationLib.segmentation.inference.runtime_model import RuntimeModel, pass_image
from CRLMSegmentationLib.segmentation.inference.torch_runtime import torch_choices
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, export_nnunet
from CRLMSegmentationLib.segmentation.results import Options
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.segmentation.wait import wait_for_lesion, wait_for_model
from torch.utils.flop_counter import FlopCounterMode

PATCHES, ONE_PASS, MIRRORED = Options(sliding_window=True), Options(), Options(mirroring=True)
EDGES = {27: 300, 108: 476, 216: 600}
"""Of cubic volumes of 8-bit voxels, in voxels, by their size in MB."""
THRESHOLD = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--quick", action="store_true", help="without nnUNetv2_predict")
    arguments = parser.parse_args()
    model = model_or_default(arguments.model)
    case = load_case(resource_path("SampleCases", "phantom-hypoechoic"))
    volume, seed = case.volume(), np.array(case.lesions[0].seed_ras_mm)
    crop = network_input(extract_crop(volume, seed, model.crop_size_mm, model.spacing_mm), model.channels)
    print(f"{model.name} {model.version}, crop {crop.shape[1:]}, simulated case, {available_cpu_threads()} cores")
    baseline_s = compare_runtimes(model, crop, arguments.runs)
    if not arguments.quick:
        compare_nnunet_commands(model, crop, volume, baseline_s)
    measure_worker(model, volume, seed, arguments.runs)


def compare_runtimes(model: ModelPackage, crop: np.ndarray, runs: int) -> float:
    """Print time and agreement of each way to run the network; returns processor seconds of the baseline."""
    threads = available_cpu_threads()
    nnunet = NnUNet(model, torch.device("cpu"), threads)
    expected = nnunet.predict(crop, model.spacing_mm).probability
    ways: dict[str, Callable[[], object]] = {"nnU-Net": lambda: nnunet.predict(crop, model.spacing_mm)}
    agreement = {"nnU-Net": "baseline"}
    models = {choice: _loaded(model, choice, threads) for choice in [*openvino_choices(), *torch_choices("auto")[0]]}
    for choice, loaded in models.items():
        for name, options in (("patches", PATCHES), ("one pass", ONE_PASS), ("one pass, 8 mirrored", MIRRORED)):
            probability = loaded.predict(crop, model.spacing_mm, options).probability
            label = f"{choice}, {name}"
            ways[label] = lambda loaded=loaded, options=options: loaded.predict(crop, model.spacing_mm, options)
            same = dice(probability, expected)
            agreement[label] = f"Dice to the baseline {same:.4f}"
    seconds = interleaved(ways, runs)
    flop = pass_flop(model)
    peaks = {precision: peak_flop_per_s(precision) for precision in (Precision.FLOAT32, Precision.BFLOAT16)}
    for label, way_s in seconds.items():
        print(f"  {label:52} {way_s:7.3f} s   {way_s / seconds['nnU-Net']:6.3f}   {agreement[label]}")
    image = pass_image(model)
    passes = {str(c): (lambda m=m: m._runtime.logits(0, image)) for c, m in models.items()}
    print(f"  a pass is {flop / 1e9:.0f} GFLOP; of the peak that a product of matrices reaches on these cores:")
    for choice, pass_s in zip(models, interleaved(passes, runs).values()):
        peak = peaks.get(choice.precision)
        share = "" if peak is None else f"{flop / pass_s / peak:6.0%}"
        print(f"  {choice!s:52} {pass_s:7.3f} s   {share}   {flop / pass_s / 1e9:.0f} GFLOP for each core second")
    return seconds["nnU-Net"]


def _loaded(model: ModelPackage, choice: RuntimeChoice, threads: int) -> RuntimeModel:
    runtime = open_runtime(choice, model, threads, InferenceCache(model))
    return RuntimeModel(model, runtime, lambda: runtime)


def interleaved(ways: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Run all ways in turn, several times; returns the median of the processor seconds of each."""
    taken: dict[str, list[float]] = {label: [] for label in ways}
    for _ in range(runs):
        for label, run in ways.items():
            started_s = time.process_time()
            run()
            taken[label].append(time.process_time() - started_s)
    return {label: statistics.median(times_s) for label, times_s in taken.items()}


def dice(probability: np.ndarray, expected: np.ndarray) -> float:
    one, other = probability > THRESHOLD, expected > THRESHOLD
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def pass_flop(model: ModelPackage) -> float:
    """Operations of one pass, a multiplication and an addition counted as two, as torch counts them."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        build_network(model, model.folds[0])(torch.from_numpy(pass_image(model))[None])
    return float(counter.get_total_flops())


def peak_flop_per_s(precision: Precision, edge: int = 2048) -> float:
    """Operations that a product of matrices does for each second of a core, in OpenVINO, which uses all of AVX-512."""
    one = openvino.opset13.parameter([edge, edge], np.float32)
    other = openvino.opset13.constant(np.random.default_rng(0).random((edge, edge), np.float32))
    model = openvino.Model([openvino.opset13.matmul(one, other, False, False)], [one])
    hints = {
        "INFERENCE_PRECISION_HINT": ELEMENT_TYPES[precision],
        "INFERENCE_NUM_THREADS": available_cpu_threads(),
        "ENABLE_CPU_PINNING": False,
    }
    request = openvino.Core().compile_model(model, "CPU", hints).create_infer_request()
    image = np.random.default_rng(1).random((edge, edge), np.float32)
    request.infer([image])
    started_s = time.process_time()
    for _ in range(5):
        request.infer([image])
    return 5 * 2 * edge**3 / (time.process_time() - started_s)


def compare_nnunet_commands(model: ModelPackage, crop: np.ndarray, volume: Volume, baseline_s: float) -> None:
    """Print what `nnUNetv2_predict` costs on the crop and on the whole volume, its start included."""
    whole = np.stack([volume.array.astype(np.float32)] * len(model.channels))
    inputs = {"the crop": (crop, model.spacing_mm), "the whole volume": (whole, float(volume.spacing_mm.mean()))}
    for where, (array, spacing_mm) in inputs.items():
        for name, extra in (("", ["--disable_tta"]), (", mirrored", [])):
            seconds = nnunet_command_s(model, array, spacing_mm, extra)
            print(f"  nnUNetv2_predict on {where + name:32} {seconds:7.3f} s   {seconds / baseline_s:6.3f}")


def nnunet_command_s(model: ModelPackage, array: np.ndarray, spacing_mm: float, extra: list[str]) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "images").mkdir()
        for number, channel in enumerate(array):
            image = sitk.GetImageFromArray(channel)
            image.SetSpacing([spacing_mm] * 3)
            sitk.WriteImage(image, str(folder / "images" / f"case_{number:04d}{model.dataset()['file_ending']}"))
        export_nnunet(model, folder / "results" / "Dataset001_A" / "nnUNetTrainer__nnUNetPlans__3d_fullres")
        environment = {**os.environ, **{f"nnUNet_{n}": str(folder / n) for n in ("raw", "preprocessed", "results")}}
        entry = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point as run; run()"
        where = ["-i", str(folder / "images"), "-o", str(folder / "out"), "-d", "Dataset001_A", "-c", "3d_fullres"]
        how = ["-f", *map(str, model.folds), "-device", "cpu", "-npp", "1", "-nps", "1", *extra]
        before_s = children_s()
        subprocess.run([sys.executable, "-c", entry, *where, *how], check=True, capture_output=True, env=environment)
        if not any(path.name.startswith("case") for path in (folder / "out").iterdir()):
            raise RuntimeError("nnUNetv2_predict found no image")
        return children_s() - before_s


def children_s() -> float:
    """Processor seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure_worker(model: ModelPackage, volume: Volume, seed: np.ndarray, runs: int) -> None:
    """Print start, memory and steps of the worker, and its cost against volume, number of lesions and crop."""
    with Session(WorkerEngine(model), model) as session:
        ready = wait_for_model(session)
        session.use_volume(volume)
        base = answer_s(session, [seed], runs)
        print(f"worker: {ready.device}; ready after {ready.cold_start_s:.1f} s, a pass takes {ready.pass_s:.3f} s")
        print(f"  from seed to mask: {base:.3f} s (median of {runs}; elapsed, as the user waits)")
        print(f"  memory of the worker: {largest_memory_mb(session.engine.worker_pid)} MB at most")
        for count in (5, 20):
            print(f"  {count:3} lesions                {answer_s(session, [seed] * count, 1) / base:6.2f} x")
        for size_mm in (60.0, 112.0, 160.0):
            several_s = answer_s(session, [seed], runs, Options(size_mm))
            print(f"  crop of {size_mm:3.0f} mm           {several_s / base:6.2f} x")
        for megabytes, edge in EDGES.items():
            large = large_volume(volume, edge)
            session.use_volume(large)
            first_s, again_s = answer_s(session, [seed], 1), answer_s(session, [seed], runs)
            print(f"  volume of {megabytes:3} MB         {first_s / base:6.2f} x at first, then {again_s / base:.2f} x")


def largest_memory_mb(pid: int) -> str:
    """The largest memory that a process has held, in MB; Linux alone tells."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((str(int(line.split()[1]) // 1024) for line in lines if line.startswith("VmHWM")), "unknown")


def answer_s(session: Session, seeds: list[np.ndarray], runs: int, options: Options = ONE_PASS) -> float:
    """Seconds until all lesions are segmented, one after the other; the median of some runs."""
    taken = []
    for _ in range(runs):
        started_s = time.perf_counter()
        for number, seed in enumerate(seeds):
            session.segment(f"Tumour {number}", seed, options)
            wait_for_lesion(session, f"Tumour {number}")
        taken.append(time.perf_counter() - started_s)
    return statistics.median(taken)


def large_volume(volume: Volume, edge: int) -> Volume:
    """The same tissue, repeated to a cube; the seed lies where it lay."""
    repeats = [-(-edge // count) for count in volume.array.shape]
    return Volume(np.tile(volume.array, repeats)[:edge, :edge, :edge].copy(), volume.ijk_to_ras)


if __name__ == "__main__":
    main()
