"""The worker process that runs a model, and the protocol between it and a session.

Only `worker`, with `lesion_run` and `point_chain`, imports what runs in it, `segmentation.inference`.
"""

__all__ = [
    "engine",
    "wire",
    "worker",
    "worker_engine",
]
