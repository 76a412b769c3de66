"""Simulated patients: a liver with metastases, swept by a tracked probe and reconstructed into a volume."""

__all__ = ["cases", "variation"]
