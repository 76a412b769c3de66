"""What the page says of navigation and stability: distances have their interval, all else its unit."""

from __future__ import annotations

import re

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.reports import page_process as report_page
from CRLMSegmentationLib.reports.lesion_page import write_report
from CRLMSegmentationLib.reports.navigation_entry import stability_entry
from CRLMSegmentationLib.reports.schema import NAVIGATION_KEYS, STABILITY_KEYS, check_report
from CRLMSegmentationLib.segmentation.consensus import Consensus

PNG = b"\x89PNG\r\n\x1a\nnot really"
DRAWN = dict.fromkeys(("slices", "view3d", "approach", "margins", "stability"), PNG)
NEAR = {
    "instrument": "Stylus",
    "kind": "pointer",
    "distance_mm": 12.2,
    "low_mm": 8.9,
    "high_mm": 15.8,
    "time_s": 1700000008.0,
    "pose": np.eye(4).tolist(),
    "tip_ras_mm": [0.0, 0.0, 0.0],
    "point_ras_mm": [12.2, 0.0, 0.0],
    "margin_mm": None,
    "margins_mm": [5.0, 7.5],
    "doubts": [],
}
WITHHELD = {
    **dict.fromkeys(NAVIGATION_KEYS),
    "margins_mm": [],
    "doubts": [{"instrument": "Stylus", "doubt": "not tracked", "seconds": 3.25}],
}
STABLE = {
    "runs": 8,
    "agreement": 0.834,
    "spread_mm": 1.27,
    "confidence": 0.91,
    "calibration": {"lesions": 90, "patients": 60, "simulated": True},
    "change": None,
}


@pytest.fixture
def text_of(tmp_path):
    def render(report, figures=DRAWN) -> str:
        write_report(tmp_path / "report.html", report, figures, {})
        source = (tmp_path / "report.html").read_text("utf-8")
        body = re.sub(r"<style>.*?</style>", "", source, flags=re.DOTALL)
        return " ".join(re.sub(r"<[^>]+>", " ", body).split())

    return render


def test_distance_stands_with_its_interval_its_instrument_and_its_margins(lesion, report_of, text_of):
    text = text_of(report_of(lesion, navigation=NEAR))
    assert "Smallest distance" in text
    assert "12 mm (9–16)" in text
    assert "Stylus pointer" in text
    assert "shown: 5 mm and 7.5 mm none" in text
    assert "14 November 2023, 22:13:28 UTC" in text
    assert "No distance was withheld." in text


def test_distance_never_stands_without_its_interval(lesion, report_of, text_of):
    text = text_of(report_of(lesion, navigation=NEAR))
    assert len(re.findall(r"\b12(\.2)? mm", text)) == text.count("12 mm (9–16)") > 0


def test_margin_that_was_entered_is_named(lesion, report_of, text_of):
    assert "shown: 5 mm and 7.5 mm 7.5 mm" in text_of(report_of(lesion, navigation={**NEAR, "margin_mm": 7.5}))


def test_distance_that_was_never_trusted_is_not_shown_but_why(lesion, report_of, text_of):
    text = text_of(report_of(lesion, navigation=WITHHELD))
    assert "No distance to Lesion 1 was to be trusted" in text
    assert "Stylus: not tracked 3.2 s" in text
    assert "Smallest distance" not in text


def test_doubt_of_the_segmentation_is_that_of_the_lesion(lesion, report_of, text_of):
    unreliable_reasons = [{"instrument": "", "doubt": "cut off by the crop", "seconds": 1.0}]
    text = text_of(report_of(lesion, navigation={**NEAR, "doubts": unreliable_reasons}))
    assert "Withheld for Lesion 1: cut off by the crop 1.0 s" in text


@pytest.mark.parametrize(("simulated", "said"), [(True, True), (False, False), (None, False)])
def test_simulated_poses_are_called_so(lesion, report_of, text_of, simulated, said):
    text = text_of(report_of(lesion, navigation=NEAR, simulated=simulated))
    assert ("the poses and the tumour come from a phantom" in text) is said


def test_stability_has_units_and_tells_what_is_not_known(lesion, report_of, text_of):
    text = text_of(report_of(lesion, stability=STABLE))
    for part in ("8 times", "0.83", "1.3 mm", "0.91 as measured on 90 lesions of 60 simulated patients"):
        assert part in text
    assert "Refined by" not in text
    refined = {**dict.fromkeys(STABILITY_KEYS), "change": {"mean_mm": 0.61, "largest_mm": 2.14}}
    text = text_of(report_of(lesion, stability=refined))
    assert "Refined by 0.6 mm" in text
    assert "2.1 mm at most" in text
    assert "Expected Dice" not in text
    real = {**STABLE, "calibration": {**STABLE["calibration"], "simulated": False}}
    assert "on 90 lesions of 60 patients" in text_of(report_of(lesion, stability=real))
    unknown = text_of(report_of(lesion, stability={**STABLE, "confidence": None, "calibration": None}))
    assert "— this model has no calibration" in unknown


def test_page_without_tracking_and_second_looks_speaks_of_neither(lesion, report_of, text_of):
    text = text_of(report_of(lesion))
    assert "Navigation" not in text
    assert "Stability" not in text


def test_picture_that_was_not_drawn_has_its_reason(lesion, report_of, text_of):
    figures = {**DRAWN, "approach": "OpenGL does not work here"}
    text = text_of(report_of(lesion, navigation=NEAR), figures)
    assert "No picture OpenGL does not work here" in text
    assert text_of(report_of(lesion, navigation=NEAR, stability=STABLE), {}).count("It was not drawn") == 5


def test_names_from_outside_are_escaped(lesion, report_of, tmp_path):
    evil = "<script>alert('x')</script>"
    unreliable_reasons = [{"instrument": evil, "doubt": evil, "seconds": 1.0}]
    report = report_of(lesion, navigation={**NEAR, "instrument": evil, "kind": evil, "doubts": unreliable_reasons})
    write_report(tmp_path / "report.html", report, DRAWN, {})
    assert "<script" not in (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.parametrize(("where", "entry", "key"), [("navigation", NEAR, "low_mm"), ("stability", STABLE, "runs")])
def test_missing_key_is_named(lesion, report_of, where, entry, key):
    report = report_of(lesion, **{where: dict(entry)})
    del report[where][key]
    with pytest.raises(CrlmError, match=f"{where} lacks {key}"):
        check_report(report)


def test_page_of_another_process_draws_the_same(lesion, report_of, tmp_path, monkeypatch):
    """The module writes its page elsewhere: all that the pictures need comes along."""
    drawn = []

    def remember(shown, surface, approach, margins, consensus, simulated):
        drawn.append((approach, sorted(margins), consensus, simulated))
        return {"approach": PNG, "margins": PNG}

    monkeypatch.setattr(report_page, "three_slices", lambda lesion: PNG)
    monkeypatch.setattr(report_page, "lesion_in_space", lambda *_: PNG)
    monkeypatch.setattr(report_page, "navigation_figures", remember)
    consensus = Consensus(lesion.mask[8:15, 9:15, 10:18], lesion.truth[8:15, 9:15, 10:19], (8, 9, 10), 8, 0.8, 1.1)
    entries = [
        report_of(lesion, lesion="Tumour 1", navigation=NEAR, simulated=True),
        report_of(lesion, lesion="Tumour 2", navigation=WITHHELD, stability=stability_entry(consensus)),
    ]
    report_page.save_input(tmp_path / "input.npz", entries, {}, [lesion, lesion], [None, consensus])
    report_page.write_page(tmp_path / "input.npz", tmp_path / "report.html")
    (near, widths_mm, none, simulated), (no_approach, no_margins, after, _) = drawn
    assert str(near.interval) == "12 mm (9–16)"
    assert (widths_mm, none, simulated) == ([5.0, 7.5], None, True)
    assert (no_approach, no_margins) == (None, [])
    assert (after.offset_kji, after.runs, after.agreement, after.spread_mm) == ((8, 9, 10), 8, 0.8, 1.1)
    np.testing.assert_array_equal(after.inner, consensus.inner)
    np.testing.assert_array_equal(after.outer, consensus.outer)
    assert (tmp_path / "report.html").read_text("utf-8").count("data:image/png") == 6
