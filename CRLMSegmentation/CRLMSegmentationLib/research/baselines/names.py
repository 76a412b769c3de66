"""Names of the semi-automatic methods, without the packages that run them."""

GROW_CUT, REGION_GROWING = "grow-cut", "region-growing"
METHOD_NAMES = (GROW_CUT, REGION_GROWING)
"""In place of a model's name on the command line."""
