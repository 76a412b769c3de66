"""Output files appear whole or not at all."""

from __future__ import annotations

import os

import numpy as np
import pytest
from cli_helpers import names_in
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.volume import read_volume, write_volume
from CRLMSegmentationLib.outputs import whole_files


def test_all_files_take_their_places_together_at_the_end(tmp_path):
    places = [tmp_path / "a" / "one.json", tmp_path / "b" / "two.json"]
    for place in places:
        place.parent.mkdir()
        place.write_text("old")
    with whole_files(places) as unfinished:
        assert not any(place.exists() for place in places)
        for number, path in enumerate(unfinished):
            path.write_text(f"new {number}")
        assert not any(place.exists() for place in places)
    assert [place.read_text() for place in places] == ["new 0", "new 1"]
    assert names_in(tmp_path / "a") == ["one.json"]
    assert names_in(tmp_path / "b") == ["two.json"]


@pytest.mark.parametrize("end", [CrlmError, KeyboardInterrupt, SystemExit])
def test_nothing_old_half_or_new_is_left_after_a_failure(end, tmp_path):
    place = tmp_path / "one.json"
    place.write_text("old")

    def write_half() -> None:
        with whole_files([place]) as (unfinished,):
            unfinished.write_text("ha")
            raise end

    with pytest.raises(end):
        write_half()
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["labels.mhd", "labels.nhdr"])
def test_header_brings_its_data_file_along(name, tiny_volume, tmp_path):
    with whole_files([tmp_path / name]) as (unfinished,):
        write_volume(tiny_volume, unfinished)
    assert len(names_in(tmp_path)) == 2
    np.testing.assert_array_equal(read_volume(tmp_path / name).array, tiny_volume.array)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_folder_that_is_read_only_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(CrlmError, match="nothing can be written into"), whole_files([tmp_path / "one.json"]):
        pass
