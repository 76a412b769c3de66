"""Commands with --cluster: the same bytes as in one process and in a pool, an end in the middle, a case that fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.hashing import sha256_of
from CRLMSegmentationLib.core.parallel import LocalPool
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.recording.dataset import check_cases
from CRLMSegmentationLib.research.evaluation.consensus import observe
from CRLMSegmentationLib.research.evaluation.observation_store import ObservationStore
from CRLMSegmentationLib.research.ray_cluster import RayCluster
from CRLMSegmentationLib.research.training.train import Training, train_dataset
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, model_or_default
from helpers.cli_helpers import Run
from helpers.ray_helpers import LocalRay
from helpers.recorded_sessions import recorded_session
from helpers.training_helpers import TINY, write_dataset

TIMES = ("seconds", "timings_s", "created", "device")
"""Keys of an evaluation that are measured anew in each run."""
HOW = ["one process", "pool", "cluster"]


def crlm_seg(*arguments: object, code: int = 0, folder: Path | None = None) -> Any:
    with Run(*arguments, folder=folder) as run:
        done = run.finish()
    assert done.code == code, done
    return done


def options(how: str, cluster: LocalRay) -> list[object]:
    chosen = {"one process": ["--processes", 1], "pool": ["--processes", 2], "cluster": ["--cluster", cluster.address]}
    return chosen[how]


def files_of(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): sha256_of(p) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def cohorts(ray_cluster: LocalRay, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four patients, simulated in each of the three ways."""
    folders = {how: tmp_path_factory.mktemp("cohort") for how in HOW}
    for how, folder in folders.items():
        crlm_seg("phantom", "--out", folder, "--cases", 4, "--seed", 5, *options(how, ray_cluster))
    return folders


def test_patients_are_the_same_to_the_byte(cohorts):
    files = [files_of(folder) for folder in cohorts.values()]
    assert len(files[0]) >= 4 * 3
    assert files[0] == files[1] == files[2]


def test_datasets_are_the_same_to_the_byte(cohorts, ray_cluster, tmp_path):
    for how in HOW:
        small = ["--spacing", 2, "--crop-size", 48, "--folds", 2]
        crlm_seg("prepare", cohorts["pool"], "--out", tmp_path / how, *small, *options(how, ray_cluster))
    files = [files_of(tmp_path / how) for how in HOW]
    assert any(name.endswith(".nii.gz") for name in files[0])
    assert files[0] == files[1] == files[2]


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("method", ["region-growing", "the shipped model"])
def test_evaluations_are_the_same_but_for_their_times(cohorts, ray_cluster, tmp_path, method):
    """Masks to the byte, and every figure that is not a time; paths may be relative."""
    name = method if method == "region-growing" else os.path.relpath(model_or_default(None).folder, tmp_path)
    cases = os.path.relpath(cohorts["pool"], tmp_path)
    for how in HOW:
        few = ["--robustness", 1 if method == "region-growing" else 0]
        crlm_seg("evaluate", name, cases, "--out", how, *few, *options(how, ray_cluster), folder=tmp_path)
    masks = [files_of(tmp_path / how / "masks") for how in HOW]
    assert masks[0]
    assert masks[0] == masks[1] == masks[2]
    documents = [json.loads((tmp_path / how / "evaluation.json").read_text()) for how in HOW]
    plain = [json.dumps(without_times(document)) for document in documents]
    assert plain[0] == plain[1] == plain[2]


def test_observations_of_a_calibration_are_the_same_to_the_byte(cohorts, ray_cluster, tmp_path):
    """Also those that are read back from the folder of an interrupted calibration."""
    model = model_or_default(None)
    cases = check_cases(cohorts["pool"])[0][:2]
    with RayCluster(ray_cluster.address) as cluster:
        found = [observe(model, cases, runner=runner) for runner in (LocalPool(1), LocalPool(2), cluster)]
    store = ObservationStore(tmp_path, model.sha256)
    observe(model, cases, runner=LocalPool(2), store=store)
    found.append(observe(model, cases, engine_of=never, store=store))
    bits = [[plain_bytes(part) for observed in of_run for part in observed] for of_run in found]
    assert len(bits[0]) >= 4
    assert bits[0] == bits[1] == bits[2] == bits[3]


def never(model: ModelPackage) -> WorkerEngine:
    raise AssertionError("nothing is left to compute")


def plain_bytes(value: Any) -> dict[str, Any]:
    return {name: item.tobytes() if isinstance(item, np.ndarray) else item for name, item in vars(value).items()}


def test_folds_trained_on_a_cluster_have_the_same_weights(ray_cluster, tmp_path, monkeypatch):
    """As those trained with as many threads as a node has cores."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    weights, told = [], []
    for how in ("here", "cluster"):
        layout = write_dataset(tmp_path / how)
        training = Training(TINY, folds=(0, 1), epochs=2, device="cpu", processes=1)
        if how == "here":
            results = train_dataset(layout.root, training)
        else:
            with RayCluster(ray_cluster.address, memory_gb=4) as cluster:
                results = train_dataset(layout.root, training, lambda *step: told.append(step), cluster=cluster)
        for fold in (0, 1):
            checkpoint = torch.load(results / f"fold_{fold}" / "checkpoint_final.pth", weights_only=False)
            weights.append(checkpoint["network_weights"])
    assert ("Fold 0", 2, 2) in told
    assert ("Fold 1", 2, 2) in told
    for here, there in zip(weights[:2], weights[2:]):
        assert all(torch.equal(here[name], there[name]) for name in here)


def test_fold_that_fails_is_named_and_the_other_is_trained(ray_cluster, tmp_path):
    layout = write_dataset(tmp_path / "d")
    training = Training(TINY, folds=(0, 1), epochs=1, device="cpu", processes=1)
    blocked = layout.fold_of(TINY, 1)
    blocked.mkdir(parents=True)
    (blocked / "checkpoint_final.pth.tmp").mkdir()
    (blocked / "progress.jsonl").mkdir()  # no file can be written in its place
    with (
        RayCluster(ray_cluster.address, memory_gb=4) as cluster,
        pytest.raises(CrlmError, match=r"1 of 2 failed \(fold 1"),
    ):
        train_dataset(layout.root, training, cluster=cluster)
    assert (layout.fold_of(TINY, 0) / "checkpoint_final.pth").is_file()


def test_sessions_are_computed_again_as_tasks(ray_cluster, tmp_path):
    """Twice the same session, and one that has no results."""
    folder, model = tmp_path / "sessions", model_or_default(None)
    sample = load_case(resource_path("SampleCases", "phantom-hypoechoic"))
    folder.mkdir()
    recorded_session(folder / "one", sample, WorkerEngine(model), model, crop_size_mm=60.0)
    shutil.copytree(folder / "one", folder / "two")
    shutil.copytree(sample.folder, folder / "without")
    for how in HOW:
        done = crlm_seg("rerun", folder, "--out", tmp_path / how, *options(how, ray_cluster), code=1)
        assert "1 of 3 failed (without: " in done.err
        assert "holds no recorded results" in done.err
        assert "2 of 3 cases computed" in done.out
    masks = [{name: sha for name, sha in files_of(tmp_path / how).items() if name.endswith(".nrrd")} for how in HOW]
    assert masks[0]
    assert masks[0] == masks[1] == masks[2]


def test_command_that_was_killed_goes_on_where_it_ended(ray_cluster, tmp_path):
    out = tmp_path / "cohort"
    with Run("phantom", "--out", out, "--cases", 4, "--seed", 5, "--cluster", ray_cluster.address) as run:
        while not list(out.glob("*/case.json")):
            assert run.process.poll() is None, "it ended before it could be killed"
        os.kill(run.process.pid, signal.SIGKILL)
        run.process.wait()
    there = {path: path.stat().st_mtime_ns for path in out.glob("*/case.json")}
    crlm_seg("phantom", "--out", out, "--cases", 4, "--seed", 5, "--cluster", ray_cluster.address)
    assert {path: path.stat().st_mtime_ns for path in there} == there
    assert len(list(out.glob("*/case.json"))) == 4
    assert all(load_case(folder).lesions for folder in out.iterdir())


def test_case_that_fails_is_named_and_the_others_are_there(ray_cluster, tmp_path):
    out = tmp_path / "cohort"
    out.mkdir()
    (out / "phantom-5-001").write_text("a file where a folder should be")
    done = crlm_seg("phantom", "--out", out, "--cases", 3, "--seed", 5, "--cluster", ray_cluster.address, code=1)
    assert "1 of 3 failed (phantom-5-001: " in done.err
    assert "run the same command again" in done.err
    assert len(list(out.glob("*/case.json"))) == 2
