"""The shipped model, and a volume with a lesion; servers are started by the tests, each on a port of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the server's packages are missing: pip install 'CRLMSegmentation[server]'")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, model_or_default
from helpers.server_helpers import Asked, RunningServer, body_in, dark_volume


@pytest.fixture(scope="session")
def model() -> ModelPackage:
    return model_or_default(None)


@pytest.fixture(scope="session")
def volume() -> Volume:
    return dark_volume()


@pytest.fixture(scope="session")
def body(volume: Volume, model: ModelPackage) -> bytes:
    return body_in(volume, model)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server on this computer with one worker, for all tests of a file."""
    with RunningServer(tmp_path_factory.mktemp("server")) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture
def gate(server: RunningServer) -> Iterator[RunningServer]:
    """The server whose predictions a test holds; they go on afterwards."""
    yield server
    server.let_go()


@pytest.fixture
def client() -> str:
    """The id of a client that no other test has."""
    return secrets.token_hex(16)


@pytest.fixture
def ask(server: RunningServer, body: bytes, client: str) -> Iterator[Callable[..., Asked]]:
    """Sends a request of this test's client; the connections are closed at the end."""
    asked: list[Asked] = []

    def send(request_id: str | None = None, **about: object) -> Asked:
        about.setdefault("client", client)
        about.setdefault("body", body)
        asked.append(Asked(server, request_id=request_id or secrets.token_hex(16), **about))
        return asked[-1]

    yield send
    for each in asked:
        each.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
