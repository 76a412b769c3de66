"""Interface of a source of messages: a network connection, or a recording.

Imports neither sockets nor pyigtl, so that a recorded case can be watched where neither is to be had.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from .messages import Message
from .statistics import Problem


class LinkState(Enum):
    """CONNECTING: first attempt. RETRYING: lost or refused, connects again. CLOSED: by `close`, for good."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RETRYING = "retrying"
    CLOSED = "closed"


def reason_kind(reason: str) -> str:
    """Return a reason with its numbers replaced, so that reasons that differ in a time or a count compare equal."""
    return re.sub(r"\d+", "#", reason)


class Link(Protocol):
    """Where messages come from: `igtl.client.IgtlClient` over a network, `recording.recorded_link` from a file.

    Attributes:
        state_reason: why it is not connected, or, while it is, for how long nothing has come; else empty. The
            numbers in it change with time.
    """

    state: LinkState
    state_reason: str

    @property
    def problems(self) -> Iterable[Problem]:
        """What was lost, by reason, counted. A link that loses nothing may lack this."""

    @property
    def epoch(self) -> int:
        """How often a connection was made. A link whose time may jump at will, a recording, lacks this."""

    @property
    def silent_s(self) -> float | None:
        """For how long nothing has come, not a byte; None while not connected. A recording lacks this."""

    @property
    def receiving(self) -> object | None:
        """The message that is under way, or None."""

    def poll(self, budget_s: float = ...) -> list[Message]:
        """The messages that are complete; never blocks. Call it every 5 to 10 ms."""

    def close(self) -> None:
        """Close the link for good."""
