"""Which tools the names of transforms tell of, as PLUS and SlicerIGT give them."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.tracking.instruments import Instrument, InstrumentKind, instruments_in


def found(*names, roles=None):
    return [(instrument.frame, instrument.kind.value) for instrument in instruments_in(names, roles)]


def test_names_tell_which_tools_there_are():
    names = ["StylusTipToStylus", "StylusToReference", "ProbeToTracker", "ReferenceToTracker", "ImageToProbe", "RVol_1"]
    assert instruments_in([*names, "CusaToTracker"]) == [
        Instrument("Cusa", InstrumentKind.DISSECTOR),
        Instrument("Probe", InstrumentKind.PROBE),
        Instrument("StylusTip", InstrumentKind.POINTER),
    ]


def test_roles_of_a_case_go_before_what_names_suggest():
    roles = {"dissector": "StylusToReference", "liver_sensor": "ReferenceToTracker"}
    assert found("StylusToReference", roles=roles) == [("Stylus", "dissector")]
    assert found("StylusToReference", "StylusTipToStylus", roles=roles) == [("StylusTip", "dissector")]
    assert found("PhantomToReference", roles={"pointer": "PhantomToReference"}) == [("Phantom", "pointer")]


@pytest.mark.parametrize(
    "names",
    [
        ["StylusTipToReference"],
        ["StylusTipToReference", "StylusToReference"],
        ["StylusTipToTracker", "StylusToTracker", "ReferenceToTracker"],
        ["StylusTipToStylus", "StylusToReference", "StylusTipToReference"],
        ["StylusTipToStylus", "StylusToReference", "StylusModelToStylusTip"],
    ],
)
def test_calibrated_tip_stands_for_its_tool_however_it_is_told_of(names):
    assert found(*names) == [("StylusTip", "pointer")]


def test_parts_and_models_of_a_tool_are_no_tools():
    assert found("NeedleTipToNeedle", "NeedleToReference", "NeedleBaseToNeedle") == [("NeedleTip", "pointer")]
    assert found("StylusModelToReference", "NeedleBaseToTracker") == []


def test_what_stands_still_or_belongs_to_pictures_is_no_tool():
    still = ["PhantomToReference", "RasToReference", "RASToReference", "LPSToReference", "LiverToTracker"]
    pictures = ["ImageToReference", "TransducerOriginToTracker", "ImageToTransducerOriginPixel"]
    calibration = ["TransducerOriginPixelToProbe", "WorldToReference", "ReferenceToTracker", "TrackerToReference"]
    assert found(*still, *pictures, *calibration) == []


def test_tool_that_nothing_places_is_none():
    assert found("StylusTipToStylus", "CauteryToNeedle") == []


def test_transducer_is_a_probe():
    assert found("TransdToReference", "TransducerToTracker") == [("Transd", "probe"), ("Transducer", "probe")]
