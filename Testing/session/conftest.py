"""Sessions and rooms on a stub engine and a stub model, both strict and both for the logic above them only."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from CRLMSegmentationLib.session import Session

sys.path.insert(0, str(Path(__file__).parent))  # pytest in importlib mode does not find helpers by itself

from stub_engine import StubEngine


@pytest.fixture
def engine():
    return StubEngine()


@pytest.fixture
def model():
    return SimpleNamespace(
        name="stub", sha256="0" * 64, crop_size_mm=30.0, spacing_mm=1.0, channels=("ultrasound", "seed")
    )


@pytest.fixture
def session(engine, model):
    return Session(engine, model)
