"""One screen: everything that is needed while navigating stands in 900 px, and the rest is one press away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from CRLMSegmentationLib.core.crop_format import CLICK_CHANNELS
from CRLMSegmentationLib.slicer.rich_text import css
from helpers.module_helpers import DIAMETERS, DISTANCE, NAME, RELIABILITY, SIZE, Panel
from helpers.scripted_tracker import use_tracker
from PySide6 import QtCore, QtGui, QtWidgets

WIDTH, HEIGHT = 600, 900
SEEDS = ((20.0, 20.0, 20.0), (22.0, 20.0, 20.0), (20.0, 22.0, 20.0), (20.0, 20.0, 22.0))
DURING = (
    *("placeButton", "applyButton", "undoButton", "redoButton", "tipButton", "progressBar"),
    *("includeButton", "excludeButton", "includeTipButton", "excludeTipButton", "undoPointButton"),
)
STRIP = ("linkStateButton", "deviceStateButton", "modelStateButton", "recordingStateButton")
SECTIONS = ("sourceButton", "preflightButton", "segmentButton", "navigationButton", "recordingButton", "modelButton")


@pytest.fixture
def navigated(with_volume, tracker) -> Panel:
    """Four lesions, and a stylus 12 mm from the nearest; in a panel as wide and high as in an operating room.

    The model takes correction points, which has more buttons.
    """
    session = with_volume.workspace.session
    session.model, with_volume.engine.takes_points = replace(session.model, channels=CLICK_CHANNELS), True
    for seed in SEEDS:
        with_volume.place(seed)
        with_volume.answer()
    tracker.stylus(12.0)
    use_tracker(with_volume.workspace, tracker)
    with_volume.wait(lambda: with_volume.text("distanceLabel").startswith("12 mm"))
    with_volume.host.main_window.resize(WIDTH, HEIGHT)
    with_volume.redraw()
    return with_volume


def height_of(panel: Panel) -> int:
    """What the panel needs, with the word-wrapped labels as they are at its width."""
    real = panel.host.panel
    layout = real.layout()
    wanted = layout.heightForWidth(WIDTH) if layout.hasHeightForWidth() else -1
    return max(wanted, real.sizeHint().height(), real.minimumSizeHint().height())


def box(panel: Panel, name: str) -> QtCore.QRect:
    widget = panel.host.widget(name)._real
    return QtCore.QRect(widget.mapTo(panel.host.panel, QtCore.QPoint(0, 0)), widget.size())


def test_all_that_navigation_needs_stands_on_one_screen_with_four_lesions(navigated):
    assert len(navigated.table()) == 4
    assert height_of(navigated) <= HEIGHT
    for name in ("distanceFrame", "distanceWordsLabel", "lesionTable", "detailsButton", *DURING, *STRIP):
        assert navigated.host.widget(name)._real.isVisibleTo(navigated.host.panel), name
        assert box(navigated, name).bottom() < HEIGHT, name
    table = navigated.host.widget("lesionTable")._real
    last = table.visualItemRect(table.item(3, NAME))
    assert table.viewport().rect().contains(last), "four lesions without scrolling"


def test_a_message_still_leaves_all_of_it_on_one_screen(navigated):
    navigated.widget.messages.show("the model cannot be used, since a file of it was changed; import it again. " * 2)
    navigated.redraw()
    assert not navigated.host.widget("messageFrame").isHidden()
    assert height_of(navigated) <= HEIGHT


def test_panel_is_no_wider_than_its_place_whatever_is_open(navigated):
    for name in ("detailsButton", *SECTIONS):
        navigated.host.widget(name).collapsed = False
    navigated.turns(2)
    assert navigated.host.panel.minimumSizeHint().width() <= WIDTH


def test_all_sections_are_closed_while_navigating(navigated):
    assert all(navigated.host.widget(name).collapsed for name in SECTIONS)


def test_lesion_is_one_line(navigated):
    name, size, diameters, reliability, distance = navigated.table()[0]
    assert (name, size) == ("Tumour 1", "2.1 ml")
    assert diameters.endswith(" mm")
    assert diameters.count("×") == 2
    assert reliability == "○ not rated"
    assert distance == "12 mm"
    table = navigated.host.widget("lesionTable")._real
    for row in range(4):
        for column in (NAME, SIZE, DIAMETERS, RELIABILITY, DISTANCE):
            text = table.item(row, column).text()
            assert "\n" not in text
            room = table.columnWidth(column) - (24 if column == NAME else 0)
            assert table.fontMetrics().horizontalAdvance(text) < room, text


def test_lesion_has_a_square_of_its_colour(navigated):
    table = navigated.host.widget("lesionTable")._real
    colours = {table.item(row, NAME).icon().pixmap(16).toImage().pixelColor(8, 8).name() for row in range(4)}
    assert len(colours) == 4


def test_square_of_the_chosen_lesion_has_the_colour_of_its_contours(navigated):
    table = navigated.host.widget("lesionTable")._real
    icon = table.item(3, NAME).icon()
    drawn = [
        icon.pixmap(QtCore.QSize(16, 16), mode).toImage().pixelColor(8, 8).name()
        for mode in (QtGui.QIcon.Mode.Normal, QtGui.QIcon.Mode.Selected)
    ]
    assert table.currentRow() == 3
    assert drawn == [css(navigated.workspace.rows()[3].colour)] * 2


def test_details_are_those_of_the_chosen_lesion(navigated):
    navigated.host.widget("lesionTable").setCurrentCell(2, NAME)
    navigated.redraw()
    assert navigated.text("detailsButton") == "Details of Tumour 3"
    details = navigated.text("lesionDetailsLabel")
    assert details.startswith(navigated.details(2))
    assert " from Stylus" in details
    assert navigated.host.widget("detailsButton").collapsed


def test_what_is_pressed_during_an_operation_is_large_enough_for_a_finger(navigated):
    for name in (*DURING, *STRIP):
        size = navigated.host.widget(name)._real.size()
        assert min(size.width(), size.height()) >= 44, name
    assert navigated.host.widget("lesionTable")._real.rowHeight(0) >= 44


def test_button_of_the_strip_opens_where_it_is_mended(navigated):
    for name, opened in zip(STRIP, ("sourceButton", "modelButton", "modelButton", "recordingButton")):
        section = navigated.host.widget(opened)
        navigated.press(name)
        assert not section.collapsed, name
        navigated.press(name)
        assert section.collapsed, name


def test_every_button_has_words(navigated):
    for button in navigated.host.panel.findChildren(QtWidgets.QPushButton):
        if button.objectName() and not button.objectName().startswith("qt_") and button.parent().objectName():
            assert button.text() or button.menu(), button.objectName()


# ---- sections follow the work


@pytest.fixture
def case(panel, tiny_case) -> Panel:
    """A recorded case is played by a script, while the tab of the tracker is in front."""
    assert panel.host.widget("sourceTabs").currentIndex == 0
    panel.widget.logic.source.play_or_pause(tiny_case, 1.0)
    return panel


def test_source_folds_away_when_a_volume_has_come_and_stays_open_where_the_user_opens_it(case):
    section = case.host.widget("sourceButton")
    assert not section.collapsed
    case.wait(lambda: case.workspace.volume.node)
    case.wait(lambda: section.collapsed)
    section.collapsed = False
    case.turns(25)
    assert not section.collapsed


def test_tab_of_the_source_is_in_front_whoever_has_chosen_it(case):
    case.wait(lambda: case.host.widget("sourceTabs").currentIndex == 1)
    case.host.widget("sourceTabs").currentIndex = 2
    case.turns(25)
    assert case.host.widget("sourceTabs").currentIndex == 2


def test_problem_opens_nothing_and_is_told_in_the_strip(with_result):
    with_result.host.widget("modelButton").collapsed = True
    with_result.workspace.engine_problem = "the process has ended"
    with_result.wait(lambda: with_result.text("modelStateButton") == "■ Model")
    assert "■ Segmentation has failed" in with_result.text("stripLabel")
    assert with_result.host.widget("modelButton").collapsed
    with_result.press("modelStateButton")
    assert with_result.host.widget("workerLabel")._real.isVisibleTo(with_result.host.panel)


def test_next_step_is_told_until_distances_are_shown(with_volume, tracker):
    with_volume.wait(lambda: with_volume.text("nextStepLabel").startswith("Press “Place seed”"))
    with_volume.press("placeButton")
    with_volume.wait(lambda: with_volume.text("nextStepLabel").startswith("Click into"))
    with_volume.host.place_point(SEEDS[0])
    with_volume.answer()
    with_volume.wait(lambda: with_volume.text("nextStepLabel").startswith("Bring a tracked instrument"))
    tracker.stylus(12.0)
    use_tracker(with_volume.workspace, tracker)
    with_volume.wait(lambda: with_volume.host.widget("nextStepLabel").isHidden())
