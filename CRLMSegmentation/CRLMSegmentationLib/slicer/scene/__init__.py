"""MRML nodes for volumes, seeds, points, segmentations, tools and guidance; the scene always comes as an argument."""

__all__ = [
    "correction_points",
    "crop_box",
    "drawn_surface",
    "guidance",
    "headless",
    "instruments",
    "leftovers",
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
