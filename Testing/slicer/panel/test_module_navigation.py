"""Step 5 of the panel: the number that navigation uses, its colour, its sound, and what stands instead of it."""

from __future__ import annotations

import re
import wave
from dataclasses import replace

import numpy as np
import pytest
from helpers.module_helpers import parameter_nodes
from helpers.scripted_tracker import RADIUS_MM, use_tracker

WHITE, AMBER, RED = "#ffffff", "#ffc733", "#ff7970"


def number(panel):
    return panel.text("distanceLabel").partition(" (")[0]


def words(panel):
    return panel.text("distanceWordsLabel")


def colour(panel):
    return re.search(r"color:(#\w+)", panel.host.widget("distanceLabel").text)[1]


def hold(panel, tracker, away_mm, shown):
    """Hold the stylus there, until the panel shows it."""
    tracker.stylus(away_mm)
    panel.wait(lambda: number(panel) == shown)


def tick(panel, name, on):
    panel.host.widget(name).checked = on
    panel.turns(2)


# ---- the number


def test_nothing_is_said_of_distances_before_an_instrument_is_tracked(with_result):
    assert with_result.host.widget("distanceFrame").isHidden()
    assert with_result.text("instrumentsLabel") == "No instrument is tracked."


def test_distance_is_told_as_an_interval_with_lesion_and_instrument(navigated):
    assert not navigated.host.widget("distanceFrame").isHidden()
    interval = navigated.workspace.navigation.situation.nearest[1].interval
    low, high = round(interval.low_mm), round(interval.high_mm)
    assert 0 < low < 12 < high
    assert navigated.text("distanceLabel") == f"12 mm ({low}–{high})"
    assert words(navigated) == "Stylus to Tumour 1"
    assert navigated.text("instrumentsLabel") == f"● Stylus: 12 mm ({low}–{high}) to Tumour 1"


def test_number_is_large(navigated):
    assert navigated.host.widget("distanceLabel").font.pointSize() >= 50


def test_distance_follows_the_tip_and_the_name_of_the_lesion(navigated, tracker):
    hold(navigated, tracker, 20.0, "20 mm")
    navigated.seed().SetName("Segment VII")
    navigated.wait(lambda: words(navigated) == "Stylus to Segment VII")


def test_colour_and_words_change_inside_a_margin(navigated, tracker):
    assert colour(navigated) == WHITE
    hold(navigated, tracker, 8.0, "8 mm")
    assert (colour(navigated), words(navigated)) == (AMBER, "Stylus to Tumour 1, within 10 mm")
    hold(navigated, tracker, 3.0, "3 mm")
    assert (colour(navigated), words(navigated)) == (RED, "Stylus to Tumour 1, within 5 mm")


def test_tip_in_the_tumour_is_negative_and_said_in_words(navigated, tracker):
    tracker.stylus(-4.0)
    navigated.wait(lambda: number(navigated) in ("−3 mm", "−4 mm"))
    assert words(navigated) == "Stylus is inside Tumour 1"
    assert re.search(r"\(−\d+ to 1\)|\(−\d+ to −?\d\)", navigated.text("distanceLabel"))
    assert colour(navigated) == RED


def test_margins_are_those_that_are_set_and_are_saved_with_the_scene(navigated, tracker, tmp_path):
    navigated.host.widget("innerMarginSpinBox").value = 0
    navigated.host.widget("outerMarginSpinBox").value = 15
    navigated.wait(lambda: colour(navigated) == AMBER)
    assert navigated.workspace.navigation.margins_mm == (15.0,)
    hold(navigated, tracker, 3.0, "3 mm")
    assert colour(navigated) == AMBER
    tick(navigated, "marginsCheckBox", False)
    navigated.host.save_scene(tmp_path / "scene.mrb")
    navigated.host.close_scene()
    navigated.host.load_scene(tmp_path / "scene.mrb")
    navigated.redraw()
    assert len(parameter_nodes(navigated.host.scene)) == 1
    assert navigated.workspace.navigation.margins_mm == (15.0,)
    assert not navigated.workspace.navigation.shows_margins


def test_what_is_ticked_reaches_the_room(navigated):
    workspace = navigated.workspace
    for name, told in (
        ("marginsCheckBox", lambda: workspace.navigation.shows_margins),
        ("consensusCheckBox", lambda: workspace.navigation.shows_consensus),
        ("refineCheckBox", lambda: workspace.background_refinement.enabled),
        ("renewCheckBox", lambda: workspace.resegmentation.enabled),
    ):
        for on in (True, False):
            tick(navigated, name, on)
            assert told() is on, name


# ---- withheld


@pytest.mark.parametrize("status", ["MISSING", "INVALID"])
def test_lost_instrument_withdraws_the_number_at_once_and_says_why(navigated, tracker, status):
    tracker.stylus(status)
    before = navigated.widget._turn
    navigated.wait(lambda: number(navigated) == "–")
    assert navigated.widget._turn - before <= 24  # it is redrawn after 12 turns at the latest
    assert navigated.text("distanceLabel") == "–"
    assert words(navigated) == "Stylus: not tracked"
    assert navigated.text("instrumentsLabel").startswith("▲ Stylus: not tracked")
    navigated.wait(lambda: "not tracked, for 1 s" in navigated.text("instrumentsLabel"))
    hold(navigated, tracker, 9.0, "9 mm")
    assert "not tracked" not in navigated.text("instrumentsLabel")


def test_silent_instrument_is_withheld_after_half_a_second(navigated, tracker):
    tracker.stylus(None)
    navigated.wait(lambda: number(navigated) == "–")
    told = re.fullmatch(r"Stylus: no pose for (\d+\.\d) s", words(navigated))
    assert float(told[1]) >= 0.5
    hold(navigated, tracker, 12.0, "12 mm")


def test_lost_liver_sensor_withholds_everything(navigated, tracker):
    tracker.stylus(None)
    tracker.poses = {"StylusToTracker": (40.0, 20.0, 20.0), "ReferenceToTracker": (0.0, 0.0, 0.0)}
    navigated.wait(lambda: number(navigated) == "12 mm")
    tracker.poses["ReferenceToTracker"] = "MISSING"
    navigated.wait(lambda: "liver sensor: not tracked" in words(navigated))
    assert navigated.text("distanceLabel") == "–"
    tracker.poses["ReferenceToTracker"] = (0.0, 0.0, 0.0)
    navigated.wait(lambda: number(navigated) == "12 mm")


def test_segmentation_that_is_out_of_date_is_not_measured_to(navigated):
    tick(navigated, "autoCheckBox", False)
    navigated.seed().SetNthControlPointPositionWorld(0, 22.0, 20.0, 20.0)
    navigated.wait(lambda: number(navigated) == "–")
    assert words(navigated) == "Tumour 1 withheld: the segmentation is out of date; segment again"
    assert (
        navigated.text("instrumentsLabel")
        == "▲ Stylus: Tumour 1 withheld: the segmentation is out of date; segment again"
    )
    navigated.seed().SetNthControlPointPositionWorld(0, 20.0, 20.0, 20.0)
    navigated.wait(lambda: number(navigated) == "12 mm")


def test_lesion_that_is_gone_is_not_measured_to(navigated):
    navigated.press("removeButton")
    navigated.wait(lambda: words(navigated) == "no segmentation to measure to")
    assert navigated.text("distanceLabel") == "–"


def test_source_that_is_left_leaves_no_number(navigated):
    navigated.workspace.use_link(None)
    navigated.redraw()
    assert navigated.host.widget("distanceFrame").isHidden()
    assert navigated.text("distanceLabel") == "–"


# ---- sound


def played(panel):
    sounds = panel.widget.sounds.effects
    return tuple(sounds[which]._real.played if which in sounds else 0 for which in ("outer", "inner"))


def test_margin_is_heard_once_when_it_is_entered(navigated, tracker):
    tick(navigated, "soundCheckBox", True)
    hold(navigated, tracker, 8.0, "8 mm")
    navigated.turns(30)
    assert played(navigated) == (1, 0)
    hold(navigated, tracker, 3.0, "3 mm")
    navigated.turns(30)
    assert played(navigated) == (1, 1)
    hold(navigated, tracker, 8.0, "8 mm")
    assert played(navigated) == (1, 1)
    hold(navigated, tracker, 15.0, "15 mm")
    hold(navigated, tracker, 8.0, "8 mm")
    navigated.turns(2)
    assert played(navigated) == (2, 1)


def test_tip_that_hesitates_at_a_margin_is_heard_once(navigated, tracker):
    tick(navigated, "soundCheckBox", True)
    tips_mm = []
    for away_mm in (9.0, 10.7, 9.0, 10.7, 9.0):
        tracker.stylus(away_mm)
        navigated.turns(12)
        tips_mm.append(navigated.workspace.navigation.situation.instruments[0].tip_ras_mm[0] - 20.0 - RADIUS_MM)
    assert tips_mm == pytest.approx([9.0, 10.7, 9.0, 10.7, 9.0])
    assert played(navigated) == (1, 0)


def test_tip_that_was_lost_for_a_moment_has_not_entered_anew(navigated, tracker):
    tick(navigated, "soundCheckBox", True)
    hold(navigated, tracker, 3.0, "3 mm")
    hold(navigated, tracker, "MISSING", "–")
    hold(navigated, tracker, 3.0, "3 mm")
    navigated.turns(12)
    assert played(navigated) == (0, 1)


def test_tip_that_was_lost_for_long_is_heard_again(navigated, tracker, monkeypatch):
    from CRLMSegmentationLib.slicer.views import margin_alarm as alarm

    monkeypatch.setattr(alarm, "FORGET_S", 0.3)
    tick(navigated, "soundCheckBox", True)
    hold(navigated, tracker, 3.0, "3 mm")
    hold(navigated, tracker, "MISSING", "–")
    navigated.host.run_for(0.5)
    hold(navigated, tracker, 3.0, "3 mm")
    navigated.turns(12)
    assert played(navigated) == (0, 2)


def test_margin_of_an_unsure_segmentation_is_heard_too(navigated, tracker):
    tick(navigated, "soundCheckBox", True)
    tick(navigated, "autoCheckBox", False)
    navigated.seed().SetNthControlPointPositionWorld(0, 22.0, 20.0, 20.0)
    navigated.wait(lambda: number(navigated) == "–")
    tracker.stylus(3.0)
    navigated.wait(lambda: played(navigated) == (0, 1))
    assert number(navigated) == "–"


def test_nothing_is_heard_unless_it_is_wanted(navigated, tracker):
    hold(navigated, tracker, 3.0, "3 mm")
    navigated.turns(12)
    assert played(navigated) == (0, 0)


def test_sounds_are_files_that_can_be_played(navigated, tmp_path):
    from CRLMSegmentationLib.slicer.views.margin_alarm import write_sound

    for which in ("outer", "inner"):
        with wave.open(str(write_sound(which, tmp_path))) as file:
            assert 0.05 < file.getnframes() / file.getframerate() < 0.5
            assert any(file.readframes(file.getnframes()))


# ---- the life of it all


@pytest.mark.parametrize("how", ["close_scene", "quit", "unload_module"])
def test_end_of_the_room_takes_the_number_away(navigated, tracker, how):
    from CRLMSegmentationLib.igtl.link import LinkState

    getattr(navigated.host, how)()
    assert tracker.state is LinkState.CLOSED
    if how == "close_scene":
        assert navigated.host.widget("distanceFrame").isHidden()
        assert navigated.text("distanceLabel") == "–"
        navigated.host.unload_module()
    assert not navigated.host.leaks(), navigated.host.leaks()


def test_second_look_is_called_what_it_is_and_tells_what_it_has_changed(navigated, monkeypatch):
    from CRLMSegmentationLib.slicer.workspace import background_refinement

    monkeypatch.setattr(background_refinement, "QUIET_S", 0.1)
    tick(navigated, "refineCheckBox", True)
    navigated.press("againButton")
    navigated.answer()
    navigated.wait(lambda: navigated.engine.pending)
    navigated.redraw()
    assert navigated.text("workerLabel") == "● Refining in the background"
    assert navigated.text("applyButton") == "Segment"
    navigated.answer()
    navigated.wait(lambda: "the segmentation moved by 0.0 mm" in navigated.details())
    while navigated.workspace.background_refinement.is_at_work:
        navigated.answer()
    navigated.redraw()
    assert navigated.text("workerLabel") != "● Refining in the background"
    tick(navigated, "consensusCheckBox", True)
    navigated.wait(lambda: navigated.host.scene.GetFirstNodeByName("Tumour 1: ever tumour"))


def test_lesion_is_renewed_in_a_newer_volume_and_tells_what_has_become_of_it(with_result, tracker, tiny_volume):
    tick(with_result, "renewCheckBox", True)
    use_tracker(with_result.workspace, tracker)
    shifted = replace(tiny_volume, array=np.roll(tiny_volume.array, 2, axis=2), timestamp_s=101.0)
    tracker.volumes.append(tiny_volume)
    with_result.wait(lambda: with_result.workspace.volume.node.GetName() == "recvol_Reference")
    with_result.press("againButton")
    with_result.answer()
    assert "moved" not in with_result.details()
    tracker.volumes.append(shifted)
    with_result.wait(lambda: with_result.engine.pending)
    with_result.redraw()
    assert "being renewed" in with_result.details()
    with_result.answer()
    with_result.wait(lambda: "moved 2.0 mm, ±0 %" in with_result.details())
    assert "up to date" in with_result.details()
