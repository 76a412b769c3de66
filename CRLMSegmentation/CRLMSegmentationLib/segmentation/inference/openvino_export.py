"""Export of a package's networks to OpenVINO's format. Imports torch, so only where the cache holds none."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from ..models.package import CONFIGURATION, ModelPackage
from .networks import build_network
from .openvino_module import openvino


def export_networks(package: ModelPackage, folder: Path) -> None:
    """Write the networks of all folds, in float32, for images of any shape.

    Raises:
        ModelError: the weights do not fit the plans.
        Exception: OpenVINO knows an operation of the network no more than torch's tracing does.
    """
    patch = package.plans()["configurations"][CONFIGURATION]["patch_size"]
    example = torch.zeros(1, len(package.channels), *patch)
    for fold in package.folds:
        network = build_network(package, fold)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # of checks of the shape, which any image passes
            traced = torch.jit.trace(network, example, check_trace=False)
        model = openvino.convert_model(traced, example_input=example)
        openvino.save_model(model, folder / f"fold_{fold}.xml", compress_to_fp16=False)
