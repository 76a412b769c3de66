"""Links over the loopback for the tests of igtl."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from CRLMSegmentationLib.igtl.server import IgtlServer

sys.path.insert(0, str(Path(__file__).parent))  # pytest in importlib mode does not find helpers by itself

from igtl_links import Link, RawServer


@pytest.fixture
def link() -> Iterator[Link]:
    with IgtlServer() as server:
        made = Link(server)
        yield made
        for client in made.clients:
            client.close()


@pytest.fixture
def raw_server() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.listener.close()
