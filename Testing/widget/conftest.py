"""The host, and a small module in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest in importlib mode does not find helpers by itself

from host import SlicerHost
from module_helpers import Panel, stub_engine
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


@pytest.fixture(autouse=True)
def english_afterwards(monkeypatch):
    """The library is shared by all tests; a module that was opened has given it Slicer's translations."""
    from CRLMSegmentationLib.core import i18n

    monkeypatch.setattr(i18n, "translator", str)


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch) -> Path:
    """Where the panel saves and records unless it is told otherwise."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def panel(host, monkeypatch) -> Panel:
    """The module, opened with a stub in place of the worker process."""
    from CRLMSegmentationLib.segmentation.engine import worker_engine
    from CRLMSegmentationLib.slicer.workspace import workspace

    monkeypatch.setattr(workspace, "SETTLE_S", 0.1)
    engines: list = []

    def make(_model, python):
        assert Path(python).name.startswith("python")
        engines.append(stub_engine())
        return engines[-1]

    monkeypatch.setattr(worker_engine, "WorkerEngine", make)
    opened = Panel(host)
    opened.engines = engines
    return opened


@pytest.fixture
def with_volume(panel, tiny_volume) -> Panel:
    """A volume of the scene has been chosen, and the crop made as small as it is."""
    panel.show_volume(tiny_volume)
    panel.host.widget("cropSizeSlider").value = 30
    panel.turns(2)
    return panel


@pytest.fixture
def with_result(with_volume) -> Panel:
    """One lesion has been segmented."""
    with_volume.place()
    with_volume.answer()
    return with_volume
