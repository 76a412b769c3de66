"""MRML nodes for volumes, seeds, segmentations, tools and guidance; the scene always comes as an argument."""

__all__ = [
    "crop_box",
    "drawn_surface",
    "guidance",
    "headless",
    "instruments",
    "masks",
    "nodes",
    "overlay",
    "saving",
    "seeds",
    "segmentation_undo",
    "segmentations",
    "staleness",
    "tools",
    "volumes",
]
