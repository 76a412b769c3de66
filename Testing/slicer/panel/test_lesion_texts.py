"""One line for each lesion: how reliable its segmentation is, and the distance to it; details beside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.reasons import Reason, ReasonCode
from CRLMSegmentationLib.slicer.panel.lesion_texts import badge_of, details_of, lesion_distances
from CRLMSegmentationLib.slicer.rich_text import plain_line
from CRLMSegmentationLib.slicer.workspace.lesion import CORRECTED, LesionRow, LesionState
from CRLMSegmentationLib.tracking.instruments import Instrument, InstrumentKind
from CRLMSegmentationLib.tracking.interval import Interval
from CRLMSegmentationLib.tracking.readings import InstrumentState, Reading, ReliableReading
from CRLMSegmentationLib.tracking.situation import Situation

ROW = LesionRow(
    lesion="Tumour 1",
    name="Tumour 1",
    colour=(0.9, 0.6, 0.0),
    state=LesionState.DONE,
    is_current=True,
    volume_ml=2.1,
    diameters_mm=(24.4, 18.0, 15.6),
    seconds=1.4,
    volume_age_s=3.0,
    warnings=(),
    volume_warnings=(),
    reason="",
    stage="",
    done=0,
    total=0,
    elapsed_s=0.0,
    expected_dice=0.9,
)
CUT_OFF = Reason(ReasonCode.CUT_OFF)


@pytest.mark.parametrize(
    ("changes", "badge"),
    [
        ({}, "● high"),
        ({"expected_dice": 0.84}, "● high"),
        ({"expected_dice": 0.83}, "▲ medium"),
        ({"expected_dice": 0.7}, "▲ medium"),
        ({"expected_dice": 0.69}, "■ low"),
        ({"expected_dice": None}, "○ not rated"),
        ({"warnings": ("the seed is not in it",)}, "▲ medium"),
        ({"warnings": ("the seed is not in it",), "expected_dice": 0.5}, "■ low"),
        ({"unreliable_reason": CUT_OFF}, "■ low"),
        ({"warnings": (CORRECTED,), "expected_dice": None}, "◆ by hand"),
        ({"is_current": False}, "○ out of date"),
        ({"is_current": False, "unreliable_reason": CUT_OFF}, "○ out of date"),
        ({"is_renewing": True}, "○ being renewed"),
        ({"state": LesionState.UNPLACED, "volume_ml": None}, "○ no seed yet"),
        ({"state": LesionState.NEW, "volume_ml": None}, "○ not segmented"),
        ({"state": LesionState.WAITING}, "○ waiting"),
        ({"state": LesionState.RUNNING}, "○ segmenting"),
        ({"state": LesionState.FAILED, "volume_ml": None}, "■ failed"),
        ({"state": LesionState.FAILED}, "■ failed"),
        ({"volume_warnings": ("what was not imaged could not be recognised",)}, "● high"),
    ],
)
def test_badge_says_how_reliable_a_segmentation_is(changes, badge):
    assert plain_line(*badge_of(replace(ROW, **changes))) == badge


def test_details_say_what_the_line_leaves_out():
    row = replace(ROW, refined="the segmentation moved by 0.2 mm", shift_mm=1.25, change=-0.1)
    assert details_of(row, is_simulated=True).split("\n") == [
        "up to date",
        "the segmentation moved by 0.2 mm",
        "expected Dice 0.90, simulated",
        "in 1.4 s, volume of just now",
        "moved 1.2 mm, −10 %",
    ]


def reading(lesion, distance_mm, reason=None):
    interval = None if reason is not None else Interval(distance_mm, distance_mm - 3, distance_mm + 3)
    kind = Reading if interval is None else ReliableReading
    return kind(lesion, lesion, interval, np.zeros(3), None, reason, distance_mm)


def instrument(frame, *readings, reason=None):
    return InstrumentState(Instrument(frame, InstrumentKind.POINTER), np.eye(4), np.zeros(3), reason, readings)


def shown(*states):
    found = lesion_distances(Situation(states))
    return {lesion: (state.instrument.frame, pair.interval.distance_mm) for lesion, (state, pair) in found.items()}


def test_each_lesion_has_the_distance_of_its_nearest_instrument():
    stylus = instrument("Stylus", reading("A", 7.0), reading("B", 20.0))
    dissector = instrument("Dissector", reading("B", 9.0), reading("A", 30.0))
    assert shown(stylus, dissector) == {"A": ("Stylus", 7.0), "B": ("Dissector", 9.0)}


def test_lost_instrument_gives_no_distance():
    assert shown(instrument("Stylus", reason=Reason(ReasonCode.NOT_TRACKED))) == {}


def test_no_distance_is_shown_while_an_unreliable_lesion_may_be_nearer():
    assert shown(instrument("Stylus", reading("B", 5.0, CUT_OFF), reading("A", 7.0))) == {}


def test_lesion_that_is_withheld_has_no_distance_beside_others():
    assert shown(instrument("Stylus", reading("A", 7.0), reading("B", 30.0, CUT_OFF))) == {"A": ("Stylus", 7.0)}
