"""The distance in a window of its own, for the screen on the wall."""

from __future__ import annotations

import re

import pytest
from CRLMSegmentationLib.slicer.views.distance_window import letters_px
from helpers.module_helpers import Panel
from PySide6 import QtGui


@pytest.fixture
def navigated(navigated) -> Panel:
    """The distance stands in its window."""
    navigated.press("windowButton")
    navigated.wait(lambda: written(navigated) == "12 mm")
    return navigated


def window(panel):
    return panel.widget.distanceWindow.window


def label(panel, name="numberLabel"):
    return getattr(window(panel)._ui, name)._real


def written(panel, name="numberLabel"):
    return label(panel, name).text()


def test_window_shows_what_the_panel_shows(navigated, tracker):
    assert f"12 mm {written(navigated, 'intervalLabel')}" == navigated.text("distanceLabel")
    assert written(navigated, "wordsLabel") == "Stylus to Tumour 1"
    tracker.stylus("MISSING")
    navigated.wait(lambda: written(navigated) == "–")
    assert written(navigated, "wordsLabel") == "Stylus: not tracked"
    assert written(navigated, "intervalLabel") == ""


def test_window_stands_by_itself(navigated):
    real = window(navigated)._window._real
    assert real.isWindow()
    assert real.parent() is None
    assert real.isVisible()


@pytest.mark.parametrize("size", [(480, 270), (1920, 1080), (600, 1000)])
def test_number_fills_the_window_and_fits_it(navigated, size):
    window(navigated)._window._real.resize(*size)
    navigated.redraw()
    number = label(navigated)
    font = number.font()
    font.setBold(True)
    font.setPixelSize(int(re.search(r"font-size: (\d+)px", number.styleSheet())[1]))
    width = QtGui.QFontMetrics(font).horizontalAdvance(number.text())
    assert 0.4 * size[0] < width < size[0] or font.pixelSize() > 0.4 * size[1]
    assert width < size[0]


def test_letters_are_as_large_as_the_height_or_the_width_allows():
    assert letters_px("12 mm", 0.45, 4000, 1000) == 450
    assert letters_px("12 mm", 0.45, 400, 1000) == 100
    assert letters_px("", 0.45, 10, 10) == 12


def test_window_is_closed_by_its_button_by_its_user_and_with_the_module(navigated):
    assert navigated.text("windowButton") == "Close the distance window"
    navigated.press("windowButton")
    assert window(navigated) is None
    assert navigated.text("windowButton") == "Distance in its own window"
    navigated.press("windowButton")
    window(navigated)._window._real.close()
    navigated.redraw()
    assert navigated.text("windowButton") == "Distance in its own window"
    navigated.press("windowButton")
    real = window(navigated)._window._real
    closed = []
    real.destroyed.connect(lambda *_: closed.append(True))
    navigated.host.unload_module()
    assert closed
    assert not navigated.host.leaks(), navigated.host.leaks()


def test_window_of_a_closed_scene_shows_no_old_distance(navigated):
    navigated.host.close_scene()
    navigated.redraw() if navigated.workspace else None
    assert written(navigated) == "–"
