"""nnU-Net's own fingerprint, planner and preprocessor on a dataset folder, in a process of its own:

    python -m CRLMSegmentationLib.research.training.plan DATASET --preset JSON --device auto --processes 2

Says first on which device can be trained, so that nobody waits for a plan to learn that there is no GPU. Imports
nnunetv2 and torch, but only when called.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ...core.hashing import sha256_of
from ...core.json_files import parse_json, read_json, read_json_object
from .layout import Layout, locked
from .manifest import read_manifest, write_json
from .presets import CONFIGURATION, Preset, SmallPlan, preset_from
from .step_process import Send, run_step

GPU_MEMORY_GB = 8
INTENSITY_SAMPLES = 1_000_000
"""Voxels of all tumours together whose grey values the fingerprint describes.

nnU-Net draws 100 million, repeatedly from however small images, for the normalization of CT, which no dataset of ours
asks for.
"""


def plan_and_preprocess(layout: Layout, preset: Preset, processes: int = 2) -> None:
    """Plan and preprocess a dataset for a preset, unless it is done; incomplete work is repeated.

    A small plan replaces the network, patch and batch that nnU-Net has planned.

    Args:
        processes: that read and preprocess images at once; with 1 this process does it itself.
    """
    wanted = _mark(layout, preset)
    done = layout.planned_mark(preset)
    if done.is_file() and read_json(done, advice="remove it, and train again") == wanted:
        return
    done.unlink(missing_ok=True)
    os.environ.update(layout.environment())
    from nnunetv2.experiment_planning.plan_and_preprocess_api import plan_experiments, preprocess

    layout.preprocessed.mkdir(parents=True, exist_ok=True)
    number = [layout.number]
    with _pools_of_threads() if processes == 1 else nullcontext():
        _extract_fingerprint(layout, processes)  # the manifest has vouched for the files
        memory_gb = GPU_MEMORY_GB if preset.small else None
        plan_experiments(number, preset.planner, memory_gb, overwrite_plans_name=preset.plans)
        plans = _keep_one_configuration(layout.preprocessed / f"{preset.plans}.json", preset.small)
        identifier = plans["configurations"][CONFIGURATION]["data_identifier"]
        shutil.rmtree(layout.preprocessed / identifier, ignore_errors=True)
        preprocess(number, preset.plans, configurations=(CONFIGURATION,), num_processes=(processes,))
    shutil.copyfile(layout.splits, layout.preprocessed / "splits_final.json")
    write_json(done, wanted)


def _extract_fingerprint(layout: Layout, processes: int) -> None:
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor

    extractor = DatasetFingerprintExtractor(layout.number, processes)
    extractor.num_foreground_voxels_for_intensitystats = INTENSITY_SAMPLES
    extractor.run(overwrite_existing=True)


@contextmanager
def _pools_of_threads() -> Iterator[None]:
    """Give nnU-Net a thread where it would start a process, which imports torch again to do the work of one."""
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
    from nnunetv2.preprocessing.preprocessors import default_preprocessor
    from nnunetv2.utilities import utils

    threads = SimpleNamespace(get_context=lambda method: SimpleNamespace(Pool=ThreadPool))
    places: list[tuple[Any, str, object]] = [
        (fingerprint_extractor, "multiprocessing", threads),
        (default_preprocessor, "multiprocessing", threads),
        (utils, "Pool", ThreadPool),
    ]
    before = [getattr(module, name) for module, name, _ in places]
    try:
        for module, name, replacement in places:
            setattr(module, name, replacement)
        yield
    finally:
        for (module, name, _), value in zip(places, before):
            setattr(module, name, value)


def _mark(layout: Layout, preset: Preset) -> dict[str, Any]:
    small = preset.as_json()["small"]
    mark = {"manifest": sha256_of(layout.manifest), "planner": preset.planner, "small": small}
    plain: dict[str, Any] = parse_json(json.dumps(mark))  # tuples become lists, as they come back from the file
    return plain


def _keep_one_configuration(path: Path, small: SmallPlan | None) -> dict[str, Any]:
    plans = read_json_object(path, advice="remove it, and train again")
    configuration = plans["configurations"][CONFIGURATION]
    if small:
        configuration = _shrink(configuration, small)
    configuration.pop("next_stage", None)
    plans["configurations"] = {CONFIGURATION: configuration}
    path.write_text(json.dumps(plans, indent=1), "utf-8")
    return plans


def _shrink(configuration: dict[str, Any], small: SmallPlan) -> dict[str, Any]:
    stages = len(small.features_per_stage)
    configuration["architecture"]["arch_kwargs"] |= {
        "n_stages": stages,
        "features_per_stage": list(small.features_per_stage),
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [1] * (stages - 1),
    }
    return configuration | {"patch_size": list(small.patch_size), "batch_size": small.batch_size}


def devices_for(wish: str) -> dict[str, Any]:
    """Return {"device": "cpu" or "cuda", "gpus": count, "warnings": [...]}; raise WorkerError if unavailable."""
    import torch

    from ...segmentation.inference.torch_devices import choose_device

    device, warnings = choose_device(wish)
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    return {"device": device.type, "gpus": gpus, "warnings": list(warnings)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Planning process; started by the program, not by hand.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--preset", required=True, help="as JSON")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    layout = Layout(options.dataset.resolve(), read_manifest(options.dataset).dataset_name)

    def plan(send: Send) -> None:
        send({"type": "device", **devices_for(options.device)})
        with locked(layout.preprocessed):
            plan_and_preprocess(layout, preset_from(parse_json(options.preset)), options.processes)

    run_step(plan, layout.planning_log)


if __name__ == "__main__":
    main()
