"""Networks that OpenVINO runs, on the CPU or on an Intel GPU. Needs neither torch nor nnunetv2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .openvino_module import openvino
from .runtime import Device, Precision, RuntimeChoice, RuntimeName, counted

DEVICE_NAMES = {Device.CPU: "CPU", Device.INTEL_GPU: "GPU"}
"""OpenVINO's names."""
ELEMENT_TYPES = {Precision.FLOAT32: "f32", Precision.BFLOAT16: "bf16", Precision.FLOAT16: "f16"}


class OpenVinoRuntime:
    """A `runtime.Runtime` of OpenVINO.

    Args:
        networks: XML files of the exported networks, one for each fold; see `exported_networks`.
        device: the CPU or an Intel GPU.
        precision: that OpenVINO is asked for.
        cpu_threads: for the CPU.
    """

    def __init__(self, networks: Sequence[Path], device: Device, precision: Precision, cpu_threads: int) -> None:
        self.choice = RuntimeChoice(RuntimeName.OPENVINO, device, precision)
        self._cpu_threads = cpu_threads
        self._core = openvino.Core()
        self._core.set_property({"ENABLE_MMAP": False})  # a file in use can be neither replaced nor removed on Windows
        self._networks = [self._core.read_model(path) for path in networks]
        self._requests: dict[tuple[int, tuple[int, ...]], Any] = {}

    @property
    def device_text(self) -> str:
        precision = self.choice.precision.value
        if self.choice.device is Device.INTEL_GPU:
            return f"OpenVINO {precision}, {self._core.get_property('GPU', 'FULL_DEVICE_NAME')}"
        return f"OpenVINO {precision}, {counted(self._cpu_threads, 'core')}"

    def logits(self, network: int, image: np.ndarray) -> np.ndarray:
        """Run one network once; see `runtime.Runtime`."""
        key = network, image.shape
        if key not in self._requests:
            self._requests[key] = self._compile(network, image.shape)
        outputs = self._requests[key].infer([image[None]], share_inputs=True, share_outputs=True)
        logits: np.ndarray = outputs[0][0]
        return logits

    def _compile(self, network: int, shape: Sequence[int]) -> Any:
        model = self._networks[network].clone()
        model.reshape([1, *shape])
        hints: dict[str, object] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": ELEMENT_TYPES[self.choice.precision],
        }
        if self.choice.device is Device.CPU:
            hints |= {"INFERENCE_NUM_THREADS": self._cpu_threads, "ENABLE_CPU_PINNING": False}
        return self._core.compile_model(model, DEVICE_NAMES[self.choice.device], hints).create_infer_request()


def openvino_choices() -> list[RuntimeChoice]:
    """Return what OpenVINO can run on here, the least precise of each device first."""
    core = openvino.Core()
    found = []
    for device, name in DEVICE_NAMES.items():
        if not any(available.split(".")[0] == name for available in core.available_devices):
            continue
        capabilities = core.get_property(name, "OPTIMIZATION_CAPABILITIES")
        reduced = [p for p in (Precision.BFLOAT16, Precision.FLOAT16) if _capability(p) in capabilities]
        found += [RuntimeChoice(RuntimeName.OPENVINO, device, p) for p in (*reduced, Precision.FLOAT32)]
    return found


def _capability(precision: Precision) -> str:
    return {Precision.BFLOAT16: "BF16", Precision.FLOAT16: "FP16"}[precision]
