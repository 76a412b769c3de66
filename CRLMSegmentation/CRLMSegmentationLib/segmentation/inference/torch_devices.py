"""The devices that torch can compute on."""

from __future__ import annotations

import torch

from ...core.errors import WorkerError


def choose_device(wish: str = "auto") -> tuple[torch.device, tuple[str, ...]]:
    """Choose the device to compute on, and return it with warnings.

    Args:
        wish: "auto", "cpu" or "cuda".

    Raises:
        WorkerError: "cuda" was asked for and does not work.
    """
    if wish == "cpu":
        return torch.device("cpu"), ()
    trouble = _cuda_trouble()
    if trouble is None:
        return torch.device("cuda", 0), ()
    if wish == "cuda":
        raise WorkerError(f"CUDA cannot be used: {trouble}; choose the device 'cpu' or 'auto'")
    return torch.device("cpu"), (f"the GPU is not used: {trouble}",) if torch.cuda.is_available() else ()


def _cuda_trouble() -> str | None:
    """Return why no kernel runs on the GPU, or None; `is_available()` accepts GPUs that torch was not built for."""
    if not torch.cuda.is_available():
        return "torch finds none"
    try:
        sample = torch.ones(1, 1, 8, 8, 8, device="cuda")
        if float(torch.nn.functional.conv3d(sample, torch.ones(1, 1, 3, 3, 3, device="cuda")).sum()) != 27.0 * 6**3:
            return "a test kernel gave a wrong answer"
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]
    return None
