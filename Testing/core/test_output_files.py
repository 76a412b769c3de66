"""Output files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.output_files import atomic_files
from CRLMSegmentationLib.core.volume import read_volume, write_volume
from helpers.cli_helpers import names_in


def test_all_files_take_their_places_together_at_the_end(tmp_path):
    places = [tmp_path / "a" / "one.json", tmp_path / "b" / "two.json"]
    for place in places:
        place.parent.mkdir()
        place.write_text("old")
    with atomic_files(places) as unfinished:
        assert not any(place.exists() for place in places)
        assert names_in(tmp_path / "a")[1:] == ["one.previous.json"]
        for number, path in enumerate(unfinished):
            path.write_text(f"new {number}")
        assert not any(place.exists() for place in places)
    assert [place.read_text() for place in places] == ["new 0", "new 1"]
    assert names_in(tmp_path / "a") == ["one.json"]
    assert names_in(tmp_path / "b") == ["two.json"]


def fail_to_write(place: Path, end: type[BaseException] = CrlmError) -> list[str]:
    """What is noted on the error of a run that fails in the middle."""

    def write_half() -> None:
        with atomic_files([place]) as (unfinished,):
            unfinished.write_text("ha")
            raise end

    with pytest.raises(end) as failed:
        write_half()
    return getattr(failed.value, "__notes__", [])


@pytest.mark.parametrize("end", [CrlmError, KeyboardInterrupt, SystemExit])
def test_after_a_failure_the_earlier_file_is_kept_under_another_name(end, tmp_path):
    place, kept = tmp_path / "mine.seg.nrrd", tmp_path / "mine.previous.seg.nrrd"
    place.write_text("old")
    assert fail_to_write(place, end) == [f"the earlier mine.seg.nrrd is kept as {kept}"]
    assert names_in(tmp_path) == ["mine.previous.seg.nrrd"]
    assert kept.read_text() == "old"
    assert fail_to_write(place, end) == []
    assert kept.read_text() == "old"


def test_no_earlier_file_is_lost_when_one_run_after_the_other_fails(tmp_path):
    place = tmp_path / "scan.nii.gz"
    for content in ("first", "second"):
        place.write_text(content)
        fail_to_write(place)
    with atomic_files([place]) as (unfinished,):
        unfinished.write_text("third")
    assert names_in(tmp_path) == ["scan.nii.gz", "scan.previous-2.nii.gz", "scan.previous.nii.gz"]
    assert [(tmp_path / name).read_text() for name in names_in(tmp_path)] == ["third", "second", "first"]


def test_outputs_of_one_folder_share_a_scratch_folder(tmp_path):
    with atomic_files([tmp_path / "one.json", tmp_path / "two.json"]) as (one, two):
        assert one.parent == two.parent
        one.write_text("1")
        two.write_text("2")
    assert names_in(tmp_path) == ["one.json", "two.json"]


@pytest.mark.parametrize("name", ["labels.mhd", "labels.nhdr"])
def test_header_brings_its_data_file_along(name, tiny_volume, tmp_path):
    with atomic_files([tmp_path / name]) as (unfinished,):
        write_volume(tiny_volume, unfinished)
    assert len(names_in(tmp_path)) == 2
    np.testing.assert_array_equal(read_volume(tmp_path / name).array, tiny_volume.array)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_folder_that_is_read_only_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(CrlmError, match="nothing can be written into"), atomic_files([tmp_path / "one.json"]):
        pass


def test_error_through_two_blocks_keeps_the_notes_of_both(tmp_path):
    inner, outer = tmp_path / "inner.json", tmp_path / "outer.json"
    for place in (inner, outer):
        place.write_text("old")
    with pytest.raises(CrlmError) as failed, atomic_files([outer]), atomic_files([inner]):
        raise CrlmError("no")
    assert [note.split()[2] for note in failed.value.__notes__] == ["inner.json", "outer.json"]
