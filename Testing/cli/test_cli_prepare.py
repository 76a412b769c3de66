"""`prepare` on the command line: what it prints, what it refuses, and that it can be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal

import numpy as np
import pytest
from CRLMSegmentationLib.core.volume import Volume, write_volume
from CRLMSegmentationLib.research.training.manifest import verify_manifest
from helpers.cli_helpers import Run, wait_until

SMALL = ("--crop-size", 24, "--spacing", 1, "--folds", 2)


@pytest.fixture
def pairs(tmp_path):
    """Three patients as pairs of a volume and its label."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    label = np.zeros((24, 24, 24), np.uint8)
    label[8:16, 8:16, 8:16] = 1
    for number in range(3):
        array = np.random.default_rng(number).integers(100, 140, label.shape) - 80 * label
        write_volume(Volume(array.astype(np.uint8), np.eye(4)), folder / f"p{number}.nrrd")
        write_volume(Volume(label, np.eye(4)), folder / f"p{number}-label.nrrd")
    return folder


def test_dataset_is_made_counted_and_not_made_again(crlm_seg, pairs, tmp_path):
    out = tmp_path / "out"
    arguments = ("prepare", pairs, "--out", out, *SMALL, "--crops", 2, "--processes", 1)
    done = crlm_seg(*arguments)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"Prepared: {out}"
    assert lines[1].split() == ["patients", "unknown", "lesions", "images"]
    assert lines[2].split() == ["fold", "0", "2", "2", "2", "4"]
    assert lines[4].split() == ["all", "3", "3", "3", "6"]
    assert lines[-1] == f"Next: crlm-seg train {out}"
    written = (out / "manifest.json").stat().st_mtime_ns
    again = crlm_seg(*arguments)
    assert (again.code, again.out.splitlines()) == (0, [f"Already prepared: {out}", *lines[1:]])
    assert (out / "manifest.json").stat().st_mtime_ns == written
    other = crlm_seg(*arguments, "--seed", 1)
    assert other.code == 1
    assert "seed 0 instead of 1" in other.err
    assert len(other.error_lines) == 1


def test_bad_cases_are_listed_on_stderr_and_left_out_on_demand(crlm_seg, pairs, tmp_path):
    (pairs / "p1-label.nrrd").unlink()
    shutil.copy(pairs / "p0.nrrd", pairs / "p9.nrrd")
    shutil.copy(pairs / "p0-label.nrrd", pairs / "p9-label.nrrd")
    shutil.copy(pairs / "p2-label.nrrd", pairs / "p3-label.nrrd")
    write_volume(Volume(np.full((24, 24, 24), 7, np.uint8), np.eye(4)), pairs / "p3.nrrd")
    arguments = ("prepare", pairs, "--out", tmp_path / "out", *SMALL, "--processes", 1)
    done = crlm_seg(*arguments)
    assert (done.code, done.out) == (1, "")
    assert [line.split()[0] for line in done.err.splitlines()] == ["Case", "p1.nrrd", "p3.nrrd", "p9", "Error:"]
    assert not (tmp_path / "out").exists()
    done = crlm_seg(*arguments, "--skip-bad")
    assert done.code == 0, done
    assert [line.split()[:2] for line in done.out.splitlines()][-2] == ["all", "2"]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--variant", "half"),
        ("--variant", "full", "--crops", 2),
        ("--folds", 1),
        ("--held-out", 1.0),
        ("--name", "two__underscores"),
        ("--spacing", 0),
    ],
)
def test_wrong_arguments_end_with_2(crlm_seg, pairs, tmp_path, wrong):
    done = crlm_seg("prepare", pairs, "--out", tmp_path / "out", *wrong)
    assert done.code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_killed_run_leaves_no_process_and_no_dataset_and_the_next_one_finishes(crlm_seg, pairs, tmp_path, sent):
    out = tmp_path / "out"
    arguments = ("prepare", pairs, "--out", out, *SMALL, "--crops", 200, "--processes", 2)
    with Run(*arguments) as started:
        assert wait_until(lambda: len(list(out.glob("raw/*/imagesTr/*"))) > 3)
        os.kill(started.process.pid, sent)
        started.process.wait(240)
        assert started.leaves_nothing()
    assert not (out / "manifest.json").exists()
    done = crlm_seg("prepare", pairs, "--out", out, *SMALL, "--crops", 1, "--processes", 1)
    assert (done.code, done.err) == (0, "")
    assert len(verify_manifest(out).images) == 3
    assert len(json.loads((out / "splits.json").read_text())) == 2
    assert len(list(out.glob("raw/*/imagesTr/*"))) == 6
