"""A model that is shown whole volumes: a real nnU-Net in the real worker, and that its answer is nnU-Net's own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from CRLMSegmentationLib.cli.clicks import LesionClicks
from CRLMSegmentationLib.cli.segment_files import segment_file
from CRLMSegmentationLib.core.crop import whole_volume
from CRLMSegmentationLib.core.frames import FrameReader
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.postprocessing import lesion_from_probability
from CRLMSegmentationLib.core.volume import Volume, read_volume, write_volume
from CRLMSegmentationLib.segmentation.engine.engine import Failed, Finished, LesionJob, Progress, Ready
from CRLMSegmentationLib.segmentation.engine.lesion_run import PredictionCache
from CRLMSegmentationLib.segmentation.engine.wire import decode_job, encode_job
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, export_nnunet, write_model_package
from CRLMSegmentationLib.segmentation.results import LesionSegmented
from CRLMSegmentationLib.segmentation.session import Session
from helpers.inference_helpers import (
    COLD_START_LIMIT_S,
    GREY_JSON,
    SPACING_MM,
    assert_answer_of_nnunet,
    crop_array,
    events_until,
    grey_plans,
    lesion_job,
    random_weights,
    tiny_info,
    wait_for,
)
from helpers.point_helpers import exclude, include

TURN = np.radians(20)
OBLIQUE = np.array(
    [
        [np.cos(TURN), -np.sin(TURN), 0, 12.0],
        [np.sin(TURN), np.cos(TURN), 0, -30.0],
        [0, 0, 1, 5.0],
        [0, 0, 0, 1],
    ]
) @ np.diag([-1.1, 0.9, 1.4, 1.0])
"""Oblique, anisotropic, left-handed."""
STRAIGHT = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])


def speckle(seed: int = 0, border: int = 0, matrix: np.ndarray = OBLIQUE) -> Volume:
    """Blobs; swept everywhere, but near one border black, as beyond the depth of the picture.

    So little of it that the mask of insonified voxels does not contradict the voxels.
    """
    grey = crop_array((27, 42, 66) if border else (26, 40, 34), seed)[0]
    array = (1 + 249 * (grey - grey.min()) / np.ptp(grey)).astype(np.uint8)  # no value is cut off to a constant
    array[:, :, :border] = 0
    return Volume(array, matrix, insonified=np.ones(array.shape, bool))


def middle(volume: Volume) -> tuple[float, ...]:
    return tuple(map(float, volume.center_ras_mm))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    info = {**tiny_info(), "region": "volume", "channels": ["ultrasound"]}
    folds = {0: random_weights(0, channels=1)}
    return write_model_package(tmp_path_factory.mktemp("models") / "tiny", grey_plans(), GREY_JSON, folds, info)


@pytest.fixture(scope="module")
def warm(package: ModelPackage) -> Iterator[WorkerEngine]:
    with WorkerEngine(package, device="cpu", cpu_threads=1, precision="float32") as engine:
        wait_for(engine, Ready, COLD_START_LIMIT_S)
        yield engine


@pytest.fixture(scope="module")
def own_predictor(package: ModelPackage, tmp_path_factory: pytest.TempPathFactory):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    folder = export_nnunet(package, tmp_path_factory.mktemp("exported"))
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), package.folds, "checkpoint_final.pth")
    return predictor


def nnunet_answer(predictor, array: np.ndarray) -> np.ndarray:
    return predictor.predict_single_npy_array(array[None], {"spacing": [SPACING_MM] * 3}, None, None, True)[1][1]


def found_seeds(probability: np.ndarray, volume: Volume, count: int) -> list[tuple[float, ...]]:
    """Points in the network's answer that lie well in the volume, far from each other."""
    whole = whole_volume(volume, middle(volume), SPACING_MM)
    inside = np.argwhere((probability >= 0.5) & whole.insonified)[:: max(1, (probability >= 0.5).sum() // 50)]
    places = transform_points(whole.ijk_to_ras, inside[:, ::-1])
    good = [tuple(map(float, place)) for place in places if volume.contains(place)]
    return [good[n * (len(good) - 1) // max(1, count - 1)] for n in range(count)]


def warm_engine_of(engine: WorkerEngine):
    """The warm engine, which the session shall not close."""

    class Kept:
        def __getattr__(self, name: str):
            return (lambda: None) if name == "close" else getattr(engine, name)

    return Kept()


def polled_until(session: Session, kind: type) -> list:
    end_s = time.monotonic() + COLD_START_LIMIT_S
    while time.monotonic() < end_s:
        found = [event for event in session.poll() if isinstance(event, kind)]
        if found:
            return found
        time.sleep(0.005)
    pytest.fail(f"no {kind.__name__}")


@pytest.mark.parametrize("volume", [speckle(), speckle(border=6, matrix=STRAIGHT)], ids=["oblique", "black border"])
def test_answer_equals_that_of_nnunet_on_the_grid_of_the_whole_volume(warm, own_predictor, volume):
    whole = whole_volume(volume, middle(volume), SPACING_MM)
    expected = nnunet_answer(own_predictor, whole.array)
    warm.submit(lesion_job(volume, middle(volume), None))
    finished = wait_for(warm, Finished)
    assert finished.probability.shape == whole.array.shape
    assert_answer_of_nnunet(finished.probability, expected)


def test_nnunet_cuts_nothing_of_an_oblique_volume_and_the_black_border_of_a_straight_one():
    """So that the test above tests both: what was never swept is filled, and not taken for a border."""
    oblique, straight = speckle(), speckle(border=6, matrix=STRAIGHT)
    assert whole_volume(oblique, middle(oblique), SPACING_MM).array.all()
    array = whole_volume(straight, middle(straight), SPACING_MM).array
    assert array.shape == straight.array.shape
    assert not array[:, :, :2].any()


def test_lesion_at_the_seed_is_picked_from_the_answer_and_lies_on_the_grid_of_the_volume(warm, package):
    volume = speckle()
    warm.submit(lesion_job(volume, middle(volume), None))
    probability = wait_for(warm, Finished).probability
    masks = []
    for seed in found_seeds(probability, volume, 2):
        warm.submit(lesion_job(volume, seed, None))
        lesion = wait_for(warm, Finished).lesion
        expected = lesion_from_probability(probability, whole_volume(volume, seed, SPACING_MM), volume)
        np.testing.assert_array_equal(lesion.mask, expected.mask)
        assert lesion.mask.shape == lesion.probability.shape == volume.array.shape
        assert lesion.in_crop.all(), "the network has looked everywhere"
        assert lesion.warnings == expected.warnings
        masks.append(lesion.mask)
    assert any(mask.any() for mask in masks)


def test_session_takes_a_volume_model_as_any_other(warm, package):
    volume = speckle()
    with Session(warm_engine_of(warm), package) as session:
        session.use_volume(volume)
        request = session.segment("Tumour 1", np.array(middle(volume)))
        assert request.options.crop_size_mm is None
        (result,) = [event.result for event in polled_until(session, LesionSegmented)]
    assert result.mask.shape == volume.array.shape
    assert result.mask.crop_probability.shape == whole_volume(volume, middle(volume), SPACING_MM).array.shape
    assert set(result.timings_s) == {"crop", "preprocess", "inference", "postprocess"}


def test_file_is_segmented_and_its_report_speaks_of_no_crop(package, tmp_path):
    volume = speckle()
    write_volume(volume, tmp_path / "volume.nrrd")
    seeds = [LesionClicks(middle(volume)), LesionClicks(tuple(np.add(middle(volume), (4.0, -3.0, 2.0))))]
    results = segment_file(
        tmp_path / "volume.nrrd", seeds, tmp_path / "out.nrrd", package.folder, report=tmp_path / "report.json"
    )
    assert [result.request.options.crop_size_mm for result in results] == [None, None]
    assert read_volume(tmp_path / "out.nrrd").array.shape == volume.array.shape
    entries = json.loads((tmp_path / "report.json").read_text())
    assert [(e["crop_size_mm"], e["metrics_region"]) for e in entries] == [(None, "the whole volume")] * 2
    assert not any("larger crop" in warning for e in entries for warning in e["warnings"])


def test_further_lesion_of_the_same_volume_is_picked_from_the_answer_that_is_there(warm):
    volume, seed = speckle(3), middle(speckle(3))
    beside = tuple(np.add(seed, (4.0, -3.0, 2.0)))

    def ask(job: LesionJob) -> tuple[Finished, int]:
        warm.submit(job)
        events = events_until(warm, Finished)
        return events[-1], sum(isinstance(event, Progress) and event.stage == "inference" for event in events)

    first, passes = ask(lesion_job(volume, seed, None))
    second, none = ask(lesion_job(volume, beside, None))
    assert passes > 1
    assert none == 0, "the network was not asked again"
    np.testing.assert_array_equal(second.probability, first.probability)
    assert second.timings_s["inference"] == first.timings_s["inference"], "as it took, not as if it were for nothing"
    changed = volume.array.copy()
    changed[13, 20, 17] ^= 64
    assert ask(lesion_job(Volume(changed, OBLIQUE, insonified=volume.insonified), seed, None))[1] == passes
    assert ask(lesion_job(volume, seed, None, mirroring=True))[1] == 8 * passes
    assert ask(lesion_job(volume, beside, None, mirroring=True))[1] == 0
    crop, crop_passes = ask(lesion_job(volume, seed, 20.0))
    assert crop_passes > 0
    assert crop.probability.shape == (16, 16, 16), "a job that names a size is cut"
    assert ask(lesion_job(volume, seed, None, mirroring=True))[1] == 0, "crops do not drive it out"


def test_prediction_that_failed_leaves_nothing_behind():
    kept, array = PredictionCache(), np.zeros((1, 2, 2, 2), np.float32)

    def fails():
        raise RuntimeError("no memory")

    assert kept.get_or_predict(array, False, lambda: "first") == "first"
    with pytest.raises(RuntimeError, match="no memory"):
        kept.get_or_predict(array + 1, False, fails)
    assert kept.get_or_predict(array, False, lambda: "again") == "again"


def test_volume_too_large_for_the_model_is_refused_with_what_to_do(warm):
    volume = Volume(np.ones((30, 30, 30), np.uint8), np.diag([25.0, 25.0, 25.0, 1.0]))
    warm.submit(lesion_job(volume, middle(volume), None))
    assert "too many to compute; cut the volume" in wait_for(warm, Failed).reason


@pytest.mark.parametrize("size_mm", [None, 35.0])
def test_job_travels_with_its_region_and_points(size_mm):
    reader, job = FrameReader(), lesion_job(speckle(), (1.0, 2.0, 3.0), size_mm)
    job = replace(job, request=replace(job.request, points=(exclude(1, 2, 9), include(4, 5, 6))))
    frame, data = None, b"".join(map(bytes, encode_job(7, job)))
    while data:
        count = len(reader.wanted()[: len(data)])
        reader.wanted()[:count], data = data[:count], data[count:]
        frame = reader.filled(count)
    assert decode_job(frame).request == job.request


def test_package_of_a_volume_model_is_exported_and_read_back_with_its_region(package, models, tmp_path: Path):
    from CRLMSegmentationLib.segmentation.models.archive import zip_model_package
    from CRLMSegmentationLib.segmentation.models.importer import import_model

    zip_model_package(package, tmp_path / "tiny.zip")
    assert import_model(tmp_path / "tiny.zip").region == "volume"


@pytest.mark.parametrize("crop_size_mm", [None, 24.0])
def test_what_is_turned_round_is_answered_in_its_own_place(warm, crop_size_mm):
    """As if the volume itself had been turned round, segmented, and turned back."""
    volume = speckle(matrix=STRAIGHT)
    turned = Volume(np.ascontiguousarray(volume.array[:, ::-1]), STRAIGHT, insonified=volume.insonified)
    answers = []
    for shown, flip in ((volume, (1,)), (turned, ())):
        warm.submit(lesion_job(shown, middle(volume), crop_size_mm, flip=flip))
        answers.append(wait_for(warm, Finished))
    np.testing.assert_allclose(answers[0].probability, answers[1].probability[:, ::-1], atol=1e-4)
    assert np.ptp(answers[0].probability) > 0.01
