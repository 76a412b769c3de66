"""Accuracy of a model or a semi-automatic method on cases with a reference segmentation, and its calibration."""

__all__ = [
    "calibrate",
    "comparison",
    "document",
    "evaluate",
    "lesions",
    "methods",
    "result_cache",
    "settings",
    "statistics",
    "variations",
]
