"""Segmentation of colorectal liver metastases in tracked intraoperative ultrasound."""

__version__ = "0.1.0"
