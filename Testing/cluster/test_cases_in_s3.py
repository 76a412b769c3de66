"""Cases in S3-compatible storage, here moto's server: evaluated, prepared and computed again, here and on a cluster."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.recording.case_storage import RemoteCases
from CRLMSegmentationLib.research.phantom.cases import write_cohort
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.models.package import model_or_default
from helpers.cli_helpers import Run
from helpers.ray_helpers import LocalRay, free_port
from helpers.recorded_sessions import recorded_session

BUCKET = "s3://hospital"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server, named to s3fs by the environment, as an administrator would."""
    server_module = pytest.importorskip("moto.server", reason="moto is not installed; make test-cluster installs it")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed; make test-cluster installs it")
    port = free_port()
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "tests")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("FSSPEC_S3_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("CRLM_CASE_CACHE", str(tmp_path_factory.mktemp("cache")))
        system = s3fs.S3FileSystem(endpoint_url=f"http://127.0.0.1:{port}")
        system.mkdir("hospital")
        yield system
    server.stop()


@pytest.fixture(scope="module")
def cohort(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four simulated patients in a folder, and the same ones in the storage."""
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder, 5, range(4), 2)
    s3.put(str(folder), "hospital/cases", recursive=True)
    return folder


def crlm_seg(*arguments: object, code: int = 0) -> Any:
    with Run(*arguments) as run:
        done = run.finish()
    assert done.code == code, done
    return done


def figures(out: Path) -> Any:
    document = json.loads((out / "evaluation.json").read_text())
    return [(row["case_id"], row["lesion"], row["metrics"]) for row in document["lesions"]], document["data"]["cases"]


def test_cases_are_evaluated_from_storage_as_from_a_folder(cohort, tmp_path):
    crlm_seg("evaluate", "region-growing", cohort, "--out", tmp_path / "folder", "--robustness", 0)
    crlm_seg("evaluate", "region-growing", f"{BUCKET}/cases", "--out", tmp_path / "s3", "--robustness", 0)
    assert figures(tmp_path / "folder") == figures(tmp_path / "s3")
    masks = [sorted((tmp_path / name / "masks").rglob("*.nrrd")) for name in ("folder", "s3")]
    assert [mask.read_bytes() for mask in masks[0]] == [mask.read_bytes() for mask in masks[1]]


def test_nodes_of_a_cluster_read_the_storage_by_themselves(cohort, tmp_path):
    """The nodes are started with access to the storage, as those of a cluster are."""
    pytest.importorskip("ray", reason="Ray is not installed; make test-cluster installs it")
    cluster = LocalRay()
    try:
        for name, where in (("here", ()), ("cluster", ("--cluster", cluster.address))):
            out = ("--out", tmp_path / name, "--robustness", 0)
            crlm_seg("evaluate", "region-growing", f"{BUCKET}/cases", *out, *where)
    finally:
        cluster.close()
    assert figures(tmp_path / "here") == figures(tmp_path / "cluster")


def test_dataset_from_storage_is_that_from_a_folder(cohort, tmp_path):
    small = ["--spacing", 2, "--crop-size", 48, "--folds", 2]
    crlm_seg("prepare", cohort, "--out", tmp_path / "folder", *small)
    crlm_seg("prepare", f"{BUCKET}/cases", "--out", tmp_path / "s3", *small)
    files = [sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("folder", "s3")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


def test_session_in_storage_is_computed_again(s3, tmp_path):
    model = model_or_default(None)
    sample = load_case(resource_path("SampleCases", "phantom-hypoechoic"))
    recorded_session(tmp_path / "session", sample, WorkerEngine(model), model, crop_size_mm=60.0)
    s3.put(str(tmp_path / "session"), "hospital/sessions/session", recursive=True)
    done = crlm_seg("rerun", f"{BUCKET}/sessions", "--out", tmp_path / "out")
    assert "1 of 1 cases computed" in done.out
    assert list((tmp_path / "out" / "session" / "results").glob("*.nrrd"))
    assert json.loads((tmp_path / "out" / "rerun.json").read_text())["failed"] == 0


def test_storage_that_is_not_there_is_told(s3, tmp_path):
    with pytest.raises(CaseError, match=r"s3://no-such-bucket/cases cannot be read .*check the name"):
        RemoteCases("s3://no-such-bucket/cases").cases()
    done = crlm_seg("evaluate", "region-growing", f"{BUCKET}/nothing", "--out", tmp_path / "out", code=1)
    assert "no case in s3://hospital/nothing" in done.err or "cannot be read" in done.err


def test_copy_is_made_anew_when_the_case_has_changed(s3, cohort, tmp_path, monkeypatch):
    monkeypatch.setenv("CRLM_CASE_CACHE", str(tmp_path / "cache"))
    shutil.copytree(cohort / "phantom-5-000", tmp_path / "changing")
    s3.put(str(tmp_path / "changing"), "hospital/changing/one", recursive=True)
    (case,) = RemoteCases(f"{BUCKET}/changing").cases()
    with case.at_hand() as folder:
        first = (folder / "case.json").stat().st_mtime_ns
        assert load_case(folder).case_id == "phantom-5-000"
    with case.at_hand() as folder:
        assert (folder / "case.json").stat().st_mtime_ns == first, "a copy that is read is not made anew"
    text = (tmp_path / "changing" / "case.json").read_text().replace("phantom-5-000", "another")
    s3.pipe("hospital/changing/one/case.json", text.encode())
    with case.at_hand() as folder:
        assert load_case(folder).case_id == "another"
    assert os.environ["CRLM_CASE_CACHE"] in str(folder)
