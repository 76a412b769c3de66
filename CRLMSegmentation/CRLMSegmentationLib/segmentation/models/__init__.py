"""Model packages: their format, how they are made from nnU-Net results, imported, and found once installed."""

__all__ = [
    "archive",
    "checkpoints",
    "importer",
    "listing",
    "nnunet_results",
    "pack",
    "package",
    "plan_names",
    "registry",
    "weights",
]
