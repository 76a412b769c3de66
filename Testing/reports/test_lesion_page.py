from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.metrics import METRICS
from CRLMSegmentationLib.reports import page_process as report_page
from CRLMSegmentationLib.reports.lesion_page import write_report
from CRLMSegmentationLib.reports.metric_names import METRIC_NAMES
from CRLMSegmentationLib.reports.schema import TIMINGS
from helpers.point_helpers import exclude, include

PNG = b"\x89PNG\r\n\x1a\nnot really"
IMAGES = {"slices": PNG, "view3d": PNG}
CARD = {"name": "crlm-crop", "trained_on": {"kind": "simulated", "cases": 120}, "limits": ["never saw a patient"]}


class _Page(HTMLParser):
    """Text, and what the page would load."""

    VOID = ("meta", "img", "br", "link", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.text, self.loads, self.tags, self.open = "", [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [
            value for name, value in attrs if name in ("src", "srcset", "data") or (tag == "link" and name == "href")
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text += " " + data


@pytest.fixture
def page_of(tmp_path):
    def render(report, figures=IMAGES, card=CARD) -> tuple[str, _Page]:
        write_report(tmp_path / "report.html", report, figures, card)
        source = (tmp_path / "report.html").read_text("utf-8")
        page = _Page()
        page.feed(source)
        assert not page.open
        page.text = " ".join(page.text.split())
        return source, page

    return render


def test_provenance_lists_the_points_that_have_corrected_a_lesion(lesion, report_of, page_of):
    _, page = page_of(report_of(lesion, points=(include(1, 2, 3), exclude(4, 5, -6))))
    assert "Points, R A S include 1.0 2.0 3.0 mm exclude 4.0 5.0 -6.0 mm" in page.text
    assert "Points" not in page_of(report_of(lesion))[1].text


def test_page_of_a_network_that_saw_everything_speaks_of_no_crop(lesion, report_of, page_of):
    _, page = page_of(report_of(lesion))
    assert "Crop around the seed 20 mm" in page.text
    assert "In the corner: volume, and crop (dashed)." in page.text
    _, page = page_of(report_of(replace(lesion, crop_size_mm=None), metrics_region="the whole volume"))
    assert "The network saw the whole volume" in page.text
    assert "Crop around" not in page.text
    assert "In the corner: volume." in page.text
    assert "over the crop" not in page.text


def test_lesions_are_drawn_elsewhere_with_and_without_a_crop(lesion, report_of, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(report_page, "three_slices", lambda lesion: drawn.append(lesion) or PNG)
    monkeypatch.setattr(report_page, "_view", lambda *_: "not drawn")
    lesions = [lesion, replace(lesion, crop_size_mm=None)]
    entries = [report_of(shown, lesion=f"Tumour {number}") for number, shown in enumerate(lesions)]
    report_page.save_input(tmp_path / "input.npz", entries, CARD, lesions)
    report_page.write_page(tmp_path / "input.npz", tmp_path / "report.html")
    assert [shown.crop_size_mm for shown in drawn] == [20.0, None]


def test_page_says_what_was_found_with_what(lesion, report_of, page_of):
    report = report_of(lesion)
    _, page = page_of(report)
    for text in (
        "phantom-0001",
        "crlm-crop",
        "3f9a3f9a",
        "nnU-Net v2",
        "cpu (2 threads)",
        "Date 2 January 2026, 03:04",
    ):
        assert text in page.text
    assert f"{report['volume_ml']:.1f} ml" in page.text
    assert "recvol_Reference" in page.text
    assert lesion.volume.identity.content_sha256 in page.text


def test_every_metric_and_timing_has_its_row(lesion, report_of, page_of):
    _, page = page_of(report_of(lesion, metrics_region="the crop of 20 mm"))
    for name in (METRIC_NAMES[key].label for key in METRICS):
        assert name in page.text
    for name in TIMINGS:
        assert name.replace("_", " ") in page.text
    assert "over the crop of 20 mm" in page.text
    assert "0.875" in page.text


def test_page_loads_nothing_from_anywhere(lesion, report_of, page_of):
    source, page = page_of(report_of(lesion))
    assert len(page.loads) == 2
    assert all(value.startswith("data:image/png;base64,") for value in page.loads)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert not re.search(r"https?://|@import|url\(", source)


def test_text_from_outside_is_escaped(lesion, report_of, page_of):
    evil = "<script>alert('x')</script>"
    report = report_of(lesion, case_id=evil, lesion=evil, device=evil, model_name=evil, metrics_region=evil)
    report["warnings"] = [evil]
    report["versions"] = {evil: evil}
    report["volume_identity"]["device"] = evil
    source, page = page_of(
        [report, report], {f"{evil}/slices": PNG, f"{evil}/view3d": evil}, {evil: {evil: [evil, {evil: evil}]}}
    )
    assert "script" not in page.tags
    assert "<script" not in source
    assert "&lt;script&gt;" in source


def test_warnings_stand_before_the_figures(lesion, report_of, page_of):
    report = report_of(lesion)
    report["warnings"] = ["touches the crop edge: the tumour may be larger"]
    _, page = page_of(report)
    assert page.text.index("Touches the crop edge: the tumour may be larger") < page.text.index("mean probability")


def test_without_warnings_there_is_no_warning_box(lesion, report_of, page_of):
    source, page = page_of(report_of(lesion))
    assert "Check before you rely" not in page.text
    assert 'role="alert"' not in source


def test_without_truth_the_page_says_so(lesion, report_of, page_of):
    _, page = page_of(report_of(replace(lesion, truth=None)))
    assert "The ground truth is not known" in page.text
    assert "Dice" not in page.text


def test_nothing_found_still_makes_a_page(lesion, report_of, page_of):
    _, page = page_of(report_of(replace(lesion, mask=lesion.mask & False)))
    assert "Nothing found: move the seed" in page.text
    assert "0.0 ml" in page.text
    assert "—" in page.text


def test_missing_picture_is_replaced_by_its_reason(lesion, report_of, page_of):
    _, page = page_of(report_of(lesion), {"slices": PNG, "view3d": "OpenGL does not work here; install EGL"})
    assert len(page.loads) == 1
    assert "No picture OpenGL does not work here; install EGL" in page.text
    _, page = page_of(report_of(lesion), {})
    assert page.text.count("It was not drawn") == 2


def test_each_lesion_has_its_own_pictures(lesion, report_of, page_of):
    reports = [report_of(lesion), report_of(replace(lesion, truth=None), lesion="Segment VII")]
    figures = {"Lesion 1/slices": PNG, "Lesion 1/view3d": PNG, "Segment VII/slices": PNG + b"2"}
    source, page = page_of(reports, figures)
    assert len(set(page.loads)) == 2
    assert page.text.count("It was not drawn") == 1
    assert 'href="#lesion-2"' in source
    assert 'id="lesion-2"' in source


@pytest.mark.parametrize(("simulated", "expected"), [(True, True), (False, False), (None, False)])
def test_banner_names_simulated_data_and_always_the_clinical_limit(lesion, report_of, page_of, simulated, expected):
    _, page = page_of(report_of(lesion, simulated=simulated))
    assert ("Simulated data" in page.text) is expected
    assert "not for clinical use" in page.text


def test_model_card_is_shown_as_it_is(lesion, report_of, page_of):
    _, page = page_of(report_of(lesion))
    for text in ("Trained on", "simulated", "120", "never saw a patient"):
        assert text in page.text
    nested = {"trained_on": {"started_from": {"name": "older", "trained_on": {"patients": 77}}}, "sizes": [1, 2]}
    _, page = page_of(report_of(lesion), card=nested)
    for text in ("Started from", "older", "Patients 77", "1, 2"):
        assert text in page.text
    _, page = page_of(report_of(lesion), card={})
    assert "came without a card" in page.text


def test_report_that_lacks_a_key_writes_no_page(lesion, report_of, tmp_path):
    report = report_of(lesion)
    del report["versions"]
    with pytest.raises(CrlmError, match="lacks versions"):
        write_report(tmp_path / "report.html", report, IMAGES, CARD)
    assert not (tmp_path / "report.html").exists()


def test_documented_keys_alone_are_enough(lesion, report_of, page_of):
    from CRLMSegmentationLib.reports.schema import KEYS

    report = report_of(lesion)
    _, page = page_of({key: report[key] for key in KEYS})
    assert "Lesion 1" in page.text
