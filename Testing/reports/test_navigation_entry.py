"""The moment at which an instrument was nearest: kept, written down, and read again."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.reasons import Reason, ReasonCode
from CRLMSegmentationLib.reports.navigation_entry import approach_from, navigation_entry, stability_entry
from CRLMSegmentationLib.reports.schema import NAVIGATION_KEYS, STABILITY_KEYS, write_json
from CRLMSegmentationLib.segmentation.calibration import ModelCalibration
from CRLMSegmentationLib.segmentation.consensus import Consensus
from CRLMSegmentationLib.segmentation.refinement import CUT_OFF, Change
from CRLMSegmentationLib.tracking.closest_approach import Approaches
from CRLMSegmentationLib.tracking.instruments import Instrument, InstrumentKind
from CRLMSegmentationLib.tracking.interval import Interval
from CRLMSegmentationLib.tracking.readings import InstrumentState, Reading, ReliableReading
from CRLMSegmentationLib.tracking.situation import Situation

STYLUS = Instrument("Stylus", InstrumentKind.POINTER, (0.0, 0.0, 20.0))
LOST = Reason(ReasonCode.NOT_TRACKED)


def reading_of(distance_mm: float, lesion: str = "Tumour 1", margin_mm: float | None = None) -> Reading:
    interval = Interval(distance_mm, distance_mm - 2, distance_mm + 3)
    return ReliableReading(lesion, lesion, interval, np.array([distance_mm, 0.0, 0.0]), margin_mm)


def withheld(unreliable_reason: Reason, lesion: str = "Tumour 1") -> Reading:
    return Reading(lesion, lesion, None, np.zeros(3), 5.0, unreliable_reason)


def situation_of(
    *readings: Reading, unreliable_reason: Reason | None = None, instrument: Instrument = STYLUS
) -> Situation:
    matrix = np.eye(4)
    matrix[:3, 3] = [1, 2, 3]
    tip = matrix[:3, :3] @ instrument.tip_mm + matrix[:3, 3]
    return Situation((InstrumentState(instrument, matrix, tip, unreliable_reason, readings),))


@pytest.fixture
def approaches() -> Approaches:
    return Approaches()


def test_smallest_distance_of_each_lesion_is_kept_with_its_moment(approaches):
    for now_s, mm, other_mm in ((0.0, 12.0, 30.0), (0.1, 7.0, 31.0), (0.2, 9.0, 32.0)):
        approaches.update(situation_of(reading_of(mm), reading_of(other_mm, "Tumour 2")), now_s, 1000 + now_s)
    entry = navigation_entry(approaches, "Tumour 1", (10.0, 5.0))
    assert (entry["instrument"], entry["kind"]) == ("Stylus", "pointer")
    assert (entry["distance_mm"], entry["low_mm"], entry["high_mm"]) == (7.0, 5.0, 10.0)
    assert entry["time_s"] == pytest.approx(1000.1)
    assert entry["margins_mm"] == [5.0, 10.0]
    assert entry["tip_ras_mm"] == [1.0, 2.0, 23.0]
    assert navigation_entry(approaches, "Tumour 2", ())["distance_mm"] == 30.0


def test_narrowest_margin_is_told_even_where_the_tip_was_not_nearest_then(approaches):
    """Another instrument may hold a margin a little longer, by the hysteresis."""
    approaches.update(situation_of(reading_of(5.2, margin_mm=5.0)), 0.0)
    approaches.update(situation_of(reading_of(5.1, margin_mm=10.0)), 0.1)
    entry = navigation_entry(approaches, "Tumour 1", (5.0, 10.0))
    assert (entry["distance_mm"], entry["margin_mm"]) == (5.1, 5.0)


def test_withheld_distance_counts_as_none(approaches):
    approaches.update(situation_of(withheld(CUT_OFF)), 0.0)
    approaches.update(situation_of(unreliable_reason=LOST), 0.5)
    approaches.update(situation_of(unreliable_reason=LOST), 0.75)
    entry = navigation_entry(approaches, "Tumour 1", (5.0,))
    assert entry["distance_mm"] is entry["instrument"] is entry["margin_mm"] is None
    assert entry["doubts"] == [
        {"instrument": "Stylus", "doubt": "not tracked", "code": "not-tracked", "seconds": 0.25},
        {"instrument": "", "doubt": str(CUT_OFF), "code": "cut-off", "seconds": 0.5},
    ]
    assert approach_from(entry, "Tumour 1") is None


def test_doubt_of_a_segmentation_that_is_farther_belongs_to_its_lesion_alone(approaches):
    far = replace(withheld(CUT_OFF), measured_mm=50.0, margin_mm=None)
    approaches.update(situation_of(reading_of(8.0, "Tumour 2"), far), 0.0)
    approaches.update(situation_of(reading_of(8.0, "Tumour 2")), 1.0)
    assert navigation_entry(approaches, "Tumour 2", ())["doubts"] == []
    assert [d["seconds"] for d in navigation_entry(approaches, "Tumour 1", ())["doubts"]] == [1.0]


def test_distance_that_was_not_shown_since_an_unreliable_lesion_was_nearer_counts_as_none(approaches):
    approaches.update(situation_of(withheld(CUT_OFF), reading_of(8.0, "Tumour 2")), 0.0)
    approaches.update(situation_of(reading_of(9.0, "Tumour 2")), 1.0)
    entry = navigation_entry(approaches, "Tumour 2", ())
    assert entry["distance_mm"] == 9.0
    (unreliable_reason,) = entry["doubts"]
    assert (unreliable_reason["instrument"], unreliable_reason["code"], unreliable_reason["seconds"]) == (
        "",
        ReasonCode.NEARER_UNRELIABLE.value,
        1.0,
    )
    assert "Tumour 1" in unreliable_reason["doubt"]


def test_reason_whose_number_grows_is_one_doubt(approaches):
    for tenth in range(6, 12):
        approaches.update(
            situation_of(unreliable_reason=Reason(ReasonCode.NO_RECENT_POSE, {"seconds": tenth / 10})), tenth / 10
        )
    (unreliable_reason,) = navigation_entry(approaches, "Tumour 1", ())["doubts"]
    assert (unreliable_reason["doubt"], unreliable_reason["code"], unreliable_reason["seconds"]) == (
        "no pose for 1.0 s",
        "no-recent-pose",
        0.5,
    )


def test_room_without_instruments_has_no_navigation(approaches):
    approaches.update(Situation(), 0.0)
    assert navigation_entry(approaches, "Tumour 1", (5.0,)) is None
    assert approaches.nearest_of("Tumour 1") is None


def test_moment_is_the_same_after_it_was_written_and_read(approaches, lesion, report_of, tmp_path):
    approaches.update(situation_of(reading_of(-3.0, margin_mm=5.0)), 0.0)
    report = report_of(lesion, navigation=navigation_entry(approaches, "Tumour 1", (5.0,)))
    write_json(tmp_path / "report.json", report)
    written = json.loads((tmp_path / "report.json").read_text("utf-8"))["navigation"]
    before, after = approaches.nearest_of("Tumour 1"), approach_from(written, "Tumour 1")
    assert after.interval == before.interval
    assert after.state.instrument == before.state.instrument
    assert after.time_s == 0.0
    for of in (lambda a: a.state.matrix, lambda a: a.state.tip_ras_mm, lambda a: a.reading.point_ras_mm):
        np.testing.assert_allclose(of(after), of(before))


def test_all_that_is_written_is_documented(approaches):
    approaches.update(situation_of(reading_of(4.0)), 0.0)
    assert set(navigation_entry(approaches, "Tumour 1", ())) == set(NAVIGATION_KEYS)
    consensus = Consensus(np.ones((1, 1, 1), bool), np.ones((1, 1, 1), bool), (0, 0, 0), 8, 0.8, 1.2)
    assert set(stability_entry(consensus)) == set(STABILITY_KEYS)


def test_stability_tells_what_there_is():
    consensus = Consensus(np.ones((1, 1, 1), bool), np.ones((1, 1, 1), bool), (0, 0, 0), 8, 0.8, 1.2)
    measured = ModelCalibration((0.0, 1.0), (0.5, 1.0), 2.0, 90, 60, True)
    entry = stability_entry(consensus, Change(0.4, 2.0), 0.87, measured)
    assert entry["calibration"] == {"lesions": 90, "patients": 60, "simulated": True}
    assert stability_entry(consensus, None, None, measured)["calibration"] is None
    assert (entry["runs"], entry["agreement"], entry["spread_mm"], entry["confidence"]) == (8, 0.8, 1.2, 0.87)
    assert entry["change"] == {"mean_mm": 0.4, "largest_mm": 2.0}
    refined = stability_entry(None, Change(0.4, 2.0))
    assert (refined["runs"], refined["change"]["mean_mm"]) == (None, 0.4)
    assert stability_entry(None) is None
