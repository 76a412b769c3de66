"""Which device torch computes on."""

from __future__ import annotations

import pytest
import torch
from CRLMSegmentationLib.core.errors import WorkerError
from CRLMSegmentationLib.segmentation.inference.torch_devices import choose_device

CPU = torch.device("cpu")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")


@without_cuda
def test_cpu_is_chosen_where_there_is_no_gpu():
    assert choose_device("auto") == (CPU, ())
    with pytest.raises(WorkerError, match="CUDA cannot be used: torch finds none; choose the device"):
        choose_device("cuda")


def test_gpu_that_runs_no_kernel_is_not_used_and_the_user_is_told(monkeypatch):
    def no_kernel(*args: object, **kwargs: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", no_kernel)
    device, warnings = choose_device("auto")
    assert device == CPU
    assert warnings == ("the GPU is not used: CUDA error: no kernel image is available for execution on the device",)
    with pytest.raises(WorkerError, match="CUDA cannot be used: CUDA error: no kernel image"):
        choose_device("cuda")


def test_gpu_that_computes_wrongly_is_not_used(monkeypatch):
    """The stand-in puts the test kernel on the CPU and halves its answer; no GPU has run it."""
    ones = torch.ones
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", lambda *shape, device: 0.5 * ones(*shape))
    assert choose_device("auto") == (CPU, ("the GPU is not used: a test kernel gave a wrong answer",))
    monkeypatch.setattr(torch, "ones", lambda *shape, device: ones(*shape, device={"cuda": "cpu"}[device]))
    assert choose_device("auto") == choose_device("cuda") == (torch.device("cuda", 0), ())


def test_cpu_that_was_asked_for_is_used_whatever_else_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("nobody has asked for a GPU"))
    assert choose_device("cpu") == (CPU, ())
