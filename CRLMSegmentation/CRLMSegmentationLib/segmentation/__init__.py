"""Segmentation of a lesion from a seed and a volume, with an estimate of how reliable it is.

Other rooms import names from the modules of `__all__`.
"""

__all__ = [
    "calibration",
    "consensus",
    "engine",
    "followed_device",
    "incoming",
    "inference",
    "lesion_follow_up",
    "models",
    "refinement",
    "remote",
    "request_queue",
    "results",
    "session",
    "wait",
]
