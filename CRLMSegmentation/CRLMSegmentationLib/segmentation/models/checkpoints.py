"""Safe reading of nnU-Net's checkpoints: no code in them can run. Imports torch only when called.

A checkpoint is a zip with a pickle. torch's `weights_only` unpickler calls nothing but what rebuilds tensors; on top
of that, nnU-Net's own need numpy's scalars, for the logged losses.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import ModelError

if TYPE_CHECKING:
    import torch

SAFE_TORCH = (2, 6)
FORBIDDEN = re.compile(r"GLOBAL (\S+)")
"""How torch's unpickler says what it will not import."""
NUMPY_SCALARS = (np.float64, np.float32, np.float16, np.int64, np.int32, np.bool_)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Content of an nnU-Net checkpoint.

    Attributes:
        weights: by name.
        trainer, configuration: their names.
        mirroring_axes: of the array.
        epochs: done.
    """

    weights: dict[str, torch.Tensor]
    trainer: str
    configuration: str
    mirroring_axes: tuple[int, ...]
    epochs: int | None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a `checkpoint_*.pth` of nnU-Net v2.

    Raises:
        ModelError: it is damaged, wants to run something, or holds what no network of nnU-Net holds.
    """
    content = load_safely(path)
    try:
        axes = content.get("inference_allowed_mirroring_axes") or ()
        checkpoint = Checkpoint(
            weights=dict(content["network_weights"]),
            trainer=_text(content["trainer_name"]),
            configuration=_text(content["init_args"]["configuration"]),
            mirroring_axes=tuple(sorted({(0, 1, 2)[axis] for axis in axes})),
            epochs=int(content["current_epoch"]) if "current_epoch" in content else None,
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{path.name} is no checkpoint of nnU-Net v2: {error!r}; wanted are network_weights, trainer_name and "
            "init_args as nnUNetTrainer writes them"
        ) from error
    _check_weights(path.name, checkpoint.weights)
    return checkpoint


def load_safely(path: Path) -> dict[str, Any]:
    """Load the content of a checkpoint, on the CPU.

    Raises:
        ModelError: it is damaged, or wants to run something.
    """
    _check_container(path)
    return _load(path)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a name, got {type(value).__name__}")
    return value


def _check_container(path: Path) -> None:
    """Refuse what torch.save does not write, before torch sees it: bare pickles, compressed entries."""
    try:
        with zipfile.ZipFile(path) as archive:
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ModelError(
            f"{path.name} is cut off, or no checkpoint as torch.save writes it ({error}); copy it again"
        ) from error
    if not stored or size > path.stat().st_size:
        raise ModelError(f"{path.name} unpacks to more than it holds, which no checkpoint does; not opened")


def _load(path: Path) -> dict[str, Any]:
    import torch

    version = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
    if version < SAFE_TORCH:
        raise ModelError(
            f"torch {torch.__version__} can be made to run code even by its safe way of loading (CVE-2025-32434); "
            "a checkpoint is opened with torch 2.6 or newer only"
        )
    try:
        with torch.serialization.safe_globals(_numpy_scalars()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile or damaged pickle fails with anything at all
        forbidden = FORBIDDEN.search(str(error))
        if forbidden:
            raise ModelError(
                f"{path.name} would call {forbidden[1]} when loaded, which no checkpoint of nnU-Net needs; "
                "it may run code and is not opened. Ask whoever made it for one written by nnU-Net v2"
            ) from error
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(
            f"{path.name} cannot be read safely: {type(error).__name__}: {reason}; copy it again"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"{path.name} is no checkpoint of nnU-Net v2: it holds a {type(content).__name__}")
    return content


def _numpy_scalars() -> list[Any]:
    """Return the functions that rebuild a number which numpy 1 or 2 has pickled."""
    rebuilders = [_number_maker(f"numpy.{core}.multiarray") for core in ("core", "_core")]
    return [*rebuilders, np.dtype, *(type(np.dtype(kind)) for kind in NUMPY_SCALARS)]


def _number_maker(module: str) -> Callable[[np.dtype, bytes], np.generic]:
    """Return a replacement of numpy's own `scalar`, under the name that was pickled, that makes numbers only."""

    def scalar(dtype: np.dtype, content: bytes) -> np.generic:
        if dtype.type not in NUMPY_SCALARS:
            raise TypeError(f"a number was expected, not {dtype}")
        number: np.generic = np.frombuffer(content, dtype, count=1)[0]
        return number

    scalar.__module__, scalar.__qualname__ = module, "scalar"
    return scalar


def _check_weights(name: str, weights: dict[str, torch.Tensor]) -> None:
    """Refuse tensors that are none, that claim more memory than the file has given them, or that hold no numbers."""
    import torch

    for key, tensor in weights.items():
        plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and isinstance(key, str)
        if not (plain and tensor.layout == torch.strided and tensor.device.type == "cpu") or tensor.is_quantized:
            raise ModelError(f"{name} holds {key!r} of a kind that no network of nnU-Net has; not opened")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ModelError(f"{name}: {key} claims more numbers than the file holds; not opened")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(f"{name}: {key} holds NaN or infinite weights; this training has failed, take another")
    if not weights:
        raise ModelError(f"{name} holds no weights")
