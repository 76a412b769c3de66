"""Check of the code that nnU-Net's plans name, since nnU-Net imports and calls it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

IMPORTABLE = re.compile(
    r"(dynamic_network_architectures\.(architectures|building_blocks)\.[a-z0-9_]+|torch\.nn(\.modules\.[a-z]+)?)"
    r"\.[A-Z][A-Za-z0-9]*"
)
"""Classes that plans may name, to be imported and called; `torch.nn.parallel.distributed.os.system` exists as well."""
RESAMPLINGS = (
    *("resample_data_or_seg_to_shape", "resample_torch_fornnunet"),
    *("resample_torch_simple", "no_resampling_hack"),
)
NNUNET_NAMES = {
    "preprocessor_name": ("DefaultPreprocessor",),
    "normalization_schemes": (
        *("ZScoreNormalization", "NoNormalization", "RescaleTo01Normalization"),
        *("RGBTo01Normalization", "CTNormalization"),
    ),
    "resampling_fn_data": RESAMPLINGS,
    "resampling_fn_seg": RESAMPLINGS,
    "resampling_fn_probabilities": RESAMPLINGS,
}
"""What nnU-Net looks up by name in its own modules, which hold other things as well: what may be named."""


def foreign_names(configuration: Mapping[str, Any], label_manager: str) -> list[str]:
    """Return the names in a configuration that no U-Net needs, without importing them.

    Raises:
        KeyError, TypeError: it is no configuration of nnU-Net v2.
    """
    architecture = configuration["architecture"]
    imports = [architecture["network_class_name"]]
    imports += [architecture["arch_kwargs"][key] for key in architecture["_kw_requires_import"]]
    foreign = [entry for entry in imports if entry is not None and not IMPORTABLE.fullmatch(str(entry))]
    for key, known in NNUNET_NAMES.items():
        named = configuration[key]
        foreign += [entry for entry in (named if isinstance(named, list) else [named]) if entry not in known]
    foreign += [label_manager] if label_manager != "LabelManager" else []
    return [str(entry) for entry in foreign]
