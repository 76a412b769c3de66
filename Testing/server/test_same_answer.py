"""A server gives the answer of this computer: the shipped model on a sample case, and a chain of correction points."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.points import CorrectionPoint, PointKind
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.segmentation.engine.engine import Engine
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, model_or_default
from CRLMSegmentationLib.segmentation.remote.remote_engine import RemoteEngine
from CRLMSegmentationLib.segmentation.remote.server_engine import ServerEngine
from CRLMSegmentationLib.segmentation.results import LesionResult, Options
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.segmentation.wait import wait_for_lesion, wait_for_model
from helpers.cli_helpers import wait_until
from helpers.inference_helpers import click_package, dice
from helpers.server_helpers import PATIENT_S, RunningServer, plain

SAMPLES = ("phantom-hypoechoic", "phantom-isoechoic")


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return click_package(tmp_path_factory.mktemp("clicks") / "clicks", folds=2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, clicks: ModelPackage) -> Iterator[RunningServer]:
    """A server with the shipped model and a tiny one that takes points, in real workers."""
    shipped = model_or_default(None).folder
    options = ("--model", shipped, "--model", clicks.folder, "--precision", "float32", "--threads", 1)
    folder = tmp_path_factory.mktemp("real-server")
    with RunningServer(folder, *options, module="CRLMSegmentationLib.cli.main") as running:
        assert wait_until(lambda: {m["state"] for m in json.loads(running.get("/models")[1])["models"]} == {"ready"})
        yield running


def here(model: ModelPackage) -> Engine:
    return WorkerEngine(model, precision="float32", cpu_threads=1)


def there(model: ModelPackage, server: RunningServer) -> Engine:
    return RemoteEngine(ServerEngine(model, plain(server), silence_s=PATIENT_S))


def result_of(
    engine: Engine, model: ModelPackage, volume: Volume, seed: tuple, points: tuple = (), **options: object
) -> LesionResult:
    with Session(engine, model) as session:
        session.use_volume(volume)
        wait_for_model(session)
        session.segment("Tumour 1", np.array(seed), Options(**options), points=points)
        return wait_for_lesion(session, "Tumour 1")


def assert_same(one: LesionResult, other: LesionResult) -> None:
    assert one.mask.mask.any()
    assert dice(one.mask.mask, other.mask.mask) >= 0.9999
    assert np.abs(one.mask.crop_probability - other.mask.crop_probability).max() < 1e-4
    assert one.mask.warnings == other.mask.warnings
    assert one.mask.diameters_mm == pytest.approx(other.mask.diameters_mm, rel=1e-3)
    assert one.model_sha256 == other.model_sha256


@pytest.mark.parametrize("sample", SAMPLES)
def test_shipped_model(server, sample):
    model, case = model_or_default(None), load_case(resource_path("SampleCases", sample))
    volume, seed = case.volume(), case.lesions[0].seed_ras_mm
    remote = result_of(there(model, server), model, volume, seed)
    assert "(server 127.0.0.1" in remote.device
    assert {"network", "queue"} <= set(remote.timings_s)
    assert_same(result_of(here(model), model, volume, seed), remote)


def test_mirrored_copies_and_another_crop(server):
    model, case = model_or_default(None), load_case(resource_path("SampleCases", SAMPLES[0]))
    arguments = (model, case.volume(), case.lesions[0].seed_ras_mm)
    options = {"mirroring": True, "crop_size_mm": 60.0, "flip": (0, 2)}
    assert_same(result_of(here(model), *arguments, **options), result_of(there(model, server), *arguments, **options))


def test_chain_of_points(server, clicks, tmp_path: Path):
    case = load_case(resource_path("SampleCases", SAMPLES[0]))
    seed = case.lesions[0].seed_ras_mm
    include = CorrectionPoint(PointKind.INCLUDE, (seed[0] + 9, seed[1], seed[2]))
    exclude = CorrectionPoint(PointKind.EXCLUDE, (seed[0] - 9, seed[1] + 4, seed[2]))
    for points in ((include,), (include, exclude)):
        arguments = (clicks, case.volume(), seed, points)
        remote, local = result_of(there(clicks, server), *arguments), result_of(here(clicks), *arguments)
        assert_same(local, remote)
        volume = remote.volume
        assert remote.mask.mask[volume.voxel_at(include.ras_mm)]
        if exclude in points:
            assert not remote.mask.mask[volume.voxel_at(exclude.ras_mm)]
