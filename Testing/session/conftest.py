"""Sessions and rooms on a stub engine and a stub model, both strict and both for the logic above them only."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.slicer.scene.headless import new_scene
from CRLMSegmentationLib.slicer.scene.volumes import show_volume
from CRLMSegmentationLib.slicer.workspace.workspace import Room

sys.path.insert(0, str(Path(__file__).parent))  # pytest in importlib mode does not find helpers by itself
sys.path.insert(0, str(Path(__file__).parents[1] / "peers"))

from room_helpers import Clock, StubLink
from stub_engine import StubEngine


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
def room(engine, model, clock):
    made = Room(new_scene(), Session(engine, model), clock=clock)
    made.auto_segment = False
    yield made
    made.close()


@pytest.fixture
def link(room):
    made = StubLink()
    room.use_link(made)
    return made


@pytest.fixture
def with_volume(room, tiny_volume):
    """A room in which a volume of the scene has been chosen."""
    room.use_node(show_volume(room.scene, tiny_volume, "recvol"))
    return room
