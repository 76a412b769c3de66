"""`segment` on shipped volumes through the model in its worker, and what is left when it is interrupted."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from CRLMSegmentationLib.core.metrics import compare
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.core.volume import read_volume, write_volume
from CRLMSegmentationLib.recording.case import Case, load_case
from CRLMSegmentationLib.reports.schema import FURTHER_KEYS, KEYS, TIMINGS
from CRLMSegmentationLib.segmentation.models.package import takes_points
from CRLMSegmentationLib.segmentation.results import Options
from helpers.cli_helpers import DarkRun, InstantEngine, Run, maps_of, names_in, run, seed_words, wait_until
from helpers.dark_worker import WAITS
from helpers.inference_helpers import click_package
from helpers.model_helpers import make_package

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")

TILES = ": inference"
"""What `-v` says when the network has begun."""
WORKER = "helpers.dark_worker"
KEPT = (
    "; the earlier out.seg.nrrd is kept as out.previous.seg.nrrd"
    "; the earlier report.json is kept as report.previous.json"
)


@pytest.fixture(scope="module")
def several() -> Case:
    return load_case(resource_path("SampleCases", "phantom-several"))


@pytest.fixture(scope="module")
def two_lesions(several, model, tmp_path_factory) -> SimpleNamespace:
    """Two lesions of a shipped case, into labels and a report."""
    folder = tmp_path_factory.mktemp("two")
    seeds = [lesion.seed_ras_mm for lesion in several.lesions[:2]]
    arguments = ["--model", model.folder, "--size", 60, "--out", "labels.nii.gz", "--report", "report.json"]
    done = run("segment", several.folder / "volume.nrrd", *seed_words(seeds), *arguments, folder=folder)
    return SimpleNamespace(done=done, folder=folder, seeds=seeds)


def test_several_seeds_give_labels_in_their_order(two_lesions, several):
    assert two_lesions.done.code == 0, two_lesions.done
    assert two_lesions.done.err == ""
    assert names_in(two_lesions.folder) == ["labels.nii.gz", "report.json"]
    labels, truth = read_volume(two_lesions.folder / "labels.nii.gz"), several.truth_labels()
    np.testing.assert_allclose(labels.ijk_to_ras, truth.ijk_to_ras, atol=1e-4)
    for number, lesion in enumerate(several.lesions[:2], 1):
        assert compare(labels.array == number, truth.array == lesion.label, truth.ijk_to_ras)["dice"] > 0.5
    assert set(np.unique(labels.array)) == {0, 1, 2}


def test_what_is_printed_is_one_line_for_each_lesion_and_the_place(two_lesions):
    first, second, last = [line for line in two_lesions.done.out.splitlines() if not line.startswith("  ! ")]
    assert first.startswith("Tumour 1: ")
    assert second.startswith("Tumour 2: ")
    assert last == "Segmentation: labels.nii.gz"


def test_report_of_several_lesions_is_a_list_with_every_documented_key(two_lesions, model):
    entries = json.loads((two_lesions.folder / "report.json").read_text())
    assert [entry["lesion"] for entry in entries] == ["Tumour 1", "Tumour 2"]
    for entry, seed in zip(entries, two_lesions.seeds):
        assert set(entry) == {*KEYS, *FURTHER_KEYS}
        assert set(entry["timings_s"]) == set(TIMINGS)
        assert entry["seed_ras_mm"] == list(seed)
        assert entry["crop_size_mm"] == 60
        assert entry["model"] == {"name": model.name, "sha256": model.sha256}
        assert entry["case_id"] == "volume.nrrd"
        assert entry["metrics"] is None
        assert all(entry["timings_s"][step] > 0 for step in ("crop", "inference", "postprocess", "cold_start"))
        assert entry["volume_ml"] > 0


def test_slicer_segmentation_holds_a_named_segment_on_the_tumour(crlm_seg, monkeypatch, tiny_volume, model, tmp_path):
    """A stub answers: what the network finds is shown by the two lesions above."""
    import slicer
    from CRLMSegmentationLib.cli import segment_files

    monkeypatch.setattr(segment_files, "WorkerEngine", lambda model, precision="auto": InstantEngine())
    write_volume(tiny_volume, tmp_path / "volume.nrrd")
    out = tmp_path / "out" / "one.seg.nrrd"
    out.parent.mkdir()
    rest = ["--model", model.folder, "--size", 30, "--out", out]
    done = crlm_seg("segment", tmp_path / "volume.nrrd", "--seed", 20, 20, 20, *rest)
    assert done.code == 0, done
    assert names_in(out.parent) == ["one.seg.nrrd"]
    node = slicer.vtkMRMLSegmentationNode()
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(out))
    assert storage.ReadData(node)
    assert node.GetSegmentation().GetNumberOfSegments() == 1
    assert node.GetSegmentation().GetNthSegment(0).GetName() == "Tumour 1"


def test_points_correct_the_lesion_of_their_seed_and_are_reported(crlm_seg, monkeypatch, tiny_volume, tmp_path):
    from CRLMSegmentationLib.cli import segment_files

    monkeypatch.setattr(
        segment_files, "WorkerEngine", lambda model, precision="auto": InstantEngine(takes_points=takes_points(model))
    )
    write_volume(tiny_volume, tmp_path / "volume.nrrd")
    model = click_package(tmp_path / "clicks")
    outputs = ["--model", model.folder, "--size", 30, "--out", "labels.nrrd", "--report", "report.json"]
    points = ["--include", 20, 20, 31, "--exclude", 20, 17, 20]
    monkeypatch.chdir(tmp_path)
    done = crlm_seg("segment", "volume.nrrd", "--seed", 20, 20, 20, *points, "--seed", 21, 20, 20, *outputs)
    assert done.code == 0, done
    first, second = json.loads((tmp_path / "report.json").read_text())
    assert first["points"] == [
        {"kind": "include", "ras_mm": [20.0, 20.0, 31.0]},
        {"kind": "exclude", "ras_mm": [20.0, 17.0, 20.0]},
    ]
    assert (second["points"], first["crop_size_mm"], second["crop_size_mm"]) == ([], 42.0, 30.0)
    labels = read_volume(tmp_path / "labels.nrrd").array
    assert labels[31, 20, 20] == 1
    assert labels[20, 17, 20] == 2, "the other lesion at that place is not corrected"


def test_points_that_cannot_be_are_refused_before_the_worker_starts(crlm_seg, monkeypatch, tiny_volume, tmp_path):
    from CRLMSegmentationLib.cli import segment_files

    monkeypatch.setattr(segment_files, "WorkerEngine", None)
    write_volume(tiny_volume, tmp_path / "volume.nrrd")
    seeds = ["--seed", 21, 20, 20, "--seed", 20, 20, 20]
    out = ["--out", tmp_path / "o.nrrd"]
    seeded = make_package(tmp_path, "seeded").folder
    done = crlm_seg("segment", "absent.nrrd", *seeds, "--include", 20, 20, 25, "--model", seeded, *out)
    assert done.error_lines[0].startswith("Error: the model seeded takes no correction points; correct its")
    clicks = ["--model", click_package(tmp_path / "clicks").folder, *out]
    done = crlm_seg("segment", tmp_path / "volume.nrrd", *seeds, "--exclude", 20, 21, 20, *clicks)
    assert "the exclude point (20.0, 21.0, 20.0) mm lies 1.0 mm from the seed (20.0, 20.0, 20.0) mm" in done.err
    assert done.code == 1
    assert not (tmp_path / "o.nrrd").exists()


def test_no_tumour_at_any_seed_is_written_down_and_told_as_a_failure(crlm_seg, monkeypatch, tmp_path):
    from CRLMSegmentationLib.cli import segment_files

    mask = SimpleNamespace(is_empty=True, warnings=("look again",))
    request = SimpleNamespace(lesion="Tumour 1", options=Options(80.0))
    nothing = SimpleNamespace(request=request, mask=mask, warnings=mask.warnings)
    monkeypatch.setattr(segment_files, "segment_file", lambda *arguments: [nothing])
    done = crlm_seg("segment", "v.nrrd", "--seed", 1, 2, 3, "--out", tmp_path / "o.nrrd")
    assert done.code == 1
    assert done.out == f"Tumour 1: no tumour\n  ! look again\nSegmentation: {tmp_path / 'o.nrrd'}\n"
    assert done.error_lines == ["Error: no tumour was found at any seed; move the seeds or change the crop with --size"]


def test_crop_size_for_a_model_of_whole_volumes_is_refused_before_anything_is_read(crlm_seg, damaged_model, tmp_path):
    manifest = json.loads((damaged_model / "model.json").read_text())
    (damaged_model / "model.json").write_text(json.dumps({**manifest, "region": "volume"}))
    arguments = ["--seed", 1, 2, 3, "--model", damaged_model, "--size", 60, "--out", tmp_path / "o.nrrd"]
    done = crlm_seg("segment", "absent.nrrd", *arguments)
    assert done.code == 1
    assert done.error_lines == [
        f"Error: {manifest['name']} is shown the whole volume, so there is no crop to choose; leave the size out"
    ]
    assert "region: volume\ncrop size mm: none\n" in crlm_seg("model", "info", damaged_model).out


@pytest.fixture
def segmenting(sample, model, tmp_path):
    """A run that has just begun to segment, over outputs of an earlier run; its worker, a stub, does not end by itself.

    That the real worker ends with its parent is shown by the tests of the engine.
    """
    for name in ("out.seg.nrrd", "report.json"):
        (tmp_path / name).write_text("of an earlier run")
    seeds = seed_words([sample.lesions[0].seed_ras_mm])
    arguments = ["--model", model.folder, "--out", "out.seg.nrrd", "--report", "report.json"]
    words = ["-v", "segment", sample.folder / "volume.nrrd", *seeds, *arguments]
    with DarkRun(*words, folder=tmp_path, **{WAITS: "1"}) as started:
        started.wait_for_line("err", TILES)
        yield started


def nothing_looks_like_a_result(folder) -> bool:
    """Only the outputs of the earlier run are left, under their other names."""
    kept = ["out.previous.seg.nrrd", "report.previous.json"]
    return names_in(folder) == kept and all((folder / name).read_text() == "of an earlier run" for name in kept)


def test_killed_worker_is_told_and_leaves_neither_process_nor_output(segmenting, tmp_path):
    os.kill(segmenting.wait_for_child(WORKER), signal.SIGKILL)
    done = segmenting.finish()
    assert done.code == 1
    assert done.error_lines[-1].startswith("Error: Tumour 1 was not segmented: the worker process was ended by SIGKILL")
    assert "memory" in done.error_lines[-1]
    assert done.error_lines[-1].endswith(KEPT)
    assert "Traceback" not in done.err
    assert segmenting.leaves_nothing()
    assert nothing_looks_like_a_result(tmp_path)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_a_signal_in_the_network_ends_everything_at_once(sent, segmenting, tmp_path):
    os.killpg(segmenting.process.pid, sent)
    done = segmenting.finish()
    assert (done.code, done.error_lines[-1]) == (1, "Error: stopped before the end" + KEPT)
    assert "Traceback" not in done.err
    assert segmenting.leaves_nothing()
    assert nothing_looks_like_a_result(tmp_path)


@pytest.mark.parametrize(
    ("library", "sent"),
    [("_multiarray_umath", signal.SIGINT), ("_SimpleITK", signal.SIGHUP), ("openvino", signal.SIGINT)],
)
def test_ctrl_c_or_a_signal_while_it_starts(library, sent, sample, model, tmp_path):
    """While it loads numpy, SimpleITK, or in its worker OpenVINO."""
    seeds = seed_words([sample.lesions[0].seed_ras_mm])
    arguments = ["--model", model.folder, "--out", tmp_path / "out.seg.nrrd"]
    with Run("segment", sample.folder / "volume.nrrd", *seeds, *arguments) as started:
        assert wait_until(lambda: any(library in maps_of(pid) for pid in started.left()))
        os.killpg(started.process.pid, sent)
        done = started.finish()
        assert (done.code, done.out, done.error_lines) == (1, "", ["Error: stopped before the end"])
        assert started.leaves_nothing()
    assert names_in(tmp_path) == []


def test_ctrl_c_while_python_runs_a_text_gives_the_exit_code_as_well():
    class InterruptedRun(Run):
        MODULE = "helpers.cli_interrupted_in_exec"

    with InterruptedRun("info", PYTHONPATH=str(Path(__file__).parents[1])) as started:
        done = started.finish()
    assert (done.code, done.out, done.error_lines) == (1, "", ["Error: stopped before the end"])
