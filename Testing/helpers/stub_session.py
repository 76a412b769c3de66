"""Fixtures: a session on a stub engine and a stub model, both strict and both for the logic above them only.

A conftest.py imports them by name.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from CRLMSegmentationLib.core.crop_format import CLICK_CHANNELS
from CRLMSegmentationLib.segmentation.session import Session

from .stub_engine import StubEngine
from .workspace_helpers import Clock


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
def click_model(model, engine):
    """The same model with channels for correction points, and its engine."""
    model.channels, engine.takes_points = CLICK_CHANNELS, True
    return model


@pytest.fixture
def session(engine, model):
    return Session(engine, model)


@pytest.fixture
def clock():
    return Clock()
