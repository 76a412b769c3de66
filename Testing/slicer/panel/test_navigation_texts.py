"""What is said of distances and lesions, word by word."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from CRLMSegmentationLib.core.postprocessing import TOUCHES_EDGE
from CRLMSegmentationLib.core.reasons import Reason, ReasonCode
from CRLMSegmentationLib.segmentation.refinement import CUT_OFF, Change
from CRLMSegmentationLib.slicer.panel.lesion_texts import badge_of, details_of, lesion_cells
from CRLMSegmentationLib.slicer.panel.panel_view import margins_of
from CRLMSegmentationLib.slicer.state import State
from CRLMSegmentationLib.slicer.views.navigation_texts import distance_of, distance_text_of, interval_text, number_text
from CRLMSegmentationLib.slicer.workspace.lesion import LesionRow, LesionState
from CRLMSegmentationLib.tracking.instruments import Instrument
from CRLMSegmentationLib.tracking.interval import Interval
from CRLMSegmentationLib.tracking.readings import InstrumentState, Reading, ReliableReading
from CRLMSegmentationLib.tracking.situation import Situation

TIP = np.array([0.0, 0.0, 0.0])
LOST, STILL = Reason(ReasonCode.NOT_TRACKED), Reason(ReasonCode.SENSOR_STILL, {"seconds": 6.0})
ROW = LesionRow(
    *("Tumour 1", "Segment VII", (1.0, 0.0, 0.0), LesionState.DONE, True, 2.14, (16.2, 15.9, 15.6)),
    *(1.24, 5.0, (), (), "", "", 0, 0, 0.0),
)


def reading(name, away_mm, unreliable_reason=None, margin_mm=None):
    """Of a lesion to the right of the tip; without a number where there is a doubt."""
    interval = None if unreliable_reason else Interval(away_mm, away_mm - 3.4, away_mm + 3.4)
    kind = Reading if interval is None else ReliableReading
    return kind(name, name, interval, TIP + (away_mm, 0.0, 0.0), margin_mm, unreliable_reason)


def tool(frame, *readings, unreliable_reason=None):
    return InstrumentState(Instrument(frame), np.eye(4), TIP, unreliable_reason, readings)


def told(*instruments, sensor_unreliable_reason=None, warnings=()):
    """What the panel says in a situation."""
    displayed = Situation(instruments, sensor_unreliable_reason, tuple(Reason(reason) for reason in warnings)).displayed
    navigation = SimpleNamespace(displayed=displayed, margins_mm=(5.0, 10.0))
    return distance_of(SimpleNamespace(navigation=navigation, session=SimpleNamespace(link=None)))


@pytest.mark.parametrize(
    ("distance_mm", "text"), [(12.4, "12 mm"), (0.4, "0 mm"), (-0.4, "0 mm"), (-0.6, "−1 mm"), (-12.4, "−12 mm")]
)
def test_number_is_in_whole_millimetres_and_never_minus_nothing(distance_mm, text):
    assert number_text(distance_mm) == text


@pytest.mark.parametrize(
    ("low", "high", "text"), [(9.2, 15.6, "9–16"), (-0.4, 3.0, "0–3"), (-2.0, 3.0, "−2 to 3"), (-9.0, -2.0, "−9 to −2")]
)
def test_interval_with_a_minus_has_no_dash_beside_it(low, high, text):
    assert interval_text(Interval((low + high) / 2, low, high)) == text


def test_nearest_of_all_is_told():
    stylus = tool("Stylus", reading("A", 12.0), reading("B", 30.0))
    distance = told(stylus, tool("Knife", reading("B", 7.0), reading("A", 40.0)))
    assert (distance.text, distance.words, distance.warning) == ("7 mm (4–10)", "Knife to B", "")


def test_number_that_lacks_the_error_of_the_model_or_of_which_volume_and_tools_differ_says_so():
    stylus = tool("Stylus", reading("A", 12.0))
    assert "never measured" in told(stylus, warnings=[ReasonCode.UNCALIBRATED]).warning
    assert "do they belong together?" in told(stylus, warnings=[ReasonCode.OTHER_SOURCE]).warning


def test_lesion_that_is_withheld_is_told_beside_the_number_of_another():
    distance = told(tool("Stylus", reading("A", 12.0), reading("B", 30.0, CUT_OFF)))
    assert (distance.number, distance.warning) == ("12 mm", f"B withheld: {CUT_OFF}")


@pytest.mark.parametrize(
    ("shown", "away_mm", "margin_mm"),
    [((12.0, None), 8.0, 10.0), ((12.0, None), 15.0, 5.0), ((8.0, 10.0), 15.0, 5.0)],
    ids=["nearer", "deep inside", "deep inside while another is near"],
)
def test_no_number_while_an_unsure_lesion_is_nearer(shown, away_mm, margin_mm):
    known = reading("A", shown[0], margin_mm=shown[1])
    distance = told(tool("Stylus", known, reading("B", away_mm, CUT_OFF, margin_mm)))
    assert (distance.text, distance.words) == ("–", f"B withheld: {CUT_OFF}")


@pytest.mark.parametrize(
    ("situation", "words"),
    [
        ({"instruments": ()}, "no tracked instrument"),
        ({"instruments": (tool("Stylus"),)}, "no segmentation to measure to"),
        ({"instruments": (tool("Stylus", reading("A", 5.0, CUT_OFF)),)}, f"A withheld: {CUT_OFF}"),
        (
            {
                "instruments": (
                    tool("Stylus", unreliable_reason=LOST),
                    tool("Knife", unreliable_reason=Reason(ReasonCode.JUMPED, {"mm": 40.2})),
                )
            },
            "Stylus: not tracked; Knife: jumped by 40 mm",
        ),
        (
            {"instruments": (tool("Stylus", unreliable_reason=LOST),), "sensor_unreliable_reason": STILL},
            "the liver sensor has not moved for 6 s: it may have come off",
        ),
    ],
)
def test_reason_stands_in_the_place_of_the_number(situation, words):
    instruments = situation.pop("instruments")
    distance = told(*instruments, **situation)
    assert (distance.text, distance.words) == ("–", words)


def test_margins_that_are_off_are_left_out():
    assert margins_of(10.0, 5.0) == (5.0, 10.0)
    assert margins_of(0.0, 5.0) == margins_of(5.0, 5.0) == (5.0,)
    assert margins_of(0.0, 0.0) == ()


def test_row_tells_what_has_become_of_the_lesion_and_what_its_segmentation_is_worth():
    change = str(Change(0.6, 2.1))
    row = replace(ROW, shift_mm=1.24, change=0.031, refined=change, expected_dice=0.812)
    cells = lesion_cells([row])
    assert [cells[0, column][0] for column in range(5)] == ["Segment VII", "2.1 ml", "16 × 16 × 16 mm", "▲ medium", "–"]
    assert details_of(row, True).splitlines() == [
        "up to date",
        "refined: the segmentation moved by 0.6 mm, 2.1 mm at most",
        "expected Dice 0.81, simulated",
        "in 1.2 s, volume of just now",
        "moved 1.2 mm, +3 %",
    ]


@pytest.mark.parametrize(("change", "text"), [(0.004, "±0 %"), (-0.12, "−12 %"), (0.5, "+50 %")])
def test_growth_has_its_sign(change, text):
    assert details_of(replace(ROW, shift_mm=0.0, change=change)).endswith(f"moved 0.0 mm, {text}")


@pytest.mark.parametrize(
    ("is_simulated", "words"), [(True, "simulated"), (False, "patients"), (None, "origin unknown")]
)
def test_confidence_says_on_whom_it_was_measured(is_simulated, words):
    assert f"expected Dice 0.81, {words}" in details_of(replace(ROW, expected_dice=0.81), is_simulated)
    assert "Dice" not in details_of(ROW, is_simulated)


def test_unreliable_reason_is_low_and_takes_the_place_of_what_the_mask_touches():
    row = replace(ROW, unreliable_reason=CUT_OFF, warnings=(TOUCHES_EDGE, "made with another model: old"))
    assert details_of(row).splitlines()[0] == f"{CUT_OFF}; made with another model: old"
    assert badge_of(row) == (State.ERROR, "low")


def test_segmentation_that_is_being_renewed_is_not_called_old():
    row = replace(ROW, is_renewing=True, state=LesionState.RUNNING, stage="inference")
    assert details_of(row).splitlines()[0] == "being renewed"


def test_recording_that_stands_still_is_no_fault_of_the_tracker():
    silent = Reason(ReasonCode.NO_RECENT_POSE, {"seconds": 44.7})
    displayed = Situation((tool("Stylus", unreliable_reason=silent), tool("Probe", unreliable_reason=silent))).displayed
    assert distance_text_of(displayed, ()).words == "Stylus: no pose for 44.7 s; Probe: no pose for 44.7 s"
    assert distance_text_of(displayed, (), "the recorded case is paused").words == "the recorded case is paused"
    lost = Situation((tool("Stylus", unreliable_reason=LOST),)).displayed
    assert distance_text_of(lost, (), "the recorded case is paused").words == "Stylus: not tracked"
