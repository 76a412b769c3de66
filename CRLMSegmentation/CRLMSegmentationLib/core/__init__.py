"""Volumes, geometry, crops, masks, metrics and cases: no Slicer, no torch, no network."""
