"""Training of nnU-Net: cases to a dataset, a dataset to trained folds, and the figures on the card of a model."""

__all__ = [
    "fold_process",
    "layout",
    "manifest",
    "preparation",
    "prepare",
    "presets",
    "progress",
    "step_queue",
    "summary",
    "train",
]
