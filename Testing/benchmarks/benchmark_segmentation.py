"""From seed to mask: where the time goes, as ratios within one run.

    cd Testing && python -m benchmarks.benchmark_segmentation

Compares the warm worker with a cold one, one tile more or less (mirroring), and crops of a small and of a
27 MB volume. Absolute seconds depend on the machine and its load; the ratios much less.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from pathlib import Path

import numpy as np
from CRLMSegmentationLib.cli.segment_files import model_or_default
from CRLMSegmentationLib.core.crop import extract_crop
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.results import Options
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.segmentation.wait import wait_for_lesion, wait_for_model

STEPS = ("crop", "preprocess", "inference", "postprocess")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    model = model_or_default(arguments.model)
    case = load_case(resource_path("SampleCases", "phantom-hypoechoic"))
    volume, seed = case.volume(), case.lesions[0].seed_ras_mm
    with Session(WorkerEngine(model), model) as session:
        session.use_volume(volume)
        ready = wait_for_model(session)
        rows = {mirroring: measure(session, seed, mirroring, arguments.runs) for mirroring in (False, True)}
    warm_s = sum(rows[False].values())
    print(f"{model.name} on {ready.device}, median of {arguments.runs}, volume {volume.array.shape[::-1]}")
    for step in STEPS:
        print(f"  {step:12} {rows[False][step]:7.3f} s   {rows[False][step] / warm_s:5.0%} of a warm answer")
    print(f"  cold start   {ready.cold_start_s:7.3f} s   {ready.cold_start_s / warm_s:5.1f} x a warm answer, once")
    print(
        f"  mirroring    {sum(rows[True].values()):7.3f} s   {sum(rows[True].values()) / warm_s:5.1f} x a warm answer"
    )
    small_mb = volume.array.nbytes / 1e6
    large_s, small_s = crop_seconds(large_volume(volume), model.spacing_mm), crop_seconds(volume, model.spacing_mm)
    print(f"  crop, 27 MB  {large_s:7.3f} s   {large_s / small_s:5.1f} x that of the {small_mb:.1f} MB volume")
    print(
        f"  memory       {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6:7.2f} GB in the worker at most"
    )


def measure(session: Session, seed: tuple, mirroring: bool, runs: int) -> dict[str, float]:
    """Median seconds of each step."""
    timings = []
    for _ in range(runs):
        session.segment("Tumour", seed, Options(mirroring=mirroring))
        timings.append(wait_for_lesion(session, "Tumour").timings_s)
    return {step: statistics.median(t[step] for t in timings) for step in STEPS}


def large_volume(volume: Volume) -> Volume:
    """The same tissue repeated to 300 voxels a side."""
    repeats = [-(-300 // n) for n in volume.array.shape]
    return Volume(np.tile(volume.array, repeats)[:300, :300, :300].copy(), volume.ijk_to_ras)


def crop_seconds(volume: Volume, spacing_mm: float) -> float:
    """Seconds to cut the first crop of a volume that has just arrived, its empty voxels recognised."""
    fresh = Volume(volume.array, volume.ijk_to_ras)
    kji = np.argwhere(volume.array[::7, ::7, ::7] > 0)
    seed = volume.ijk_to_ras[:3, :3] @ (7 * kji[len(kji) // 2][::-1]) + volume.ijk_to_ras[:3, 3]
    started_s = time.perf_counter()
    extract_crop(fresh, seed, 80.0, spacing_mm)
    return time.perf_counter() - started_s


if __name__ == "__main__":
    main()
