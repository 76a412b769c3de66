"""nnU-Net's own predictor in this process: memory, cancelling, weights that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from CRLMSegmentationLib.core.errors import ModelError, WorkerError
from CRLMSegmentationLib.segmentation.inference import nnunet
from CRLMSegmentationLib.segmentation.inference.nnunet import NnUNet
from CRLMSegmentationLib.segmentation.inference.prediction import CancelledError
from CRLMSegmentationLib.segmentation.inference.runtime_model import RAN_ON_CPU
from CRLMSegmentationLib.segmentation.inference.torch_devices import choose_device
from CRLMSegmentationLib.segmentation.models.package import write_model_package
from CRLMSegmentationLib.segmentation.results import Options
from helpers.inference_helpers import (
    DATASET_JSON,
    SPACING_MM,
    crop_array,
    random_weights,
    tiny_info,
    tiny_plans,
)

CPU = torch.device("cpu")
with_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


MIRRORING = Options(mirroring=True)


@pytest.fixture(scope="module")
def model(tiny_package, nnunet_of) -> NnUNet:
    return nnunet_of(tiny_package)


@with_cuda
def test_gpu_gives_the_answer_of_the_cpu(tiny_package, model):
    device, warnings = choose_device("auto")
    assert (device.type, warnings) == ("cuda", ())
    array = crop_array((24, 30, 36))
    on_gpu = NnUNet(tiny_package, device, cpu_threads=1).predict(array, SPACING_MM)
    assert on_gpu.device == f"nnU-Net float16, {torch.cuda.get_device_name(0)}"
    np.testing.assert_allclose(on_gpu.probability, model.predict(array, SPACING_MM).probability, atol=0.02)


def test_gpu_without_memory_is_replaced_by_the_cpu_and_the_user_is_told(model, monkeypatch):
    """The first tile meets an error as a full GPU raises it."""
    array = crop_array((24, 24, 24))
    expected = model.predict(array, SPACING_MM, MIRRORING)
    forward = nnunet._Gate.forward
    calls = iter(range(1000))

    def full_at_first(gate: torch.nn.Module, tile: torch.Tensor) -> torch.Tensor:
        if next(calls) == 0:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(gate, tile)

    monkeypatch.setattr(nnunet._Gate, "forward", full_at_first)
    prediction = model.predict(array, SPACING_MM, MIRRORING)
    np.testing.assert_array_equal(prediction.probability, expected.probability)
    assert prediction.warnings == (RAN_ON_CPU,)
    assert prediction.device == "nnU-Net float32, 1 core"


def test_cancelled_prediction_ends_without_running_the_other_tiles(model):
    done = []
    with pytest.raises(CancelledError):
        model.predict(
            crop_array((40, 40, 40)),
            SPACING_MM,
            on_progress=lambda stage, count, total: done.append(count) if stage == "inference" else None,
            is_cancelled=lambda: len(done) == 3,
        )
    assert done == [1, 2, 3]
    assert model.predict(crop_array((16, 16, 16)), SPACING_MM).warnings == ()


def test_weights_of_another_network_are_refused(tmp_path):
    weights = random_weights(0)
    name = next(iter(weights))
    weights[name] = torch.zeros(9, 1, 3, 3, 3)
    package = write_model_package(tmp_path, tiny_plans(), DATASET_JSON, {0: weights}, tiny_info())
    with pytest.raises(ModelError, match="fold 0 of tiny does not fit its plans"):
        NnUNet(package, CPU, cpu_threads=1)


def test_several_folds_are_averaged(tiny_package, tmp_path):
    array = crop_array((16, 16, 16))
    both = NnUNet(tiny_package, CPU, cpu_threads=1).predict(array, SPACING_MM).probability
    single = []
    for fold in tiny_package.folds:
        folder = tmp_path / str(fold)
        package = write_model_package(folder, tiny_plans(), DATASET_JSON, {0: random_weights(fold)}, tiny_info())
        single.append(NnUNet(package, CPU, cpu_threads=1).predict(array, SPACING_MM).probability)
    logits = [np.log(p / (1 - p)) for p in single]
    np.testing.assert_allclose(both, 1 / (1 + np.exp(-np.mean(logits, 0))), atol=2e-3)
    assert np.abs(single[0] - single[1]).max() > 0.1


def test_crop_with_other_channels_than_the_model_is_refused(model):
    with pytest.raises(WorkerError, match=r"wants the channels .* got 1"):
        model.predict(crop_array((16, 16, 16))[:1], SPACING_MM)
