"""OpenIGTLink: messages, a decoder without I/O, and a client and a server that need no thread."""

__all__ = [
    "checksum",
    "chronology",
    "client",
    "dialects",
    "known_devices",
    "limits",
    "link",
    "live_reconstruction",
    "messages",
    "mixed_streams",
    "packing",
    "plus_commands",
    "protocol",
    "server",
    "sockets",
    "statistics",
    "tracking_data",
]
