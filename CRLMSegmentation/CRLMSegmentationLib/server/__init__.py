"""The segmentation server: an HTTP application around worker processes, for rooms whose GPU stands elsewhere.

It needs the optional packages of `CRLMSegmentation[server]` (FastAPI, uvicorn, prometheus-client), and nothing in
3D Slicer imports it. The messages, and the client, are in `segmentation.remote`. Other rooms import names from the
modules of `__all__`.
"""

__all__ = [
    "ray_serve",
    "run",
    "settings",
]
