"""A model package and a crop in, a probability of tumour out: what runs in the worker process.

`loading` loads a model into the fastest runtime of this machine. torch is imported by `nnunet`, `torch_*`, `networks`
and `openvino_export` alone, OpenVINO by `openvino_*`.
"""

__all__ = [
    "inference_cache",
    "loading",
    "networks",
    "nnunet",
    "prediction",
    "runtime",
    "runtime_choice",
    "runtime_model",
    "torch_devices",
]
