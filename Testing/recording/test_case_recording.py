"""A case that holds a recording, and may hold no volume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.recording.case import Case, load_case, save_case


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "messages.igtl").write_bytes(b"messages")
    (tmp_path / "arrivals.jsonl").write_text("{}\n")
    save_case(Case(tmp_path, "sweep", (), recording="messages.igtl", arrivals="arrivals.jsonl"))
    return tmp_path


def test_recording_without_a_volume_is_a_case(folder: Path) -> None:
    case = load_case(folder)
    assert (case.volumes, case.recording, case.arrivals) == ((), "messages.igtl", "arrivals.jsonl")
    assert case.file_names == ["messages.igtl", "arrivals.jsonl"]
    with pytest.raises(CaseError, match="sweep holds no volume"):
        case.volume()


def test_neither_volume_nor_recording_is_no_case(folder: Path) -> None:
    entry = json.loads((folder / "case.json").read_text())
    (folder / "case.json").write_text(json.dumps({**entry, "recording": None}))
    with pytest.raises(CaseError, match="at least one volume where there is no recording"):
        load_case(folder)


@pytest.mark.parametrize("name", ["messages.igtl", "arrivals.jsonl"])
def test_changed_recording_is_noticed(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"changed")
    with pytest.raises(CaseError, match=f"{name} differs from its hash"):
        load_case(folder)


def test_recording_need_not_be_read_whole_to_be_played_but_must_be_there(folder: Path) -> None:
    (folder / "messages.igtl").write_bytes(b"changed")
    load_case(folder, verify_recording=False)
    (folder / "messages.igtl").unlink()
    with pytest.raises(CaseError, match=r"messages\.igtl is missing"):
        load_case(folder, verify_recording=False)


def test_recording_that_was_not_finished_says_how_to_finish_it(folder: Path) -> None:
    (folder / "case.json").unlink()
    with pytest.raises(CaseError, match=rf"finish it with: crlm-seg recover {folder}"):
        load_case(folder)


def test_case_that_cannot_be_written_leaves_the_old_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "case.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("CRLMSegmentationLib.recording.case.os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        save_case(load_case(folder))
    assert (folder / "case.json").read_bytes() == before
