"""Tracked 2D ultrasound sweeps: sequence files, probe calibration, and reconstruction of a volume."""

__all__ = [
    "calibrated_matrix",
    "calibration",
    "chain_choice",
    "chain_matrices",
    "colours",
    "hole_filling",
    "image_region",
    "orientation",
    "pixel_frame",
    "placement",
    "plus_configuration",
    "reconstruction",
    "sequence",
    "sequence_header",
    "sequence_io",
    "sweep_transforms",
    "volume_builder",
]
