"""The module of 3D Slicer, opened in the stand-in host with a stub in place of the worker process."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.module_helpers import Panel, stub_engine
from helpers.scripted_tracker import ScriptedTracker, use_tracker
from slicer_host.fixtures import (  # noqa: F401  (fixtures)
    add_volume,
    ctk,
    english_after_file,
    english_afterwards,
    home,
    host,
    qt,
    sample,
    slicer_api,
)


@pytest.fixture
def panel(host, monkeypatch) -> Panel:
    """The module, opened with a stub in place of the worker process."""
    from CRLMSegmentationLib.segmentation.engine import worker_engine
    from CRLMSegmentationLib.segmentation.models.package import takes_points
    from CRLMSegmentationLib.slicer.workspace import lesion

    monkeypatch.setattr(lesion, "SETTLE_S", 0.0)
    engines: list = []

    def make(model, python, precision):
        assert Path(python).name.startswith("python")
        engines.append(stub_engine(takes_points(model)))
        engines[-1].precision = precision
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
def tracker() -> ScriptedTracker:
    return ScriptedTracker()


@pytest.fixture
def with_result(with_volume) -> Panel:
    """One lesion has been segmented."""
    with_volume.place()
    with_volume.answer()
    return with_volume


@pytest.fixture
def navigated(with_result, tracker) -> Panel:
    """One lesion, and a stylus 12 mm from it."""
    tracker.stylus(12.0)
    use_tracker(with_result.workspace, tracker)
    with_result.wait(lambda: with_result.text("distanceLabel").startswith("12 mm ("))
    return with_result
