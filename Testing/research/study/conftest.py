"""Steps of a study that take no time: stubs that write what the real ones write, and remember what was asked."""

from __future__ import annotations

from functools import cache

import pytest
from CRLMSegmentationLib.reports import slices
from CRLMSegmentationLib.research.evaluation import page as evaluation_page
from CRLMSegmentationLib.research.study import step_log, style
from helpers.study_helpers import StubSteps
from matplotlib.figure import Figure


@pytest.fixture(autouse=True)
def versions_are_read_once(monkeypatch):
    """Each step notes the versions of all packages; finding them took a fifth of the time of these tests."""
    monkeypatch.setattr(step_log, "versions", cache(step_log.versions))


@pytest.fixture
def coarse(monkeypatch):
    """Figures of few pixels that are not laid out, where nobody looks at them."""
    monkeypatch.setattr(style, "DPI", 20)
    monkeypatch.setattr(style, "FIGURE_DPI", 20)
    monkeypatch.setattr(evaluation_page, "FIGURE_DPI", 20)
    monkeypatch.setattr(slices, "CLOSE_UP_PIXELS", 32)
    monkeypatch.setattr(slices, "OVERVIEW_PIXELS", 32)
    monkeypatch.setattr(Figure, "get_layout_engine", lambda figure: None)


@pytest.fixture
def stubs():
    return StubSteps()
