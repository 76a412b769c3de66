"""Steps of a study that take no time: stubs that write what the real ones write, and remember what was asked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from CRLMSegmentationLib.research.study import style

sys.path.insert(0, str(Path(__file__).parent))  # pytest in importlib mode does not find helpers by itself

from study_helpers import StubSteps


@pytest.fixture
def coarse(monkeypatch):
    """Figures of few pixels, where nobody looks at them."""
    monkeypatch.setattr(style, "DPI", 20)
    monkeypatch.setattr(style, "PICTURE_DPI", 20)


@pytest.fixture
def stubs():
    return StubSteps()
