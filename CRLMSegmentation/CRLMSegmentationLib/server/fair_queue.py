"""The requests that wait for a worker: bounded, and fair to each client. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class ClientKey:
    """Who asks.

    Attributes:
        name: of the token.
        session: of the program that runs there; a room that was restarted is another one.
    """

    name: str
    session: str


@dataclass(frozen=True, eq=False)
class Waiting(Generic[Item]):
    """An item that waits.

    Attributes:
        model_sha256: of the model that must answer.
        is_background: nobody waits for it: it runs when nothing else does.
    """

    item: Item
    client: ClientKey
    model_sha256: str
    is_background: bool = False


class FairQueue(Generic[Item]):
    """The next item is one of the client that was served the longest ago; those in the background come last.

    Clients take turns by the name of their token first, and those of one token by their session: a client that asks a
    hundred times, or under a hundred sessions, gets one turn like any other.

    Args:
        limit, limit_of_client: how many may wait.
    """

    def __init__(self, limit: int, limit_of_client: int) -> None:
        self._limit, self._limit_of_client = limit, limit_of_client
        self._waiting: list[Waiting[Item]] = []
        self._turn = 0
        self._served: dict[object, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def is_full(self) -> bool:
        """Return whether no client may add one more."""
        return len(self._waiting) >= self._limit

    def is_full_for(self, client: ClientKey) -> bool:
        """Return whether this client may not add one more."""
        return sum(waiting.client.name == client.name for waiting in self._waiting) >= self._limit_of_client

    def add(self, waiting: Waiting[Item], is_first: bool = False) -> None:
        """Add an item; one that was interrupted is put before those of the same client."""
        self._waiting.insert(0 if is_first else len(self._waiting), waiting)

    def remove(self, item: Item) -> bool:
        """Remove an item; returns whether it was waiting."""
        before = len(self._waiting)
        self._waiting = [waiting for waiting in self._waiting if waiting.item is not item]
        return len(self._waiting) < before

    def ahead_of(self, item: Item) -> int:
        """Return how many items came before one and still wait; 0 where it is not waiting."""
        return next((n for n, waiting in enumerate(self._waiting) if waiting.item is item), 0)

    def has_foreground(self, model_sha256: str) -> bool:
        """Return whether somebody waits for an answer of a model."""
        return any(not w.is_background and w.model_sha256 == model_sha256 for w in self._waiting)

    def pop(self, models: Container[str], background: bool = True) -> Waiting[Item] | None:
        """Remove and return the next item of one of some models; None where none waits.

        Args:
            background: whether those in the background count.
        """
        able = [w for w in self._waiting if w.model_sha256 in models and (background or not w.is_background)]
        if not able:
            return None
        found = min(able, key=self._rank)
        self._waiting.remove(found)
        self._turn += 1
        self._served[found.client.name] = self._served[found.client] = self._turn
        if len(self._served) > 4096:
            kept = sorted(self._served.items(), key=lambda entry: entry[1])[2048:]
            self._served = dict(kept)
        return found

    def _rank(self, waiting: Waiting[Item]) -> tuple[bool, int, int]:
        client = waiting.client
        return waiting.is_background, self._served.get(client.name, 0), self._served.get(client, 0)
