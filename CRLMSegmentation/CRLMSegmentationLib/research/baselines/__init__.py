"""Semi-automatic segmentation to compare a model with: grow from seeds as in 3D Slicer, and region growing."""

__all__ = ["methods", "names"]
