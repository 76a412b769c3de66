"""Cases in a storage, here a folder that is read through fsspec: copies, their lock, and the bounded cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.core.folder_lock import FolderLockedError, folder_lock
from CRLMSegmentationLib.recording import case_storage
from CRLMSegmentationLib.recording.case_storage import RemoteCase, RemoteCases, is_url, make_room
from CRLMSegmentationLib.recording.dataset import check_cases
from helpers.evaluation_helpers import write_case

pytest.importorskip("fsspec")


@pytest.fixture
def stored(tmp_path, monkeypatch) -> RemoteCases:
    """Three cases in a storage, and a folder that is none."""
    for number, name in enumerate(("a", "b", "c")):
        write_case(tmp_path / "storage" / name, truth=(16, 20 + number), case_id=name)
    (tmp_path / "storage" / "notes").mkdir()
    (tmp_path / "storage" / "notes" / "text.txt").write_text("none")
    monkeypatch.setenv("CRLM_CASE_CACHE", str(tmp_path / "cache"))
    return RemoteCases((tmp_path / "storage").as_uri())


def copies(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("*/files/*"))


def test_urls_are_told_from_folders():
    assert is_url("s3://bucket/cases")
    assert is_url("file:///cases")
    assert not any(map(is_url, ("cases", "/cases", "C:\\cases", "cases://", "")))


def test_cases_directly_below_the_url_are_listed(stored, tmp_path):
    assert [case.name for case in stored.cases()] == ["a", "b", "c"]
    assert [case.name for case in RemoteCases(f"{stored.url}/b").cases()] == ["b"]


def test_cases_from_storage_are_those_of_a_folder(stored, tmp_path):
    remote, problems = check_cases(stored)
    local, _ = check_cases(tmp_path / "storage")
    assert not problems
    assert [case.sha256 for case in remote] == [case.sha256 for case in local]
    for checked, other in zip(remote, local):
        with checked.at_hand() as here:
            assert here.case.folder.is_relative_to(tmp_path / "cache")
            assert here.read_volume().array.tobytes() == other.read_volume().array.tobytes()
    assert copies(tmp_path / "cache") == ["a", "b", "c"]


def test_cache_keeps_its_size_and_what_is_in_use(stored, tmp_path, monkeypatch):
    a, b, c = stored.cases()
    with a.at_hand() as folder:
        size = sum(file.stat().st_size for file in folder.rglob("*"))
        monkeypatch.setenv("CRLM_CASE_CACHE_GB", str(1.5 * size / 1e9))
        with b.at_hand() as other:
            assert folder.is_dir()
            assert other.is_dir()
    with c.at_hand():
        assert copies(tmp_path / "cache") == ["c"]
    make_room()
    assert copies(tmp_path / "cache") == ["c"]


def test_copy_in_use_is_locked_to_other_processes(stored):
    case = stored.cases()[0]
    with case.at_hand() as folder, pytest.raises(FolderLockedError), folder_lock(folder.parents[1]):
        pass
    with folder_lock(folder.parents[1]):
        pass


def test_copy_that_was_not_made_to_its_end_is_made_anew(stored, monkeypatch):
    case = stored.cases()[0]
    with case.at_hand() as folder:
        whole = sorted(file.name for file in folder.iterdir())
    (folder / "case.json").unlink()
    (folder.parents[1] / "listing.json").unlink()  # it is written at the end
    with case.at_hand() as folder:
        assert sorted(file.name for file in folder.iterdir()) == whole


def test_case_that_changes_between_check_and_use_is_told(stored, tmp_path):
    checked = check_cases(stored)[0][0]
    file = tmp_path / "storage" / "a" / "case.json"
    file.write_text(file.read_text() + " ")
    with (
        pytest.raises(CaseError, match="has changed since it was checked; run the same command again"),
        checked.at_hand(),
    ):
        pass


def test_file_names_cannot_lead_out_of_the_cache(stored, tmp_path, monkeypatch):
    class Hostile:
        def find(self, root: str, detail: bool) -> dict[str, dict]:
            return {f"{root}/../../evil": {"size": 1}}

        def get_file(self, name: str, target: str) -> None:
            raise AssertionError(target)

    monkeypatch.setattr(case_storage, "_system", lambda url: (Hostile(), "/storage/a"))
    with pytest.raises(CaseError, match="lies outside of the case"), RemoteCase("s3://bucket/a").at_hand():
        pass


def test_storage_that_cannot_be_read_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("CRLM_CASE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CaseError, match=r"cannot be read \(.*\); check the name"):
        RemoteCases("nosuchprotocol://bucket").cases()
    assert os.environ["CRLM_CASE_CACHE"]
