"""What is read from two metres has a contrast of 7 to 1, and no colour stands alone."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from CRLMSegmentationLib.slicer.rich_text import (
    BACKGROUND,
    COLOURS,
    LEAST_CONTRAST,
    SIGNS,
    contrast,
    css,
    readable,
)
from CRLMSegmentationLib.slicer.state import State
from CRLMSegmentationLib.slicer.views.navigation_texts import WITHHELD_COLOUR
from CRLMSegmentationLib.tracking.colours import CLEAR_COLOUR, INNER_COLOUR, OUTER_COLOUR
from helpers.paths import ROOT
from helpers.scripted_tracker import use_tracker
from PySide6 import QtCore, QtGui

SELECTED, ON_SELECTED = "#1f3a5f", "#ffffff"
"""Of the chosen line of the table, as the .ui file has them."""
DARK = ("distanceFrame", "lesionTable", "preflightTable")


@pytest.mark.parametrize(("one", "other", "ratio"), [("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48)])
def test_contrast_is_that_of_wcag(one, other, ratio):
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize("state", State)
def test_colours_of_states_are_readable(state):
    assert contrast(COLOURS[state], BACKGROUND) >= LEAST_CONTRAST


@pytest.mark.parametrize("colour", [CLEAR_COLOUR, OUTER_COLOUR, INNER_COLOUR, WITHHELD_COLOUR, (0.0, 0.0, 0.4)])
def test_colours_of_distances_are_made_readable(colour):
    assert contrast(css(readable(colour)), BACKGROUND) >= LEAST_CONTRAST


def test_colour_that_is_readable_is_left_as_it_is():
    assert readable(OUTER_COLOUR) == OUTER_COLOUR


def test_states_of_different_colour_differ_in_their_sign():
    assert set(SIGNS) == set(COLOURS) == set(State)
    looks = {(SIGNS[state], COLOURS[state]) for state in State}
    assert len({sign for sign, _colour in looks}) == len({colour for _sign, colour in looks}) == len(looks) == 5


def test_chosen_line_of_the_table_is_readable():
    assert contrast(SELECTED, ON_SELECTED) >= LEAST_CONTRAST


@pytest.mark.parametrize("name", DARK)
def test_panel_has_that_background_in_any_style_of_the_application(name):
    tree = ElementTree.parse(ROOT / "CRLMSegmentation" / "Resources" / "UI" / "CRLMSegmentation.ui")
    widget = next(widget for widget in tree.iter("widget") if widget.get("name") == name)
    style = next(p for p in widget.findall("property") if p.get("name") == "styleSheet").findtext("string")
    assert f"background-color: {BACKGROUND}" in style
    if name == "lesionTable":
        assert f"selection-background-color: {SELECTED}; selection-color: {ON_SELECTED}" in style


@pytest.mark.parametrize("away_mm", [12.0, 8.0, 3.0])
def test_drawn_distance_and_lesions_are_readable(with_result, tracker, away_mm):
    tracker.stylus(away_mm)
    use_tracker(with_result.workspace, tracker)
    with_result.wait(lambda: with_result.text("distanceLabel").startswith(f"{away_mm:.0f} mm"))
    with_result.redraw()
    for name in ("distanceLabel", "distanceWordsLabel", "lesionTable"):
        assert drawn_contrast(with_result, name) >= LEAST_CONTRAST, name


def drawn_contrast(panel, name) -> float:
    """Contrast of the most frequent colour of a widget, as it is drawn, with that farthest from it."""
    widget = panel.host.widget(name)._real
    image = QtGui.QImage(panel.host.panel.size(), QtGui.QImage.Format.Format_RGB32)
    panel.host.panel.render(image)
    part = image.copy(QtCore.QRect(widget.mapTo(panel.host.panel, QtCore.QPoint(0, 0)), widget.size()))
    colours = [part.pixelColor(x, y).name() for x in range(0, part.width(), 2) for y in range(part.height())]
    ground = max(set(colours), key=colours.count)
    assert ground in (BACKGROUND, SELECTED)
    return max(contrast(colour, ground) for colour in set(colours))
