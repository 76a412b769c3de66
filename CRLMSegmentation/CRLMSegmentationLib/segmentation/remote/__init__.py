"""Segmentation on another computer: the messages between client and server, and the client, an engine.

The server itself is the room `server`. Nothing here needs more than Python's own HTTP and TLS, so that 3D Slicer
needs no further packages.
"""

__all__ = [
    "address",
    "message_format",
    "messages",
    "remote_engine",
    "server_engine",
    "status",
]
