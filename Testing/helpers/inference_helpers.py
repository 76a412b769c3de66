"""The parts of a real but tiny nnU-Net package, crops for it, and waiting for what an engine does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from CRLMSegmentationLib.core.crop import CHANNELS, extract_crop, network_input
from CRLMSegmentationLib.core.crop_format import CLICK_CHANNELS
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.segmentation.engine.engine import Event, Failed, LesionJob
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.inference.inference_cache import package_version
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, write_model_package
from CRLMSegmentationLib.segmentation.results import Options, Request
from scipy import ndimage

SPACING_MM = 1.25
PATCH = 16
COLD_START_LIMIT_S = 240.0
"""After which something has gone wrong, on a busy machine too."""


def dataset_json(channels: Sequence[str]) -> dict[str, Any]:
    """What nnU-Net writes of a dataset of these channels; all but the ultrasound are left as they are."""
    return {
        "channel_names": {str(number): "noNorm" if number else "ultrasound" for number in range(len(channels))},
        "labels": {"background": 0, "tumour": 1},
        "numTraining": 1,
        "file_ending": ".nrrd",
    }


GREY_JSON, DATASET_JSON = dataset_json(CHANNELS[:1]), dataset_json(CHANNELS)

without_openvino = pytest.mark.skipif(
    not package_version("openvino"), reason="OpenVINO is not installed: pip install 'CRLMSegmentation[openvino]'"
)


def tiny_plans(patch: int = PATCH, channels: Sequence[str] = CHANNELS) -> dict[str, Any]:
    """What nnUNetv2_plan_experiment (2.8) writes, for a network of three stages."""
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": [4, 8, 8],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3]] * 3,
            "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
            "n_conv_per_stage": [1, 1, 1],
            "n_conv_per_stage_decoder": [1, 1],
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [patch] * 3,
        "median_image_size_in_voxels": [40.0] * 3,
        "spacing": [SPACING_MM] * 3,
        "normalization_schemes": ["ZScoreNormalization", *["NoNormalization"] * (len(channels) - 1)],
        "use_mask_for_norm": [False] * len(channels),
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
        "architecture": architecture,
        "batch_dice": False,
    }
    return {
        "dataset_name": "Dataset001_Tiny",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [SPACING_MM] * 3,
        "original_median_shape_after_transp": [40] * 3,
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(n): {"mean": 0.0, "std": 1.0} for n in range(len(channels))
        },
    }


def tiny_info(channels: Sequence[str] = CHANNELS) -> dict[str, Any]:
    return {
        "name": "tiny",
        "version": "1",
        "crop_size_mm": 50.0,
        "spacing_mm": SPACING_MM,
        "channels": list(channels),
        "trained_on": {"simulated": True, "cases": 0},
        "intended_use": "tests of this project",
        "card": {"dice_median": None},
    }


def grey_plans() -> dict[str, Any]:
    """`tiny_plans` for one channel."""
    return tiny_plans(channels=CHANNELS[:1])


def random_weights(seed: int, channels: int = len(CHANNELS), plans: dict[str, Any] | None = None) -> dict[str, Any]:
    """A state dict for plans, by default `tiny_plans`."""
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    torch.manual_seed(seed)
    architecture = (plans or tiny_plans())["configurations"]["3d_fullres"]["architecture"]
    kwargs, imports = architecture["arch_kwargs"], architecture["_kw_requires_import"]
    network = get_network_from_plans(architecture["network_class_name"], kwargs, imports, channels, 2)
    return network.state_dict()


def click_package(folder: Path, folds: int = 1, **info: Any) -> ModelPackage:
    """A real but tiny package that takes correction points, with random weights."""
    weights = {fold: random_weights(fold, len(CLICK_CHANNELS)) for fold in range(folds)}
    said = {**tiny_info(CLICK_CHANNELS), **info}
    return write_model_package(folder, tiny_plans(channels=CLICK_CHANNELS), dataset_json(CLICK_CHANNELS), weights, said)


def crop_array(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Blobs and speckle with no two axes alike, and a smooth second channel; float32, shape (2, K, J, I)."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    array = 60 + 40 * ndimage.gaussian_filter(noise, 3) / 0.05 + 5 * noise + np.arange(shape[2]) * 0.5
    return np.stack([array, ndimage.gaussian_filter(noise, 4)]).astype(np.float32)


def sample_crop(package: ModelPackage) -> np.ndarray:
    """The lesion of a sample case as the shipped model sees it; float32, shape (2, 48, 48, 60), two of its patches."""
    case = load_case(resource_path("SampleCases", "phantom-hypoechoic"))
    seed = np.array(case.lesions[0].seed_ras_mm)
    crop = extract_crop(case.volume(), seed, package.crop_size_mm, package.spacing_mm)
    return np.ascontiguousarray(network_input(crop, package.channels)[:, 8:56, 8:56, 2:62])


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Dice coefficient of two masks; 1 where both are empty."""
    return 2.0 * (one & other).sum() / (one.sum() + other.sum()) if one.any() or other.any() else 1.0


def assert_answer_of_nnunet(probability: np.ndarray, expected: np.ndarray) -> None:
    """Check a probability against nnU-Net's own.

    One voxel in a thousand may differ by more than 0.002: nnU-Net sums in half precision, so that in the edges of a
    crop its logits have few digits, and two float32 numbers that differ in the last bit may be rounded apart.
    """
    assert 0.01 < (expected > 0.5).mean() < 0.99, "nearly all one label: the Dice would say little"
    assert (probability.dtype, probability.shape) == (np.float32, expected.shape)
    assert (np.abs(probability - expected) > 2e-3).mean() < 1e-3
    assert dice(probability > 0.5, expected > 0.5) >= 0.9999


def wait_for(engine: WorkerEngine, kind: type, timeout_s: float = COLD_START_LIMIT_S) -> Any:
    """The first event of a kind; what came before is lost."""
    return events_until(engine, kind, timeout_s)[-1]


def events_until(engine: WorkerEngine, kind: type, timeout_s: float = COLD_START_LIMIT_S) -> list[Event]:
    """All events up to and including the first of a kind."""
    seen: list[Event] = []
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        for event in engine.wait(0.5):
            seen.append(event)
            if isinstance(event, kind):
                return seen
            if isinstance(event, Failed) and event.job_id is None:
                pytest.fail(event.reason)
    pytest.fail(f"no {kind.__name__} within {timeout_s} s, only {[type(e).__name__ for e in seen][-5:]}")


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    listing = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listing.stdout.strip()[:1] not in ("", "Z")


def wait_until_gone(pid: int, timeout_s: float = 120.0) -> bool:
    end_s = time.monotonic() + timeout_s
    while is_alive(pid) and time.monotonic() < end_s:
        time.sleep(0.02)
    return not is_alive(pid)


def lesion_job(
    volume: Volume, seed_ras_mm: tuple[float, float, float], crop_size_mm: float | None, **options: bool | tuple
) -> LesionJob:
    """The job of a lesion in all of a volume."""
    request = Request("Tumour 1", seed_ras_mm, volume.identity, Options(crop_size_mm, **options))
    return LesionJob(request, volume)
