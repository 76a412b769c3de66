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


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Nodes of one core compute with one thread, and so does what they are compared with."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(name, "1")
        yield
