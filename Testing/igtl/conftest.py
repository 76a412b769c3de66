"""Links over the loopback for the tests of igtl."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from CRLMSegmentationLib.igtl.server import IgtlServer
from helpers.cpp_peer import PeerAbsentError, build_peer
from helpers.igtl_links import Link, RawServer


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


@pytest.fixture(scope="session")
def peer_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ peer, built from its sources. CI must have what it takes; elsewhere its tests are left out."""
    try:
        return build_peer(tmp_path_factory.mktemp("igtl_peer"))
    except PeerAbsentError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
