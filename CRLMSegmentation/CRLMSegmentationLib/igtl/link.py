"""Interface of a source of messages: a network connection, or a recording.

Imports neither sockets nor pyigtl, so that a recorded case can be watched where neither is to be had.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from .messages import Message
from .statistics import MessageProblem


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
    """Where messages come from: `igtl.client.IgtlClient` over a network, `recording.recorded_link` from a file."""

    @property
    def state(self) -> LinkState:
        """Whether it is connected."""

    @property
    def state_reason(self) -> str:
        """Why it is not connected, or, while it is, for how long nothing has come; else empty.

        The numbers in it change with time.
        """

    @property
    def problems(self) -> Iterable[MessageProblem]:
        """What was lost, by reason, counted."""

    @property
    def epoch(self) -> int | None:
        """How often a connection was made. None of a recording, whose time may jump at will."""

    @property
    def silent_s(self) -> float | None:
        """For how long nothing has come, not a byte; None while not connected, and of a recording."""

    @property
    def receiving(self) -> object | None:
        """The message that is under way, or None."""

    def poll(self, budget_s: float = ...) -> list[Message]:
        """The messages that are complete; never blocks. Call it every 5 to 10 ms."""

    def close(self) -> None:
        """Close the link for good."""


class NetworkLink(Link, Protocol):
    """A link whose messages come over a network; a recording loses nothing, and its time may jump at will."""

    @property
    def problems(self) -> Iterable[MessageProblem]:
        """What was lost, by reason, counted."""

    @property
    def epoch(self) -> int:
        """How often a connection was made."""

    @property
    def silent_s(self) -> float | None:
        """For how long nothing has come, not a byte; None while not connected."""
