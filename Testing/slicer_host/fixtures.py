"""Fixtures: the host, and a small module in it. A conftest.py imports them by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.paths import ROOT
from helpers.sample_path import SAMPLE

from . import SlicerHost


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
    path = ROOT.parent / "shared" / "slicer-api.json"
    if not path.is_file():
        pytest.skip(f"the list read off a real Slicer is not beside the repository ({path.name})")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def add_volume(host) -> Callable:
    def add(name: str):
        return host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)

    return add


@pytest.fixture(autouse=True)
def english_afterwards():
    """The library is shared by all tests; a module that was opened has given it Slicer's translations."""
    yield
    _speak_english()


@pytest.fixture(scope="module", autouse=True)
def english_after_file():
    """The same after a panel that all tests of a file share."""
    yield
    _speak_english()


def _speak_english() -> None:
    from CRLMSegmentationLib.core import i18n

    i18n.translator = str


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch) -> Path:
    """Where the panel saves and records unless it is told otherwise."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder
