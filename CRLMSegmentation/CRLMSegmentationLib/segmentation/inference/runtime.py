"""The protocol of a runtime: what runs the networks of a model, on a device and in a precision.

`openvino_runtime` and `torch_runtime` implement it; `runtime_choice` chooses one for this machine.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Precision(enum.Enum):
    """Type of the numbers that a network computes with; its input and output are float32 in any case."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class RuntimeName(enum.Enum):
    TORCH = "torch"
    OPENVINO = "OpenVINO"


class Device(enum.Enum):
    CPU = "CPU"
    CUDA = "CUDA"
    INTEL_GPU = "Intel GPU"


@dataclass(frozen=True)
class RuntimeChoice:
    """Which runtime runs the networks, on which device and in which precision."""

    name: RuntimeName
    device: Device
    precision: Precision

    def __str__(self) -> str:
        return f"{self.name.value} {self.precision.value} ({self.device.value})"

    def to_json(self) -> dict[str, str]:
        return {"runtime": self.name.value, "device": self.device.value, "precision": self.precision.value}

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> RuntimeChoice:
        """Return the choice that `to_json` has described.

        Raises:
            KeyError, ValueError, TypeError: it is not described whole.
        """
        return cls(RuntimeName(entry["runtime"]), Device(entry["device"]), Precision(entry["precision"]))


class DeviceMemoryError(Exception):
    """The memory of a GPU is too small for a pass."""


class Runtime(Protocol):
    """Runs the networks of a model, one pass at a time."""

    @property
    def choice(self) -> RuntimeChoice: ...

    @property
    def device_text(self) -> str:
        """Runtime, precision and device, for the user."""

    def logits(self, network: int, image: np.ndarray) -> np.ndarray:
        """Run one network once.

        Args:
            network: its place among the folds of the package, 0 is the first.
            image: float32, shape (C, K, J, I), of sizes that the network can halve as often as it does.

        Returns:
            float32, shape (2, K, J, I): of background and tumour. It may be overwritten by the next pass.

        Raises:
            DeviceMemoryError: the memory of the GPU is too small.
        """


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural if need be."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
