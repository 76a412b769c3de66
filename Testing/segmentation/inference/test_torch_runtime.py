"""torch's passes on the CPU, and those on a GPU with a stand-in for `torch.cuda`: no GPU has run what is tested here.

The stand-in is strict about the order in which a CUDA graph is made and replayed. Its "device" memory is the CPU's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from CRLMSegmentationLib.core.errors import WorkerError
from CRLMSegmentationLib.segmentation.inference import torch_runtime
from CRLMSegmentationLib.segmentation.inference.networks import build_networks
from CRLMSegmentationLib.segmentation.inference.runtime import (
    Device,
    DeviceMemoryError,
    Precision,
    RuntimeChoice,
    RuntimeName,
)
from CRLMSegmentationLib.segmentation.inference.torch_runtime import PASSES_BEFORE_CAPTURE, TorchRuntime, torch_choices
from helpers.inference_helpers import crop_array

GPU = "cuda:0"
IMAGE, OTHER = crop_array((16, 16, 16)) / 50, crop_array((16, 24, 20), seed=1) / 50


class Stream:
    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda

    def wait_stream(self, other: Stream) -> None:
        self._cuda.waits.append((self, other))

    def synchronize(self) -> None:
        self._cuda.log.append("synchronize")


class Graph:
    """Replays the pass that was captured, from the memory of its input into the memory of its output."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.passes: list[tuple[Network, torch.Tensor, torch.Tensor]] = []

    def replay(self) -> None:
        assert self.passes, "nothing was captured"
        self._cuda.log.append("replay")
        self._cuda.take_memory()
        with torch.inference_mode():  # kernels know nothing of it
            for network, image, output in self.passes:
                output.copy_(network.module(image))


class Network:
    """A network on the "GPU"; while a graph is captured its passes are noted in it."""

    def __init__(self, module: torch.nn.Module, cuda: Cuda) -> None:
        self.module, self._cuda = module, cuda

    def to(self, device: torch.device, memory_format: torch.memory_format) -> Network:
        assert (str(device), memory_format) == (GPU, torch.channels_last_3d)
        self._cuda.take_memory()
        return self

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        cuda = self._cuda
        cuda.take_memory()
        assert torch.is_inference_mode_enabled()
        assert image.is_contiguous(memory_format=torch.channels_last_3d)
        output = self.module(image)
        if cuda.capturing is None:
            assert cuda.stream_now is not cuda.main, "kernels are chosen on a side stream"
            cuda.log.append("pass")
        else:
            cuda.log.append("capture")
            cuda.capturing.passes.append((self, image, output))
        return output


class Cuda:
    """In place of `torch.cuda`.

    Attributes:
        log: what was done, in order.
        memory: passes, replays and networks until it is full.
        pinned: sizes of pinned memory.
        autocasts: arguments of each use.
        pools: which each capture was given.
    """

    OutOfMemoryError = torch.cuda.OutOfMemoryError

    def __init__(self) -> None:
        self.main = self.stream_now = Stream(self)
        self.waits: list[tuple[Stream, Stream]] = []
        self.log: list[str] = []
        self.pinned: list[tuple[int, ...]] = []
        self.autocasts: list[tuple[Any, ...]] = []
        self.pools: list[object] = []
        self.memory = 1000
        self.capturing: Graph | None = None
        self.CUDAGraph, self.Stream = partial(Graph, self), partial(Stream, self)

    def take_memory(self) -> None:
        if self.memory == 0:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        self.memory -= 1

    def current_stream(self) -> Stream:
        return self.stream_now

    def graph_pool_handle(self) -> object:
        return object()

    def empty_cache(self) -> None:
        self.log.append("empty_cache")

    def get_device_name(self, device: torch.device) -> str:
        assert str(device) == GPU
        return "NVIDIA Stand-in"

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        assert (stream, self.stream_now) in self.waits, "the side stream must wait for what came before"
        before, self.stream_now = self.stream_now, stream
        try:
            yield
        finally:
            self.stream_now = before

    @contextmanager
    def graph(self, graph: Graph, pool: object) -> Iterator[None]:
        assert self.waits[-1][0] is self.main, "the side stream must have ended"
        self.pools.append(pool)
        self.capturing = graph
        try:
            yield
        finally:
            self.capturing = None


class Torch:
    """torch with the stand-in for its `cuda`."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self.backends = SimpleNamespace(cudnn=SimpleNamespace(allow_tf32=True))

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def zeros(
        self, shape: tuple[int, ...], pin_memory: bool = False, device: torch.device | None = None
    ) -> torch.Tensor:
        if pin_memory:
            self.cuda.pinned.append(shape)
        else:
            assert str(device) == GPU
        return torch.zeros(shape)

    @contextmanager
    def autocast(self, *arguments: object, cache_enabled: bool) -> Iterator[None]:
        self.cuda.autocasts.append((*arguments, cache_enabled))
        yield


@pytest.fixture
def cuda(monkeypatch) -> Cuda:
    made = Cuda()
    monkeypatch.setattr(torch_runtime, "torch", Torch(made))
    monkeypatch.setattr(
        torch_runtime, "build_networks", lambda package: [Network(module, made) for module in build_networks(package)]
    )
    return made


def on_gpu(package, precision: Precision = Precision.FLOAT16) -> TorchRuntime:
    return TorchRuntime(package, Device.CUDA, precision, cpu_threads=1)


def expected(package, network: int, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return build_networks(package)[network](torch.from_numpy(image)[None])[0].numpy()


MADE = [*["pass"] * PASSES_BEFORE_CAPTURE, "capture"]
RUN = ["replay", "synchronize"]


def test_pass_is_captured_once_for_each_network_and_shape_and_then_replayed(tiny_package, cuda):
    runtime = on_gpu(tiny_package)
    for network, image, done in (
        (0, IMAGE, MADE + RUN),
        (0, IMAGE * 0.5, RUN),
        (1, IMAGE, MADE + RUN),
        (0, OTHER, MADE + RUN),
        (0, IMAGE, RUN),
        (1, IMAGE * 2, RUN),
    ):
        cuda.log.clear()
        logits = runtime.logits(network, image)
        assert cuda.log == done
        assert (logits.dtype, logits.shape) == (np.float32, (2, *image.shape[1:]))
        np.testing.assert_allclose(logits, expected(tiny_package, network, image), atol=1e-5)


def test_buffers_are_pinned_and_made_once_and_graphs_share_their_memory(tiny_package, cuda):
    runtime = on_gpu(tiny_package)
    for network, image in ((0, IMAGE), (1, IMAGE), (0, IMAGE), (0, OTHER)):
        runtime.logits(network, image)
    sizes = [(1, 2, *image.shape[1:]) for image in (IMAGE, IMAGE, OTHER) for _ in ("input", "output")]
    assert cuda.pinned == sizes
    assert len(cuda.pools) == 3
    assert len(set(map(id, cuda.pools))) == 1


def test_answer_is_overwritten_by_the_next_pass_as_the_protocol_says(tiny_package, cuda):
    runtime = on_gpu(tiny_package)
    first = runtime.logits(0, IMAGE)
    before = first.copy()
    second = runtime.logits(0, -IMAGE)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - before).max() > 0.01


def test_half_precision_is_autocast_without_a_cache_of_weights_and_float32_is_float32(tiny_package, cuda):
    on_gpu(tiny_package).logits(0, IMAGE)
    assert cuda.autocasts == [("cuda", torch.float16, False)]
    runtime = on_gpu(tiny_package, Precision.FLOAT32)
    runtime.logits(0, IMAGE)
    assert len(cuda.autocasts) == 1
    assert torch_runtime.torch.backends.cudnn.allow_tf32 is False
    assert runtime.device_text == "torch float32, NVIDIA Stand-in"


@pytest.mark.parametrize("free", range(PASSES_BEFORE_CAPTURE + 2))
def test_full_gpu_is_told_and_its_graphs_are_dropped(tiny_package, cuda, free):
    """In the passes before the capture, in the capture, and in the replay."""
    runtime = on_gpu(tiny_package)
    runtime.logits(0, IMAGE)
    cuda.memory = free
    with pytest.raises(DeviceMemoryError, match="CUDA out of memory"):
        runtime.logits(0, OTHER)
    assert cuda.log[-1] == "empty_cache"
    cuda.memory = 1000
    cuda.log.clear()
    np.testing.assert_allclose(runtime.logits(0, IMAGE), expected(tiny_package, 0, IMAGE), atol=1e-5)
    assert cuda.log == MADE + RUN
    assert len(set(map(id, cuda.pools))) == 2, "a dropped pool is not used again"


def test_gpu_that_is_full_of_other_things_is_told(tiny_package, cuda):
    cuda.memory = 1
    with pytest.raises(DeviceMemoryError, match="CUDA out of memory"):
        on_gpu(tiny_package)


def test_other_errors_of_a_gpu_are_left_as_they_are(tiny_package, cuda, monkeypatch):
    runtime = on_gpu(tiny_package)
    monkeypatch.setattr(cuda, "CUDAGraph", lambda: pytest.fail("out of order", pytrace=False))
    with pytest.raises(pytest.fail.Exception, match="out of order"):
        runtime.logits(0, IMAGE)
    assert "empty_cache" not in cuda.log


@pytest.fixture
def found(monkeypatch):
    """Says what device `choose_device` finds."""

    def find(name: str, *warnings: str) -> None:
        monkeypatch.setattr(torch_runtime, "choose_device", lambda wish: (torch.device(name), warnings))

    return find


def names(choices: list[RuntimeChoice]) -> list[tuple[str, str]]:
    assert {choice.name for choice in choices} == {RuntimeName.TORCH}
    return [(choice.device.value, choice.precision.value) for choice in choices]


@pytest.mark.parametrize("has_mkldnn", [True, False])
def test_gpu_and_cpu_are_offered_with_the_warnings(found, monkeypatch, has_mkldnn):
    """A build without oneDNN, as that for Apple's processors, has no operator that could be asked."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: has_mkldnn)
    operators = SimpleNamespace(mkldnn=SimpleNamespace(_is_mkldnn_bf16_supported=lambda: True) if has_mkldnn else None)
    monkeypatch.setattr(torch, "ops", operators)
    on_cpu = [("CPU", "bfloat16"), ("CPU", "float32")] if has_mkldnn else [("CPU", "float32")]
    found("cpu", "the GPU is not used: no kernel image")
    choices, warnings = torch_choices("auto")
    assert (names(choices), warnings) == (on_cpu, ["the GPU is not used: no kernel image"])
    found("cuda")
    choices, warnings = torch_choices("auto")
    assert (names(choices), warnings) == ([("CUDA", "float16"), ("CUDA", "float32"), *on_cpu], [])


def test_cuda_that_was_asked_for_and_fails_is_told(monkeypatch):
    def fails(wish: str) -> None:
        raise WorkerError("CUDA cannot be used: torch finds none")

    monkeypatch.setattr(torch_runtime, "choose_device", fails)
    with pytest.raises(WorkerError, match="torch finds none"):
        torch_choices("cuda")


def test_pass_on_the_cpu_is_the_networks_and_leaves_the_image_alone(tiny_package, runtime_of):
    image = IMAGE.copy()
    image.flags.writeable = False
    runtime = runtime_of(RuntimeChoice(RuntimeName.TORCH, Device.CPU, Precision.FLOAT32), tiny_package)
    for network in (0, 1):
        logits = runtime.logits(network, IMAGE)
        assert (logits.dtype, logits.flags.c_contiguous) == (np.float32, True)
        np.testing.assert_allclose(logits, expected(tiny_package, network, IMAGE), atol=1e-5)
    np.testing.assert_array_equal(image, IMAGE)


def test_number_of_threads_is_that_which_was_given(tiny_package):
    before = torch.get_num_threads()
    try:
        runtime = TorchRuntime(tiny_package, Device.CPU, Precision.FLOAT32, cpu_threads=2)
        runtime.logits(0, IMAGE)
        assert torch.get_num_threads() == 2
        assert runtime.device_text == "torch float32, 2 cores"
    finally:
        torch.set_num_threads(before)


def test_bfloat16_on_the_cpu_is_near_float32_and_not_the_same(tiny_package, runtime_of):
    logits = runtime_of(RuntimeChoice(RuntimeName.TORCH, Device.CPU, Precision.BFLOAT16), tiny_package).logits(0, IMAGE)
    difference = np.abs(logits - expected(tiny_package, 0, IMAGE)).max()
    assert 1e-5 < difference < 0.2
