"""Several seeds in one volume file, with a stub of the network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.cli import segment_files
from CRLMSegmentationLib.core.volume import Volume, read_volume, write_volume
from helpers.cli_helpers import InstantEngine, names_in

ONE, SAME, OTHER = (20, 20, 20), (22, 20, 20), (60, 20, 20)


@pytest.fixture
def segment(crlm_seg, monkeypatch, model, tiny_volume, tmp_path):
    """Runs `segment` with a stub engine on a volume with a dark ball at `ONE` and another at `OTHER`."""
    two = np.concatenate([tiny_volume.array, tiny_volume.array], axis=2)
    write_volume(Volume(two, np.eye(4)), tmp_path / "two.nrrd")

    def run(out: str, *seeds: tuple[int, int, int], fails_from: int = 99):
        monkeypatch.setattr(segment_files, "WorkerEngine", lambda model, precision="auto": InstantEngine(fails_from))
        words = [word for seed in seeds for word in ("--seed", *seed)]
        rest = ["--model", model.folder, "--size", 30, "--out", tmp_path / out, "--report", tmp_path / "report.json"]
        return crlm_seg("segment", tmp_path / "two.nrrd", *words, *rest)

    return run


def reported(folder: Path) -> list[dict]:
    entries = json.loads((folder / "report.json").read_text())
    return entries if isinstance(entries, list) else [entries]


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("labels.nii.gz", "both seeds may lie in one tumour; the label file gives them to Tumour 1 alone"),
        ("out.seg.nrrd", "both seeds may lie in one tumour"),
    ],
)
def test_two_seeds_in_one_tumour_are_told_in_terminal_and_report(segment, out, words, tmp_path):
    done = segment(out, ONE, SAME, OTHER)
    assert done.code == 0, done
    warning = f"shares 100 % of its voxels with Tumour 1: {words}"
    first, second, third = reported(tmp_path)
    assert warning in second["warnings"]
    assert f"  ! {warning}\n" in done.out
    assert not any("shares" in text for text in (*first["warnings"], *third["warnings"]))


def test_lesions_apart_have_labels_in_the_order_of_their_seeds_and_no_warning(segment, tmp_path):
    done = segment("labels.nrrd", OTHER, ONE)
    assert done.code == 0, done
    assert "shares" not in done.out
    labels = read_volume(tmp_path / "labels.nrrd").array
    assert (labels[20, 20, 60], labels[20, 20, 20]) == (1, 2)


def test_what_was_found_before_a_seed_that_fails_is_written(segment, tmp_path):
    done = segment("labels.nrrd", ONE, OTHER, fails_from=2)
    assert done.code == 1
    assert done.error_lines == [
        "Error: Tumour 2 was not segmented: the worker was killed; "
        f"the lesion before it is in {tmp_path / 'labels.nrrd'}"
    ]
    assert np.unique(read_volume(tmp_path / "labels.nrrd").array).tolist() == [0, 1]
    assert [entry["lesion"] for entry in reported(tmp_path)] == ["Tumour 1"]


def test_first_seed_that_fails_leaves_nothing(segment, tmp_path):
    done = segment("labels.nrrd", ONE, OTHER, fails_from=1)
    assert done.error_lines == ["Error: Tumour 1 was not segmented: the worker was killed"]
    assert names_in(tmp_path) == ["two.nrrd"]


def test_origin_of_a_file_is_not_known(segment, tmp_path):
    segment("labels.nrrd", ONE)
    assert [entry["simulated"] for entry in reported(tmp_path)] == [None]
