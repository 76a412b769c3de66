"""A Ray cluster for the tests of this folder, which are skipped where Ray is missing (see `make test-cluster`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.ray_helpers import LocalRay

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[LocalRay]:
    """Two nodes of one core each."""
    pytest.importorskip("ray", reason="Ray is not installed; make test-cluster installs it")
    cluster = LocalRay()
    yield cluster
    cluster.close()
