"""Simulated patients: a liver with metastases, swept by a tracked probe, reconstructed into a volume.

Figures and their sources stand beside the constants; all come from published measurements, none from
patients of ours.
"""
