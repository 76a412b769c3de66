"""Networks that torch runs: on the CPU, or on an NVIDIA GPU with a CUDA graph for each shape of the input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from ..models.package import ModelPackage
from .networks import HEADS, build_networks
from .runtime import Device, DeviceMemoryError, Precision, RuntimeChoice, RuntimeName, counted
from .torch_devices import choose_device

DTYPES = {Precision.FLOAT32: torch.float32, Precision.BFLOAT16: torch.bfloat16, Precision.FLOAT16: torch.float16}
PASSES_BEFORE_CAPTURE = 3
"""A CUDA graph must be captured after the kernels have been chosen, see torch's notes on CUDA graphs."""


class TorchRuntime:
    """A `runtime.Runtime` of torch.

    Args:
        package: the model.
        device: the CPU or an NVIDIA GPU.
        precision: of convolutions; what loses by it, torch's autocast computes in float32.
        cpu_threads: for the CPU.

    Raises:
        DeviceMemoryError: the networks do not fit into the memory of the GPU.
        ModelError: the weights do not fit the plans.
    """

    def __init__(self, package: ModelPackage, device: Device, precision: Precision, cpu_threads: int) -> None:
        self.choice = RuntimeChoice(RuntimeName.TORCH, device, precision)
        self._cpu_threads = cpu_threads
        self._device = torch.device("cuda", 0) if device is Device.CUDA else torch.device("cpu")
        if device is Device.CUDA:
            torch.backends.cudnn.allow_tf32 = False  # or float32 would be rounded to 10 bits
        networks, layout = build_networks(package), torch.channels_last_3d
        with _memory_errors():
            self._networks = [network.to(self._device, memory_format=layout) for network in networks]
        self._graphs: dict[tuple[int, tuple[int, ...]], _CapturedPass] = {}
        self._pool: Any = None

    @property
    def device_text(self) -> str:
        precision = self.choice.precision.value
        if self._device.type == "cuda":
            return f"torch {precision}, {torch.cuda.get_device_name(self._device)}"
        return f"torch {precision}, {counted(self._cpu_threads, 'core')}"

    def logits(self, network: int, image: np.ndarray) -> np.ndarray:
        """Run one network once; see `runtime.Runtime`."""
        if self._device.type == "cuda":
            return self._logits_of_gpu(network, image)
        torch.set_num_threads(self._cpu_threads)
        tensor = torch.from_numpy(image)[None].contiguous(memory_format=torch.channels_last_3d)
        with torch.inference_mode(), self._autocast():
            logits = self._networks[network](tensor)
        return np.ascontiguousarray(logits[0].float().numpy())

    def _logits_of_gpu(self, network: int, image: np.ndarray) -> np.ndarray:
        key = network, image.shape
        try:
            with _memory_errors():
                if key not in self._graphs:
                    self._graphs[key] = self._captured(self._networks[network], image.shape)
                return self._graphs[key].run(image)
        except DeviceMemoryError:
            self._graphs.clear()
            self._pool = None
            torch.cuda.empty_cache()
            raise

    def _captured(self, network: torch.nn.Module, shape: Sequence[int]) -> _CapturedPass:
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        with self._autocast():
            return _CapturedPass(network, shape, self._device, self._pool)

    def _autocast(self) -> AbstractContextManager[object]:
        if self.choice.precision is Precision.FLOAT32:
            return nullcontext()
        # a cache of cast weights would outlive the graph that was captured with it
        context: AbstractContextManager[object] = torch.autocast(
            self._device.type, DTYPES[self.choice.precision], cache_enabled=self._device.type == "cpu"
        )
        return context


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Turn torch's error for a full GPU into the one of the protocol."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise DeviceMemoryError(str(error)) from error


class _CapturedPass:
    """A pass of a network on a GPU as a CUDA graph: one launch instead of one for each kernel.

    Input and output lie in pinned memory, so that they are copied without the CPU. All graphs share one pool of memory,
    which they may since each output is copied out before the next graph runs.
    """

    def __init__(self, network: torch.nn.Module, shape: Sequence[int], device: torch.device, pool: Any) -> None:
        self._pinned_input = torch.zeros((1, *shape), pin_memory=True)
        self._pinned_output = torch.zeros((1, HEADS, *shape[1:]), pin_memory=True)
        self._input = torch.zeros((1, *shape), device=device).contiguous(memory_format=torch.channels_last_3d)
        self._graph = torch.cuda.CUDAGraph()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode():
            with torch.cuda.stream(side):
                for _ in range(PASSES_BEFORE_CAPTURE):
                    network(self._input)
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(self._graph, pool=pool):
                self._output = network(self._input).float()

    def run(self, image: np.ndarray) -> np.ndarray:
        self._pinned_input.copy_(torch.from_numpy(image)[None])
        self._input.copy_(self._pinned_input, non_blocking=True)
        self._graph.replay()
        self._pinned_output.copy_(self._output, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        logits: np.ndarray = self._pinned_output[0].numpy()
        return logits


def torch_choices(device: str) -> tuple[list[RuntimeChoice], list[str]]:
    """Return what torch can run on here, the least precise of each device first, and warnings.

    Args:
        device: "auto", "cpu" or "cuda".

    Raises:
        WorkerError: "cuda" was asked for and does not work.
    """
    chosen, warnings = choose_device(device)
    has_bfloat16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    on_cpu = [Precision.BFLOAT16] if has_bfloat16 else []
    found = [RuntimeChoice(RuntimeName.TORCH, Device.CPU, precision) for precision in (*on_cpu, Precision.FLOAT32)]
    if chosen.type == "cuda":
        precisions = (Precision.FLOAT16, Precision.FLOAT32)
        found = [*(RuntimeChoice(RuntimeName.TORCH, Device.CUDA, precision) for precision in precisions), *found]
    return found, list(warnings)
