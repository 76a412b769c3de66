"""The border between a session and whatever brings messages: a socket, or a recording.

Imports neither sockets nor pyigtl, so that a recorded case can be watched where neither is to be had.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from .messages import Message


class LinkState(Enum):
    """CONNECTING: first attempt. RETRYING: lost or refused, connects again. CLOSED: by `close`, for good."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RETRYING = "retrying"
    CLOSED = "closed"


class Link(Protocol):
    """Where messages come from: `igtl.client.IgtlClient` over a network, `replay.recorded_link` from a file."""

    state: LinkState
    state_reason: str

    @property
    def problem(self) -> str:
        """The newest reason for which a message was lost, or nothing. A link that loses none may lack this."""

    @property
    def receiving(self) -> object | None:
        """The message that is under way, or None."""

    def poll(self, budget_s: float = ...) -> list[Message]:
        """The messages that are complete; never blocks. Call it every 5 to 10 ms."""

    def close(self) -> None:
        """Close the link for good."""
