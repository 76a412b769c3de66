"""A strict stub of a runtime, for the logic around it only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from CRLMSegmentationLib.segmentation.inference.runtime import Device, Precision, RuntimeChoice, RuntimeName

PassFunction = Callable[[int, np.ndarray], np.ndarray]


def dark_is_tumour(network: int, image: np.ndarray) -> np.ndarray:
    """Logits (2, K, J, I) by the first channel alone; each further network is a little surer."""
    return np.stack([image[0], -image[0]]) * (1 + 0.5 * network)


class StubRuntime:
    """A `runtime.Runtime` whose passes are a function.

    As real ones may, it returns the same array from every pass of a shape. It refuses what a real one cannot take.
    """

    def __init__(self, choice: RuntimeChoice | None = None, run: PassFunction = dark_is_tumour) -> None:
        self.choice = choice or RuntimeChoice(RuntimeName.TORCH, Device.CPU, Precision.FLOAT32)
        self.device_text = f"stub {self.choice}"
        self.passes: list[tuple[int, tuple[int, ...]]] = []
        self._run = run
        self._buffers: dict[tuple[int, ...], np.ndarray] = {}

    def logits(self, network: int, image: np.ndarray) -> np.ndarray:
        assert image.dtype == np.float32
        assert image.ndim == 4
        assert image.flags.c_contiguous
        self.passes.append((network, image.shape))
        buffer = self._buffers.setdefault(image.shape, np.empty((2, *image.shape[1:]), np.float32))
        buffer[:] = self._run(network, image)
        return buffer
