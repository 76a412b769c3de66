"""The report of a recorded session: a real room, real files and real pictures; engine, tracker and clock are stubs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError, CrlmError
from CRLMSegmentationLib.core.hashing import sha256_of
from CRLMSegmentationLib.core.points import PointKind
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.recording import session_events as kinds
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.recording.session_events import EVENTS_FILE, SessionEvent
from CRLMSegmentationLib.recording.session_reader import SessionReader
from CRLMSegmentationLib.reports import session_report
from CRLMSegmentationLib.reports.session_document import KEYS
from CRLMSegmentationLib.reports.session_plot import session_plot
from CRLMSegmentationLib.reports.session_report import make_report, summary_of
from CRLMSegmentationLib.reports.session_table import rows_of
from CRLMSegmentationLib.slicer.workspace.workspace_recorder import report_command
from helpers.session_helpers import CLICK_MODEL, TYPED, RecordedRoom, play

PNG = b"\x89PNG\r\n\x1a\n"


def ball() -> Volume:
    """A dark ball of 8 mm radius at RAS (20, 20, 20) in bright speckle, 1 mm voxels."""
    k, j, i = np.indices((40, 40, 40))
    inside = (k - 20) ** 2 + (j - 20) ** 2 + (i - 20) ** 2 < 64
    array = np.where(inside, 40, 120) + np.random.default_rng(1).integers(-20, 20, inside.shape)
    return Volume(array.astype(np.uint8), np.eye(4), "recvol_Reference", 100.0)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A session that was not ended, its lock still there; nobody may write there."""
    made = play(tmp_path_factory.mktemp("sessions") / "Mustermann^Erika", ball())
    made.leave()
    yield made.folder
    made.recording.end()


@pytest.fixture
def copied(killed: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(killed, tmp_path / "session"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without drawing lesions; their volumes and masks are read all the same."""
    monkeypatch.setattr(session_report, "three_slices", lambda lesion: PNG)
    monkeypatch.setattr(session_report, "lesion_in_space", lambda *_: PNG)


def test_page_tells_the_points_of_a_lesion(tmp_path: Path, quick: None) -> None:
    made = RecordedRoom(tmp_path / "session", model=CLICK_MODEL)
    made.send(ball())
    made.segment("Tumour 1")
    for kind, place in ((PointKind.EXCLUDE, (26.0, 20.0, 20.0)), (PointKind.INCLUDE, (20.0, 28.0, 20.0))):
        made.workspace.clicks.add_point(kind, np.array(place))
        made.segment("Tumour 1")
    made.recording.end()
    made.leave()
    document, page = report_of(tmp_path / "session", tmp_path / "report")
    assert lesion_of(document, "Tumour 1")["outline"]["points"] == [
        {"kind": "exclude", "ras_mm": [26.0, 20.0, 20.0]},
        {"kind": "include", "ras_mm": [20.0, 28.0, 20.0]},
    ]
    assert "exclude <code>26.0  20.0  20.0</code> mm<br>include <code>20.0  28.0  20.0</code> mm" in page
    told = [(row["what"], row["detail"]) for row in document["events"] if row["of"] == "Tumour 1"]
    assert ("point placed", "exclude, R A S 26.0 20.0 20.0 mm; 1 exclude") in told
    assert ("point placed", "include, R A S 20.0 28.0 20.0 mm; 1 include and 1 exclude") in told
    assert any(what == "segmented" and "with 1 include and 1 exclude" in detail for what, detail in told)


def contents_of(folder: Path) -> dict[str, tuple[str, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (sha256_of(path), path.stat().st_mtime_ns) for path in files}


def report_of(folder: Path, out: Path) -> tuple[dict, str]:
    make_report(folder, out / "session.html")
    return json.loads((out / "session.json").read_text()), (out / "session.html").read_text()


def lesion_of(document: dict, name: str) -> dict:
    return next(lesion for lesion in document["lesions"] if lesion["lesion"] == name)


def test_session_that_was_killed_is_reported_with_pictures_and_left_as_it_is(killed: Path, tmp_path: Path) -> None:
    """By a child process, as the panel has it done."""
    before = contents_of(killed)
    out = tmp_path / "new folder" / "report.html"
    done = subprocess.run(report_command(sys.executable, killed, out), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    document, page = json.loads(out.with_suffix(".json").read_text()), out.read_text()
    assert contents_of(killed) == before
    assert {".lock", ".reserve", "messages.igtl"} <= set(before)
    assert "case.json" not in before
    assert set(document) == set(KEYS)
    assert (document["session"]["ended"], document["session"]["is_case"]) == (None, False)
    assert "it goes on, or the program was ended by force" in page
    assert page.count("data:image/png") == 5
    assert "Simulated data, not a patient. Research software, not for clinical use." in page
    assert "src=" not in page.replace('src="data:', "")
    assert sorted(path.name for path in out.parent.iterdir()) == ["report.html", "report.json"]


def test_neither_names_of_people_nor_of_places_are_told(killed: Path, tmp_path: Path, quick: None) -> None:
    document, page = report_of(killed, tmp_path / "out")
    assert [lesion["lesion"] for lesion in document["lesions"]] == ["Tumour 1", "Tumour 2"]
    for text in (json.dumps(document), page, "\n".join(summary_of(document, Path("o.html")))):
        assert not any(name.lower() in text.lower() for name in (*TYPED.split(), "erikas-scanner"))


def test_lesion_has_its_history_from_volume_to_volume(killed: Path, tmp_path: Path, quick: None) -> None:
    document, page = report_of(killed, tmp_path / "out")
    first, second = lesion_of(document, "Tumour 1")["history"]
    assert (first["volume"], second["volume"]) == (1, 2)
    assert (first["shift_mm"], first["change"]) == (None, None)
    assert second["shift_mm"] == pytest.approx(3.0, abs=0.1)
    assert second["change"] == pytest.approx(0, abs=0.02)
    assert first["centre_ras_mm"] == pytest.approx([20, 20, 20], abs=0.2)
    assert [volume["number"] for volume in document["volumes"]] == [1, 2]
    assert document["volumes"][0]["content_sha256"] == ball().identity.content_sha256
    assert document["volumes"][0]["content_sha256"] in page


def test_corrected_segmentation_stands_and_says_so(killed: Path, tmp_path: Path, quick: None) -> None:
    document, page = report_of(killed, tmp_path / "out")
    segmentation = lesion_of(document, "Tumour 2")["outline"]
    assert segmentation["how"] == "corrected by hand"
    assert (segmentation["confidence"], segmentation["warnings"]) == (None, [])
    (row,) = [row for row in document["events"] if row["what"] == kinds.CORRECTED]
    assert (row["kind"], row["of"]) == ("by hand", "Tumour 2")
    assert segmentation["volume_ml"] > lesion_of(document, "Tumour 2")["history"][0]["volume_ml"] * 0.9
    assert "corrected by hand, " in page


def test_smallest_tip_distance_has_its_time_and_instrument(killed: Path, tmp_path: Path, quick: None) -> None:
    document, page = report_of(killed, tmp_path / "out")
    nearest = lesion_of(document, "Tumour 1")["nearest_tip"]
    assert nearest["distance_mm"] == pytest.approx(8, abs=0.8)
    assert nearest["bounds_mm"][0] < nearest["distance_mm"] < nearest["bounds_mm"][1]
    assert nearest["instrument"] == "Stylus"
    assert 2.5 < nearest["moment"]["elapsed_s"] < 6
    started = datetime.fromisoformat(document["session"]["started"])
    assert started.utcoffset() == datetime.now().astimezone().utcoffset()
    assert "Stylus, " in page
    shown = [row for row in document["tip_distances"] if row[1]]
    assert {row[2] for row in shown} == {"Stylus"}
    assert [None] * 5 in [row[1:] for row in document["tip_distances"]]


def test_what_lasts_and_repeats_is_one_row(killed: Path, tmp_path: Path, quick: None) -> None:
    document, _page = report_of(killed, tmp_path / "out")
    row = next(row for row in document["events"] if row["what"] == kinds.IN_DOUBT)
    assert (row["of"], row["count"], row["kind"], row["is_open"]) == ("Stylus", 3, "trouble", False)
    assert [stop - start == pytest.approx(1.0, abs=0.3) for start, stop in row["spans_s"]] == [True] * 3


def test_models_timings_and_versions_are_told(killed: Path, tmp_path: Path, quick: None) -> None:
    document, page = report_of(killed, tmp_path / "out")
    (model,) = document["models"]
    assert (model["name"], model["version"], model["sha256"]) == ("stub", "3", "ab" * 32)
    assert document["timings_s"]["inference"] == {"count": 3, "median": 0.2, "longest": 0.2}
    assert document["versions"]["recorded by"] == document["versions"]["reported by"] != ""
    assert "ab" * 32 in page


def test_case_says_the_same_as_the_session_before_it_was_finished(tmp_path: Path, quick: None) -> None:
    made = play(tmp_path / "session", ball())
    before, _ = report_of(made.folder, tmp_path / "before")
    made.recording.end()
    made.leave()
    assert load_case(made.folder).results
    after, page = report_of(made.folder, tmp_path / "after")
    assert (after["session"]["ended_by"], after["session"]["is_case"]) == ("stopped", True)
    assert after["lesions"] == before["lesions"]
    assert after["volumes"] == before["volumes"]
    assert "ended by force" not in page


def test_refined_segmentation_tells_how_far_it_has_moved(tmp_path: Path, quick: None) -> None:
    made = RecordedRoom(tmp_path / "session")
    made.workspace.background_refinement.enabled = True
    made.send(ball())
    made.workspace.add_seed(np.array([20.0, 20.0, 20.0]))
    made.workspace.segment()
    made.finish_all()
    made.leave()
    document, page = report_of(made.folder, tmp_path / "out")
    (lesion,) = document["lesions"]
    assert lesion["outline"]["how"] == "refined in the background"
    assert (lesion["refined"]["mean_mm"], lesion["refined"]["largest_mm"]) == (0.0, 0.0)
    assert len(lesion["history"]) == 1
    assert "Refining moved the segmentation" in page


def test_segmentation_that_was_undone_is_not_shown(tmp_path: Path, quick: None) -> None:
    made = RecordedRoom(tmp_path / "session")
    made.send(ball())
    made.segment("Tumour 1")
    made.correct("Tumour 1")
    made.segment("Tumour 1")
    made.wait(2)
    made.workspace.lesion_store.undo()
    made.wait(2)
    document, _ = report_of(made.folder, tmp_path / "undone")
    assert lesion_of(document, "Tumour 1")["outline"]["how"] == "brought back by undo"
    made.workspace.lesion_store.segmentation_node.GetSegmentation().RemoveSegment("Tumour 1")
    made.wait(2)
    made.workspace.remove_seed("Tumour 1")
    made.wait(1)
    made.leave()
    document, page = report_of(made.folder, tmp_path / "deleted")
    (lesion,) = document["lesions"]
    assert lesion["outline"] is None
    assert lesion["removed"] is not None
    assert "There is no segmentation of this lesion" in page
    assert "Its seed was removed at " in page


def test_half_written_folder_is_reported_with_what_is_there(copied: Path, tmp_path: Path, quick: None) -> None:
    events = (copied / EVENTS_FILE).read_bytes()
    (copied / EVENTS_FILE).write_bytes(events + b'{"time_s": 17000')
    messages = (copied / "messages.igtl").read_bytes()
    (copied / "messages.igtl").write_bytes(messages + messages[:100])
    (copied / "results" / "0009-Tumour-3.nrrd.unfinished").write_bytes(b"NRRD")
    before = contents_of(copied)
    document, page = report_of(copied, tmp_path / "out")
    assert contents_of(copied) == before
    assert lesion_of(document, "Tumour 1")["outline"]["volume"] == 2
    assert page.count("data:image/png") == 5


def test_volume_that_is_lost_has_a_reason_in_place_of_the_picture(copied: Path, tmp_path: Path, quick: None) -> None:
    (copied / "messages.igtl").write_bytes(b"")
    document, page = report_of(copied, tmp_path / "out")
    assert page.count("data:image/png") == 1
    assert page.count("Its volume is not in the recording; it was left out or is damaged") == 2
    assert lesion_of(document, "Tumour 1")["outline"]["volume_ml"] > 1


def test_mask_that_was_changed_is_not_drawn(copied: Path, tmp_path: Path, quick: None) -> None:
    for path in (copied / "results").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    _document, page = report_of(copied, tmp_path / "out")
    assert page.count("Its segmentation was changed or damaged after it was recorded") == 2


def test_recording_that_names_a_file_outside_is_not_followed(copied: Path, tmp_path: Path, quick: None) -> None:
    (tmp_path / "secret.nrrd").write_bytes(b"NRRD")
    text = (copied / EVENTS_FILE).read_text()
    (copied / EVENTS_FILE).write_text(text.replace('"results/', '"../results/'))
    _document, page = report_of(copied, tmp_path / "out")
    assert page.count("which is not in it") == 2


def test_what_the_budget_left_out_is_told(tmp_path: Path, quick: None) -> None:
    made = RecordedRoom(tmp_path / "session", budget_bytes=2.5 * ball().array.nbytes)
    for number in range(6):
        made.send(ball(), number)
    made.segment("Tumour 1")
    made.recording.end()
    made.leave()
    document, page = report_of(made.folder, tmp_path / "out")
    assert "of 0 MB are used" in document["left_out"]["steps"][-1]["why"]
    assert document["left_out"]["messages"]["repeated volumes"] >= 2
    assert "Messages of the link that were not recorded: " in page
    assert page.count("data:image/png") >= 2


def test_events_are_told_once_each_and_without_the_name_of_a_device() -> None:
    def event(elapsed_s: float, kind: str, **about: object) -> SessionEvent:
        return SessionEvent(1.7e9 + elapsed_s, elapsed_s, kind, about)

    events = [
        event(0, kinds.CONNECTED),
        event(1, kinds.NOTE, text="'T2 Mustermann' is no volume", device="T2 Mustermann"),
        event(2, kinds.LINK_LOST, why="erikas-scanner:18944: the server closed the connection"),
        event(8, kinds.CONNECTED),
        event(9, kinds.FAILED, lesion="Tumour 1", reason="cancelled"),
        event(9.5, kinds.FAILED, lesion="Tumour 1", reason="the worker has ended"),
        event(10, kinds.IN_DOUBT, name="liver sensor", reason="liver sensor: no pose for 0.5 s"),
        event(12, kinds.IN_DOUBT, name="liver sensor", reason="it does not breathe"),
        event(20, kinds.TRUSTED_AGAIN, name="liver sensor"),
        event(25, kinds.IN_DOUBT, name="liver sensor", reason="it does not breathe"),
        event(30, kinds.NOTE, text="the end"),
    ]
    rows = rows_of(events, lambda volume: 1)
    told = [(row["what"], row["of"], row["detail"], row["spans_s"]) for row in rows]
    assert told == [
        ("link connected", "", "", [[0, 0]]),
        ("note", "", "'the device' is no volume", [[1, 1]]),
        ("link lost", "", "the server closed the connection", [[2, 8]]),
        ("cancelled", "Tumour 1", "", [[9, 9]]),
        ("failed", "Tumour 1", "the worker has ended", [[9.5, 9.5]]),
        ("in doubt", "liver sensor", "no pose for 0.5 s", [[10, 12]]),
        ("in doubt", "liver sensor", "it does not breathe", [[12, 20], [25, 30]]),
        ("note", "", "the end", [[30, 30]]),
    ]
    assert [row["is_open"] for row in rows] == [False] * 6 + [True, False]
    assert [row["kind"] for row in rows][2:5] == ["trouble", "plain", "trouble"]


def test_plot_of_a_session_without_anything_to_draw_is_none(tmp_path: Path) -> None:
    nothing = {"tip_distances": [], "lesions": [], "events": [], "session": {"started": "2026-01-02T03:04:05+00:00"}}
    assert session_plot({**nothing, "session": {**nothing["session"], "seconds": 1.0}}) is None


def test_child_process_that_finds_no_session_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "new folder" / "report.html"
    _python, _m, module, *arguments = report_command(sys.executable, tmp_path, page)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(SystemExit) as ended:
        session_report.main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "holds no recorded session" in said
    assert len(said.splitlines()) == 1


def test_folder_without_a_session_is_told(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="no such folder"):
        SessionReader(tmp_path / "none")
    with pytest.raises(CaseError, match="holds no recorded session"):
        SessionReader(tmp_path)
    (tmp_path / EVENTS_FILE).write_text("")
    with pytest.raises(CaseError, match="holds no event yet"):
        SessionReader(tmp_path)


def test_report_is_never_written_into_the_recording(killed: Path) -> None:
    with pytest.raises(CrlmError, match="choose a folder outside"):
        make_report(killed, killed / "report" / "session.html")
    assert not (killed / "report").exists()
