"""Models and runtimes in this process; no worker is started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from CRLMSegmentationLib.segmentation.inference.inference_cache import InferenceCache
from CRLMSegmentationLib.segmentation.inference.nnunet import NnUNet
from CRLMSegmentationLib.segmentation.inference.runtime import Device, Precision, Runtime, RuntimeChoice, RuntimeName
from CRLMSegmentationLib.segmentation.inference.runtime_choice import open_runtime
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, default_model_package
from helpers.inference_helpers import without_openvino

TORCH = RuntimeChoice(RuntimeName.TORCH, Device.CPU, Precision.FLOAT32)
OPENVINO = replace(TORCH, name=RuntimeName.OPENVINO)
FLOAT32 = [pytest.param(TORCH, id="torch"), pytest.param(OPENVINO, id="OpenVINO", marks=without_openvino)]


@pytest.fixture(scope="session")
def shipped() -> ModelPackage:
    return default_model_package()


@pytest.fixture(scope="session")
def nnunet_of() -> Callable[[ModelPackage], NnUNet]:
    """Makes `NnUNet`, which runs nnU-Net's own predictor; once for each package."""
    made: dict[str, NnUNet] = {}

    def make(package: ModelPackage) -> NnUNet:
        if package.sha256 not in made:
            made[package.sha256] = NnUNet(package, torch.device("cpu"), cpu_threads=1)
        return made[package.sha256]

    return make


@pytest.fixture(scope="session")
def runtime_of() -> Callable[[RuntimeChoice, ModelPackage], Runtime]:
    """Opens runtimes with one thread; once for each package. Networks are exported to the cache of the whole run."""
    made: dict[tuple[RuntimeChoice, str], Runtime] = {}

    def make(choice: RuntimeChoice, package: ModelPackage) -> Runtime:
        key = choice, package.sha256
        if key not in made:
            made[key] = open_runtime(choice, package, 1, InferenceCache(package))
        return made[key]

    return make


@pytest.fixture(params=FLOAT32)
def float32_runtime_of(request: pytest.FixtureRequest, runtime_of) -> Callable[[ModelPackage], Runtime]:
    """Opens torch and OpenVINO, one after the other, in float32."""
    return lambda package: runtime_of(request.param, package)


BFLOAT16 = [
    pytest.param(replace(TORCH, precision=Precision.BFLOAT16), id="torch"),
    pytest.param(replace(OPENVINO, precision=Precision.BFLOAT16), id="OpenVINO", marks=without_openvino),
]


@pytest.fixture(params=BFLOAT16)
def bfloat16_choice(request: pytest.FixtureRequest) -> RuntimeChoice:
    return request.param
