"""A model is loaded into a runtime, or left to nnU-Net's own predictor; what goes wrong is said in the user's words."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from CRLMSegmentationLib.core.errors import ModelError, WorkerError
from CRLMSegmentationLib.segmentation.engine import worker
from CRLMSegmentationLib.segmentation.inference import loading, torch_devices
from CRLMSegmentationLib.segmentation.inference.inference_cache import InferenceCache
from CRLMSegmentationLib.segmentation.inference.loading import load_model
from CRLMSegmentationLib.segmentation.inference.nnunet import NnUNet
from CRLMSegmentationLib.segmentation.inference.runtime import Device, DeviceMemoryError, Precision, RuntimeChoice
from CRLMSegmentationLib.segmentation.inference.runtime import RuntimeName as Name
from CRLMSegmentationLib.segmentation.inference.runtime_choice import REFERENCE, Wish
from CRLMSegmentationLib.segmentation.inference.runtime_model import RAN_ON_CPU, RuntimeModel
from CRLMSegmentationLib.segmentation.models.package import write_model_package
from helpers.inference_helpers import DATASET_JSON, SPACING_MM, crop_array, random_weights, tiny_info, tiny_plans
from helpers.stub_runtime import StubRuntime

CUDA = RuntimeChoice(Name.TORCH, Device.CUDA, Precision.FLOAT16)
NOT_USED = ("the GPU is not used: no kernel image",)


@pytest.fixture(scope="module")
def thick_slices(tmp_path_factory):
    """A model that only nnU-Net's own predictor can run."""
    plans = tiny_plans()
    plans["configurations"]["3d_fullres"]["spacing"] = [2.0, SPACING_MM, SPACING_MM]
    folder = tmp_path_factory.mktemp("thick")
    return write_model_package(folder, plans, DATASET_JSON, {0: random_weights(0)}, tiny_info())


@pytest.fixture
def devices(monkeypatch) -> list[str]:
    """What nnU-Net's predictor asks for; the answer is the CPU unless "cuda" is asked for."""
    asked: list[str] = []

    def choose_device(wish: str) -> tuple[torch.device, tuple[str, ...]]:
        asked.append(wish)
        return torch.device("cuda" if wish == "cuda" else "cpu"), NOT_USED

    monkeypatch.setattr(torch_devices, "choose_device", choose_device)
    return asked


@pytest.mark.parametrize(
    ("wish", "device"),
    [(Wish(), "auto"), (Wish("cpu"), "cpu"), (Wish("auto", "float32"), "cpu"), (Wish("cpu", "float32"), "cpu")],
)
def test_model_that_asks_for_more_is_run_by_nnunet_with_its_warnings(thick_slices, devices, wish, device):
    model, warnings = load_model(thick_slices, wish, cpu_threads=1)
    assert isinstance(model, NnUNet)
    assert (warnings, devices) == (NOT_USED, [device])
    assert model.device_text == "nnU-Net float32, 1 core"
    assert model.predict(crop_array((16, 16, 16)), SPACING_MM).probability.shape == (16, 16, 16)


def test_nnunet_cannot_run_in_float32_on_a_gpu(thick_slices, devices):
    with pytest.raises(
        WorkerError, match="tiny runs in float16 on a GPU; choose the device 'cpu' or the precision 'auto'"
    ):
        load_model(thick_slices, Wish("cuda", "float32"), cpu_threads=1)


def test_other_models_are_run_by_the_chosen_runtime(tiny_package, tmp_path, monkeypatch):
    asked: list[Any] = []

    def choose_runtime(package, image, wish, threads, cache):
        asked.append((image.shape, wish, threads, cache.folder.parent))
        return StubRuntime(), NOT_USED

    monkeypatch.setattr(loading, "choose_runtime", choose_runtime)
    model, warnings = load_model(tiny_package, Wish("cpu"), 3, InferenceCache(tiny_package, tmp_path))
    assert isinstance(model, RuntimeModel)
    assert (model.device_text, warnings) == ("stub torch float32 (CPU)", NOT_USED)
    assert asked == [((2, 16, 16, 16), Wish("cpu"), 3, tmp_path)]


def test_torch_on_the_cpu_takes_over_from_a_full_gpu(tiny_package, tmp_path, monkeypatch, runtime_of):
    def full(network: int, image: np.ndarray) -> np.ndarray:
        raise DeviceMemoryError("CUDA out of memory")

    monkeypatch.setattr(loading, "choose_runtime", lambda *arguments: (StubRuntime(CUDA, full), ()))
    model, _ = load_model(tiny_package, Wish(), 1, InferenceCache(tiny_package, tmp_path))
    array = crop_array((16, 16, 16))
    prediction = model.predict(array, SPACING_MM)
    assert (prediction.device, prediction.warnings) == ("torch float32, 1 core", (RAN_ON_CPU,))
    on_cpu = RuntimeModel(tiny_package, runtime_of(REFERENCE, tiny_package), lambda: pytest.fail("it is the CPU"))
    np.testing.assert_array_equal(prediction.probability, on_cpu.predict(array, SPACING_MM).probability)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ModuleNotFoundError("No module named 'torch'"),
            rf"No module named 'torch'; install torch and nnunetv2 for {sys.executable}",
        ),
        (OSError("libcudart.so.99: cannot open"), r"libcudart\.so\.99: cannot open; install torch"),
        (
            RuntimeError("illegal size"),
            r"the model tiny cannot be run here: RuntimeError: illegal size; look at `crlm-seg info`",
        ),
        (MemoryError(), r"the model tiny cannot be run here: MemoryError"),
    ],
)
def test_worker_says_why_it_cannot_load_a_model(tiny_package, monkeypatch, error, said):
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(worker, "load_model", fail)
    with pytest.raises(WorkerError, match=said):
        worker.load(tiny_package, Wish(), None)


def test_worker_says_of_a_damaged_model_what_the_package_says(tiny_package, monkeypatch):
    def fail(*arguments: object) -> None:
        raise ModelError("fold 0 of tiny does not fit its plans: size mismatch")

    monkeypatch.setattr(worker, "load_model", fail)
    with pytest.raises(ModelError, match=r"^fold 0 of tiny does not fit its plans"):
        worker.load(tiny_package, Wish(), None)
