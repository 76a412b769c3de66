"""Tracked instruments and sweeps: poses, distances to lesions, and when a distance must be withheld.

Other rooms import names from the modules of `__all__`.
"""

__all__ = [
    "closest_approach",
    "colours",
    "displayed_distance",
    "instruments",
    "interval",
    "margins",
    "navigator",
    "poses",
    "readings",
    "situation",
    "surfaces",
    "sweeps",
    "targets",
    "tool_meshes",
    "transforms",
    "validity",
]
