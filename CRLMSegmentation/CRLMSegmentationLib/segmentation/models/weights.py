"""Weights in the safetensors format, which cannot run code when loaded. Imports torch only when called.

A U-Net of nnU-Net holds many tensors under two or three names (the decoder lists its encoder's). Equal tensors
are stored once; the other names stand in the metadata.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import JsonError, ModelError
from ...core.json_files import JsonLimits, parse_json

if TYPE_CHECKING:
    import torch

ALIASES = "aliases"
"""Metadata key: JSON object from a name to the name under which the same tensor is stored."""
LENGTH_BYTES = 8
"""At the beginning of a file: the length of the header that follows."""
MAX_HEADER_BYTES = 16 << 20
HEADER_LIMITS = JsonLimits(size_bytes=MAX_HEADER_BYTES, text_characters=MAX_HEADER_BYTES)
"""The header holds a text with the JSON of all aliases."""


def check_safetensors(path: Path) -> None:
    """Refuse what is no whole safetensors file by its header and its size, without torch and without loading it.

    Raises:
        ModelError: a pickle, say, put in its place, or a file that is cut off.
    """
    with path.open("rb") as file:
        prefix = file.read(LENGTH_BYTES)
        length = int.from_bytes(prefix, "little")
        header = file.read(min(length, MAX_HEADER_BYTES))
    found = path.stat().st_size
    if len(prefix) < LENGTH_BYTES:
        raise _cut_off(path, LENGTH_BYTES, found)
    if header[:1] in (b"", b"{") and found < LENGTH_BYTES + length <= LENGTH_BYTES + MAX_HEADER_BYTES:
        raise _cut_off(path, LENGTH_BYTES + length, found)
    try:
        tensors = parse_json(header, HEADER_LIMITS) if len(header) == length else None
        if tensors is None:
            raise TypeError("its header is no list of tensors")
        end = max((t["data_offsets"][1] for name, t in tensors.items() if name != "__metadata__"), default=0)
        expected = LENGTH_BYTES + length + int(end)
    except (JsonError, ValueError, AttributeError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise ModelError(
            f"{path.name} is no safetensors file; weights in any other format are not opened, since pickles "
            "can run code. Pack the model again with crlm-seg pack"
        ) from error
    if found < expected:
        raise _cut_off(path, expected, found)
    if found > expected:
        raise ModelError(f"{path.name} holds {found} bytes, its header tells of {expected}; copy the model again")


def _cut_off(path: Path, expected: int, found: int) -> ModelError:
    return ModelError(f"{path.name} is cut off: expected {expected} bytes or more, found {found}; copy it again")


def save_weights(state_dict: dict[str, torch.Tensor], path: Path, half: bool) -> None:
    """Write a state dict; with `half`, floating-point tensors as float16."""
    import torch
    from safetensors.torch import save_file

    stored: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    first_name: dict[tuple, str] = {}
    for name, tensor in state_dict.items():
        tensor = tensor.detach().cpu().contiguous()
        tensor = tensor.half() if half and tensor.is_floating_point() else tensor
        digest = hashlib.sha256(tensor.reshape(-1).view(torch.uint8).numpy()).hexdigest()
        key = (digest, tuple(tensor.shape), tensor.dtype)
        if key in first_name:
            aliases[name] = first_name[key]
        else:
            first_name[key] = name
            stored[name] = tensor.clone()
    save_file(stored, str(path), metadata={ALIASES: json.dumps(aliases)})


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read what `save_weights` wrote: every name, float16 widened to float32.

    Raises:
        ModelError: it is no safetensors file, or damaged.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    check_safetensors(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            aliases = parse_json((file.metadata() or {}).get(ALIASES, "{}"), HEADER_LIMITS)
            names = file.keys()
            stored = {name: file.get_tensor(name) for name in names}
        weights = {name: t.float() if t.dtype == torch.float16 else t for name, t in stored.items()}
        return {**weights, **{name: weights[source] for name, source in aliases.items()}}
    except (SafetensorError, JsonError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"{path.name} cannot be read: {error}; copy the model again") from error
