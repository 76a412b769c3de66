"""Outlines with a user's help, to compare a model with: grow from seeds as in 3D Slicer, and region growing."""

GROW_CUT, REGION_GROWING = "grow-cut", "region-growing"
METHOD_NAMES = (GROW_CUT, REGION_GROWING)
"""In place of a model's name on the command line."""
