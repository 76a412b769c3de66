"""Sessions and workspaces on a stub engine and a stub model, both strict and both for the logic above them only."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.slicer.scene.volumes import show_volume
from CRLMSegmentationLib.slicer.workspace.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parent))  # pytest in importlib mode does not find helpers by itself
sys.path.insert(0, str(Path(__file__).parents[1] / "peers"))

from stub_engine import StubEngine
from workspace_helpers import Clock, StubLink


@pytest.fixture
def engine():
    return StubEngine()


@pytest.fixture
def model():
    return SimpleNamespace(
        name="stub",
        version="0",
        sha256="0" * 64,
        region="crop",
        crop_size_mm=30.0,
        spacing_mm=1.0,
        channels=("ultrasound", "seed"),
        not_for_clinical_use="A stub.",
        intended_use="Tests.",
        trained_on={"simulated": True},
        simulated_only=True,
        card={},
        calibration={},
    )


@pytest.fixture
def session(engine, model):
    return Session(engine, model)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def workspace(engine, model, clock, make_scene):
    made = Workspace(make_scene(), Session(engine, model), clock=clock)
    made.auto_segment = False
    yield made
    made.close()


@pytest.fixture
def link(workspace):
    made = StubLink()
    workspace.use_link(made)
    return made


@pytest.fixture
def with_volume(workspace, tiny_volume):
    """A workspace in which a volume of the scene has been chosen."""
    workspace.use_node(show_volume(workspace.scene, tiny_volume, "recvol"))
    return workspace
