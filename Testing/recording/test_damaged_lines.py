"""A line of a recording that holds no event, no result or no arrival costs that line, and the reader tells of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from CRLMSegmentationLib.cli.describe import describe_source
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.core.hashing import sha256_of
from CRLMSegmentationLib.core.json_files import Damage
from CRLMSegmentationLib.igtl.messages import image_of
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.recording.message_log import ARRIVALS_FILE, MESSAGES_FILE, read_message_log
from CRLMSegmentationLib.recording.recorded_images import RecordedImages
from CRLMSegmentationLib.recording.rerun import rerun_case
from CRLMSegmentationLib.recording.session_events import EVENTS_FILE, read_events
from CRLMSegmentationLib.recording.session_reader import SessionReader
from CRLMSegmentationLib.recording.session_recorder import SessionRecorder
from CRLMSegmentationLib.recording.session_results import recorded_results
from helpers.session_recording_helpers import ball, feed, result_in, seed_in

NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """Two seeds, and a result of each."""
    recorder = SessionRecorder(tmp_path / "session")
    recorder.use_link("127.0.0.1", 18944)
    volume = ball()
    feed(recorder, image_of(volume))
    for lesion in ("Tumour 1", "Tumour 2"):
        recorder.seed(lesion, seed_in(volume), volume)
        recorder.result(result_in(volume, lesion))
    recorder.finish()
    return tmp_path / "session"


def change_line(folder: Path, name: str, is_wanted: Callable[[dict], bool], change: Callable[[dict], object]) -> int:
    """Change the first line that is wanted, and its hash in the case; the number of all lines."""
    lines = (folder / name).read_text().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if is_wanted(json.loads(line)))
    changed = change(json.loads(lines[number]))
    lines[number] = changed if isinstance(changed, str) else json.dumps(changed) + "\n"
    (folder / name).write_text("".join(lines), encoding="utf-8", errors="surrogatepass")
    entry = json.loads((folder / "case.json").read_text())
    entry["files"][name] = sha256_of(folder / name)
    (folder / "case.json").write_text(json.dumps(entry))
    return len(lines)


def is_result(entry: dict) -> bool:
    return entry.get("event") == "result"


def within(name: str, key: str, value: object) -> Callable[[dict], dict]:
    return lambda entry: {**entry, name: {**entry[name], key: value}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: {**e, "seed_ras_mm": [NAN, 1.0, 2.0]}, r"seed_ras_mm\[0\] must be a finite number, got NaN"),
        (lambda e: {**e, "seed_ras_mm": None}, "seed_ras_mm is missing, expected three finite numbers"),
        (lambda e: {k: v for k, v in e.items() if k != "seed_ras_mm"}, "seed_ras_mm is missing"),
        (lambda e: {**e, "seed_ras_mm": [1e300, 0, 0]}, "seed_ras_mm must be three finite numbers"),
        (lambda e: {**e, "time_s": 1e300}, "time_s must be seconds"),
        (lambda e: {**e, "time_s": -1}, "time_s must be seconds"),
        (lambda e: {**e, "elapsed_s": 1e300}, "elapsed_s must be seconds"),
        (lambda e: {**e, "lesion": "a\0b"}, "lesion holds the character NUL"),
        (lambda e: {**e, "lesion": "\ud800"}, "lesion holds the character half of a surrogate pair"),
        (lambda e: {**e, "lesion": "x" * 100_001}, "lesion must be a text of up to 100,000 characters"),
        (lambda e: {**e, "lesion": "x" * 1000}, "lesion must be a text of up to 200 printable characters"),
        (lambda e: {**e, "volume_ml": INFINITE}, "volume_ml must be a finite number"),
        (lambda e: {**e, "volume_ml": -5}, "volume_ml must be millilitres from 0 on"),
        (lambda e: {**e, "flip": [7]}, "flip must be a list of array axes"),
        (lambda e: {**e, "timings_s": {"crop": -1}}, "timings_s must be an object of seconds"),
        (lambda e: {**e, "crop_size_mm": 1e300}, "crop_size_mm must be a width in mm"),
        (lambda e: {**e, "points": None}, "points must be a list of points"),
        (lambda e: {**e, "points": [{"kind": "maybe", "ras_mm": [1, 2, 3]}]}, "points must be a list of points"),
        (lambda e: {**e, "points": [{"kind": "include", "ras_mm": [1, 2]}]}, "points must be a list of points"),
        (lambda e: {**e, "model": "stub"}, "model must be a model with name and sha256"),
        (lambda e: {**e, "volume": None}, "volume is missing"),
        (within("volume", "ijk_to_ras", [0.0] * 16), "volume.ijk_to_ras must be a 4x4 matrix that places voxels"),
        (within("volume", "ijk_to_ras", [NAN] * 16), r"volume.ijk_to_ras\[\d+\] must be a finite number"),
        (within("volume", "shape", [1 << 30] * 3), "volume.shape must be three integers"),
        (lambda e: "[" * 100_000 + "\n", "lists and objects lie in each other more than"),
        (lambda e: '{"event": "result", "event": "result"}\n', "the key 'event' is given twice"),
        (lambda e: "rubbish\n", "it is not valid JSON"),
    ],
)
def test_a_result_that_is_none_costs_its_line_and_is_told(session: Path, change, words: str) -> None:
    count = change_line(session, EVENTS_FILE, is_result, change)
    damage = Damage()
    assert len(read_events(session / EVENTS_FILE, damage)) == count - 1
    assert words.split("[")[0].split("\\")[0] in damage.first
    case, left_out = load_case(session), Damage()
    assert [result.request.lesion for result in recorded_results(case, left_out)] == ["Tumour 2"]
    assert left_out.count == 1
    assert "1 line of events.jsonl cannot be used" in describe_source(session)["session"]["left_out"]
    assert SessionReader(session).damage.count == 1


@pytest.mark.parametrize(("part", "name"), [("volume", "../../x.nrrd"), ("mask", "/etc/passwd"), ("mask", "../x.nrrd")])
def test_a_file_outside_the_recording_is_not_opened(session: Path, part: str, name: str) -> None:
    change_line(session, EVENTS_FILE, is_result, within(part, "file", name))
    case = load_case(session)
    result = recorded_results(case)[0]
    with pytest.raises(CaseError, match=r"outside its folder|which is not in it"):
        RecordedImages(case.folder).volume(result.volume) if part == "volume" else RecordedImages(case.folder).mask_of(
            result
        )


def test_a_mask_that_was_changed_is_not_computed_against(session: Path) -> None:
    result = recorded_results(load_case(session))[0]
    assert RecordedImages(session).mask_of(result).any()
    path = session / result.mask["file"]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CaseError, match="changed or damaged after it was recorded"):
        RecordedImages(session).mask_of(result)


def test_a_volume_whose_place_is_not_that_of_its_hash_is_not_read(session: Path) -> None:
    volume = recorded_results(load_case(session))[0].volume
    moved = [*volume["ijk_to_ras"][:3], volume["ijk_to_ras"][3] + 5.0, *volume["ijk_to_ras"][4:]]
    with pytest.raises(CaseError, match="is not in the recording"):
        RecordedImages(session).volume({**volume, "ijk_to_ras": moved})


def test_a_result_that_lacks_what_computing_it_again_needs_is_told_by_rerun(session: Path) -> None:
    for number in (1, 2):
        change_line(session, EVENTS_FILE, lambda e, n=number: e.get("number") == n, lambda e: {**e, "device": None})
    notes: list[str] = []
    with pytest.raises(CaseError, match=r"holds no recorded results .*the result 1 lacks device"):
        rerun_case(session, on_note=notes.append)
    assert notes[0].startswith("2 lines of events.jsonl cannot be used")


@pytest.mark.parametrize(
    "change",
    [
        {"received_s": 1e300}, {"received_s": -1}, {"received_s": NAN}, {"received_s": "x"}, {"offset": -1},
        {"offset": 10**30}, {"bytes": None}, {"event": 3}, {"event": "a\0b"}, {"event": {}},
    ],
)  # fmt: skip
def test_an_arrival_that_is_none_costs_its_line(session: Path, change: dict) -> None:
    change_line(session, ARRIVALS_FILE, lambda e: "offset" in e, lambda e: {**e, **change})
    message_log = read_message_log(session / MESSAGES_FILE, session / ARRIVALS_FILE)
    assert len(message_log.entries) == 1
    assert message_log.damage.count == 1
    assert describe_source(session)["left_out"].startswith("1 line of arrivals.jsonl cannot be used")


def test_a_recording_without_any_usable_event_says_why(session: Path) -> None:
    (session / EVENTS_FILE).write_text("rubbish\n" * 3)
    with pytest.raises(CaseError, match=r"holds no event: 3 lines of events\.jsonl cannot be used"):
        SessionReader(session)


def test_whole_recording_has_no_damage(session: Path) -> None:
    damage = Damage()
    read_events(session / EVENTS_FILE, damage)
    assert not damage.is_any
    assert "left_out" not in describe_source(session)["session"]
