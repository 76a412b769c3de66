"""Loading of a model into the worker: the fastest runtime for most models, nnU-Net's own code for the rest."""

from __future__ import annotations

import logging

from ...core.errors import WorkerError
from ..models.package import ModelPackage
from .inference_cache import InferenceCache
from .prediction import LoadedModel
from .preprocessing import reason_for_nnunet
from .runtime import Runtime
from .runtime_choice import REFERENCE, Wish, available_cpu_threads, choose_runtime, open_runtime
from .runtime_model import RuntimeModel, pass_image

logger = logging.getLogger(__name__)


def load_model(
    package: ModelPackage, wish: Wish, cpu_threads: int | None = None, cache: InferenceCache | None = None
) -> tuple[LoadedModel, tuple[str, ...]]:
    """Load a model and run one pass; return it with warnings about runtimes and devices.

    Args:
        cpu_threads: None for all cores, at most 8.
        cache: of this model; the user's by default.

    Raises:
        ImportError, OSError: torch or nnunetv2 is needed and cannot be imported.
        ModelError: the weights do not fit the plans.
        WorkerError: what the wish asks for cannot be used.
    """
    threads, store = cpu_threads or available_cpu_threads(), cache or InferenceCache(package)
    reason = reason_for_nnunet(package)
    if reason:
        logger.info("%s is run by nnU-Net's own predictor: %s", package.name, reason)
        return _load_nnunet(package, wish, threads)
    runtime, warnings = choose_runtime(package, pass_image(package), wish, threads, store)

    def on_cpu() -> Runtime:
        return open_runtime(REFERENCE, package, threads, store)

    return RuntimeModel(package, runtime, on_cpu), warnings


def _load_nnunet(package: ModelPackage, wish: Wish, threads: int) -> tuple[LoadedModel, tuple[str, ...]]:
    import torch

    from .nnunet import NnUNet
    from .torch_devices import choose_device

    torch.set_num_threads(threads)
    in_float32 = wish.precision == "float32"
    device, warnings = choose_device("cpu" if in_float32 and wish.device == "auto" else wish.device)
    if in_float32 and device.type == "cuda":
        raise WorkerError(f"{package.name} runs in float16 on a GPU; choose the device 'cpu' or the precision 'auto'")
    model = NnUNet(package, device, threads)
    model.warm_up()
    return model, warnings
