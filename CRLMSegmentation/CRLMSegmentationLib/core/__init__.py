"""Data types and utilities of all packages: volumes and their geometry, files, texts, errors, child processes.

It needs numpy, scipy and SimpleITK, and knows neither 3D Slicer nor torch nor the network. Other rooms import names
from the modules of `__all__`.
"""

__all__ = [
    "arrays",
    "background",
    "box",
    "child_process",
    "crop",
    "crop_format",
    "environment",
    "errors",
    "field_of_view",
    "folder_lock",
    "frames",
    "geometry",
    "grey_window",
    "hashing",
    "i18n",
    "json_fields",
    "json_files",
    "machine_memory",
    "metrics",
    "output_files",
    "parallel",
    "parent_process",
    "plain_xml",
    "point_checks",
    "point_constraints",
    "points",
    "postprocessing",
    "progress",
    "reasons",
    "resources",
    "tasks",
    "text",
    "volume",
    "volume_files",
    "volume_reading",
]
