"""The worker process that runs nnU-Net, and the protocol between it and a session.

Only `nnunet` imports torch, and only the worker imports `nnunet`.
"""

__all__ = [
    "deferred_import",
    "engine",
    "nnunet",
    "wire",
    "worker",
    "worker_engine",
]
