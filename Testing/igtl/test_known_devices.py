"""Which names of a peer are kept when there are too many of them."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.igtl.known_devices import KnownTools
from CRLMSegmentationLib.tracking.transforms import frames_of

TRACKED = ("ProbeToTracker", "ReferenceToTracker", "StylusToTracker")


@pytest.fixture
def tools():
    return KnownTools(8, frames_of, frozenset({"Tracker", "Reference"}))


def forgotten(tools, *names):
    return {gone for name in names if (gone := tools.note(name)) is not None}


def test_invented_calibrations_drive_out_no_tool_that_is_tracked(tools):
    gone = set()
    for number in range(300):
        gone |= forgotten(tools, *TRACKED, f"Marker{number}ToProbe")
    assert gone.isdisjoint(TRACKED)
    assert len(tools) == 8


def test_invented_calibrations_do_not_drive_out_one_that_was_sent_before(tools):
    forgotten(tools, "StylusTipToStylus")
    for number in range(300):
        forgotten(tools, *TRACKED, f"Marker{number}ToProbe")
    assert "StylusTipToStylus" in tools


def test_calibration_whose_tool_is_gone_is_forgotten(tools):
    forgotten(tools, "StylusToTracker", "StylusTipToStylus", *(f"Tool{n}ToTracker" for n in range(20)))
    assert "StylusToTracker" not in tools
    assert "StylusTipToStylus" not in tools
