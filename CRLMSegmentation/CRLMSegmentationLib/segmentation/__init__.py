"""A seed and a volume in, a segmentation with its reliability out."""
