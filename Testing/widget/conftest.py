"""The host, and a small module in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest in importlib mode does not find helpers by itself

from host import SlicerHost
from sample_path import SAMPLE

SHARED = Path(__file__).parents[2].parent / "shared"


@pytest.fixture
def host() -> Iterator[SlicerHost]:
    with SlicerHost() as installed:
        yield installed


@pytest.fixture
def qt(host):
    import qt

    return qt


@pytest.fixture
def ctk(host):
    import ctk

    return ctk


@pytest.fixture
def sample(host):
    """The widget object of the sample module, opened."""
    return host.open_module(SAMPLE)


@pytest.fixture(scope="session")
def slicer_api() -> dict:
    """What was read off a real Slicer."""
    path = SHARED / "slicer-api.json"
    if not path.is_file():
        pytest.skip(f"the list read off a real Slicer is not beside the repository ({path.name})")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def add_volume(host) -> Callable:
    def add(name: str):
        return host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)

    return add
