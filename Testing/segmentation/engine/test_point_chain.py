"""The passes of the network for a lesion with correction points: what each is shown, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.crop import extract_crop, network_input
from CRLMSegmentationLib.core.crop_format import CLICK_CHANNELS
from CRLMSegmentationLib.core.metrics import share_changed_far_away
from CRLMSegmentationLib.core.postprocessing import lesion_from_probability, lesion_in_crop
from CRLMSegmentationLib.segmentation.engine.engine import Finished, LesionJob, Ready
from CRLMSegmentationLib.segmentation.engine.lesion_run import Kept, run_lesion
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.inference.inference_cache import InferenceCache
from CRLMSegmentationLib.segmentation.inference.loading import load_model
from CRLMSegmentationLib.segmentation.inference.prediction import CancelledError, Prediction
from CRLMSegmentationLib.segmentation.inference.runtime_choice import Wish
from CRLMSegmentationLib.segmentation.models.package import ModelPackage
from CRLMSegmentationLib.segmentation.results import Options, Request
from helpers.ball_helpers import OBLIQUE, ball
from helpers.inference_helpers import COLD_START_LIMIT_S, SPACING_MM, click_package, wait_for
from helpers.point_helpers import exclude, include
from scipy import ndimage

CROP_MM = 40.0


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return click_package(tmp_path_factory.mktemp("models") / "clicks", folds=2, crop_size_mm=CROP_MM)


@dataclass
class Network:
    """A stub of a `prediction.LoadedModel` that remembers what it saw."""

    package: ModelPackage
    probability_of: Callable[[np.ndarray], np.ndarray]
    device_text: str = "stub"
    seen: list[tuple[np.ndarray, Options]] = field(default_factory=list)

    def measured_pass_s(self) -> float:
        return 0.1

    def predict(self, array, spacing_mm, options, on_progress, is_cancelled) -> Prediction:
        self.seen.append((array, options))
        passes = (1 if options.first_fold_only else 2) * (8 if options.mirroring else 1)
        for stage, total in (("preprocess", 1), ("inference", passes), ("postprocess", 1)):
            for done in range(1, total + 1):
                if is_cancelled():
                    raise CancelledError
                on_progress(stage, done, total)
        timings_s = {"preprocess": 1.0, "inference": 10.0 * passes, "postprocess": 100.0}
        return Prediction(self.probability_of(array), timings_s, "stub", ("warm", f"step {min(2, len(self.seen))}"))


def marked(array: np.ndarray) -> np.ndarray:
    """Tumour where include says so more than exclude does: balls around the points."""
    return np.clip(array[1] - array[2], 0, 1)


@pytest.fixture
def volume():
    return ball(OBLIQUE)[0]


def job_of(volume, points=(), whole=False, **options) -> LesionJob:
    seed = tuple(map(float, volume.center_ras_mm))
    said = Options(None if whole else CROP_MM, **options)
    return LesionJob(Request("Tumour 1", seed, volume.identity, said, points=tuple(points)), volume)


def beside(volume, r: float, a: float, s: float) -> tuple[float, ...]:
    return tuple(map(float, volume.center_ras_mm + [r, a, s]))


def points_in(volume):
    return (
        include(*beside(volume, 0, 0, 9)),
        exclude(*beside(volume, 0, -7, 0)),
        include(*beside(volume, 8, 0, 0)),
    )


def run(network, job, report=lambda *_: None, is_cancelled=lambda: False, kept=None) -> Finished:
    return run_lesion(7, job, network, kept or Kept(), report, is_cancelled)


def test_each_pass_is_shown_one_point_more_and_the_lesion_that_it_corrects(package, volume):
    network, points = Network(package, marked), points_in(volume)
    answer = run(network, job_of(volume, points, mirroring=True))
    crop = extract_crop(volume, volume.center_ras_mm, CROP_MM, SPACING_MM)
    previous = None
    for count, (array, options) in enumerate(network.seen):
        np.testing.assert_array_equal(array, network_input(crop, CLICK_CHANNELS, points[:count], previous))
        assert (options.first_fold_only, options.mirroring) == ((True, False) if count < 3 else (False, True))
        previous = lesion_in_crop(marked(array), crop, points[:count])
        assert previous.any()
    assert len(network.seen) == 4
    expected = lesion_from_probability(marked(network.seen[-1][0]), crop, volume, points)
    np.testing.assert_array_equal(answer.lesion.mask, expected.mask)
    np.testing.assert_array_equal(answer.probability, marked(network.seen[-1][0]))


def test_without_points_there_is_one_prediction_as_it_was_asked_for(package, volume):
    network = Network(package, marked)
    run(network, job_of(volume))
    ((array, options),) = network.seen
    assert options == Options(CROP_MM)
    assert not array[2:].any()


def test_order_of_points_matters_since_each_corrects_what_was_before(package, volume):
    points = points_in(volume)
    networks = Network(package, marked), Network(package, marked)
    for network, order in zip(networks, (points, points[::-1])):
        run(network, job_of(volume, order))
    last, reversed_last = (network.seen[-1][0] for network in networks)
    np.testing.assert_array_equal(last[:3], reversed_last[:3])
    assert not np.array_equal(last[3], reversed_last[3])


@pytest.mark.parametrize("flip", [(1,), (0, 1, 2)])
def test_mirrored_network_is_shown_points_and_lesion_mirrored(package, volume, flip):
    """A network that treats all directions alike gives the same answer."""
    points = points_in(volume)
    plain, mirrored = Network(package, marked), Network(package, marked)
    expected, got = run(plain, job_of(volume, points)), run(mirrored, job_of(volume, points, flip=flip))
    np.testing.assert_array_equal(got.probability, expected.probability)
    np.testing.assert_array_equal(got.lesion.mask, expected.lesion.mask)
    for (array, _), (flipped, _) in zip(plain.seen, mirrored.seen):
        np.testing.assert_array_equal(np.flip(flipped, tuple(axis + 1 for axis in flip)), array)


@pytest.mark.parametrize("options", [{}, {"mirroring": True}, {"first_fold_only": True}])
def test_progress_counts_through_all_passes(package, volume, options):
    told = []
    run(Network(package, marked), job_of(volume, points_in(volume), **options), lambda *said: told.append(said))
    passes = [(done, total) for stage, done, total in told if stage == "inference"]
    last = (1 if options.get("first_fold_only") else 2) * (8 if options.get("mirroring") else 1)
    assert passes == [(done, 3 + last) for done in range(1, 4 + last)]
    others = [stage for stage, _, _ in told if stage != "inference"]
    assert others == ["crop", "preprocess", "postprocess"]


def test_times_and_warnings_are_those_of_all_passes(package, volume):
    answer = run(Network(package, marked), job_of(volume, points_in(volume)))
    assert answer.timings_s["preprocess"] == 4.0
    assert answer.timings_s["inference"] == 10.0 * (3 + 2)
    assert answer.timings_s["postprocess"] > 400.0
    assert set(answer.timings_s) == {"crop", "preprocess", "inference", "postprocess"}
    assert answer.warnings == ("warm", "step 1", "step 2")


def test_cancel_ends_the_chain_at_any_pass(package, volume):
    network = Network(package, marked)
    with pytest.raises(CancelledError):
        run(network, job_of(volume, points_in(volume)), is_cancelled=lambda: len(network.seen) > 1)
    assert len(network.seen) == 2


def test_answer_that_is_kept_of_a_whole_volume_is_not_taken_for_other_points(package, volume):
    network, kept = Network(replace(package, region="volume"), marked), Kept()
    points = points_in(volume)
    first, second, again = (
        run(network, job_of(volume, those, whole=True), kept=kept) for those in (points[:1], points, points)
    )
    assert not np.array_equal(first.probability, second.probability)
    np.testing.assert_array_equal(again.probability, second.probability)
    assert len(network.seen) == 2 + 4 + 3, "the last pass of the same points is kept"


@pytest.mark.parametrize(("folds", "predictions"), [(1, [1, 1, 1, 1, 1, 1]), (2, [1, 2, 2, 2, 1, 1])])
def test_one_point_more_or_fewer_costs_no_pass_for_those_before(package, volume, folds, predictions):
    """Of a single network the answer itself is what the next point corrects; of several, that of the first."""
    network, kept = Network(replace(package, folds=tuple(range(folds))), marked), Kept()
    points = points_in(volume)
    other = (*points[:2], exclude(*beside(volume, 3, 3, 3)))
    counts, told = [], []
    for those in ((), points[:1], points[:2], points, points[:2], other):
        network.seen.clear()
        answer = run(network, job_of(volume, those), lambda *said: told.append(said), kept=kept)
        expected = run(Network(network.package, marked), job_of(volume, those))
        np.testing.assert_array_equal(answer.lesion.mask, expected.lesion.mask)
        np.testing.assert_array_equal(answer.probability, expected.probability)
        counts.append(len(network.seen))
        done, total = [said[1:] for said in told if said[0] == "inference"][-1]
        assert done == total
    assert counts == predictions


def test_what_is_remembered_is_not_taken_for_another_seed_volume_or_option(package, volume):
    network, kept, points = Network(package, marked), Kept(), points_in(volume)
    job = job_of(volume, points)
    run(network, job, kept=kept)
    other = replace(volume, array=np.roll(volume.array, 1, axis=0).copy())
    moved = replace(job.request, seed_ras_mm=beside(volume, 1, 0, 0))
    flipped = replace(job.request, options=replace(job.request.options, flip=(0,)))
    for changed in (LesionJob(job.request, other), LesionJob(moved, volume), LesionJob(flipped, volume)):
        network.seen.clear()
        answer = run(network, changed, kept=kept)
        assert len(network.seen) == 4
        np.testing.assert_array_equal(answer.lesion.mask, run(Network(package, marked), changed).lesion.mask)
    network.seen.clear()
    run(network, job_of(volume, points, mirroring=True), kept=kept)
    assert len(network.seen) == 1, "the refinement, in the first of the crops that are remembered"


def test_correction_changes_the_neighbourhood_of_its_point(package, volume):
    """Where the network itself changes nothing else: what surrounds it adds no change far away."""
    points = (include(*beside(volume, 0, 0, 12)), exclude(*beside(volume, 0, -6, 0)))
    network = Network(package, lambda array: 0.9 * (((array[1] > 0.5) | (array[0] < 90)) & (array[2] < 0.5)))
    masks = [run(network, job_of(volume, points[:count])).lesion.mask for count in range(3)]
    for before, after, point in zip(masks, masks[1:], points):
        assert (before != after).any()
        assert share_changed_far_away(before, after, volume.ijk_to_ras, point.ras_mm) == 0.0


def test_real_network_is_shown_the_points_and_what_it_found_before(package, volume, tmp_path):
    """Four channels through a package of this project and a real network; its weights are random."""
    network, _ = load_model(package, Wish("cpu", "float32"), 1, InferenceCache(package, tmp_path))
    points = points_in(volume)
    first, corrected, again = (run(network, job_of(volume, those)) for those in ((), points, points))
    assert np.abs(first.probability - corrected.probability).max() > 1e-3
    np.testing.assert_array_equal(again.probability, corrected.probability)
    crop = extract_crop(volume, volume.center_ras_mm, CROP_MM, SPACING_MM)
    without = network_input(crop, CLICK_CHANNELS, points, None)
    probability = network.predict(without, SPACING_MM, Options(CROP_MM)).probability
    assert np.abs(probability - corrected.probability).max() > 1e-3, "the previous lesion is shown as well"
    assert [bool(corrected.lesion.mask[volume.voxel_at(point.ras_mm)]) for point in points] == [True, False, True]
    assert ndimage.label(corrected.lesion.mask)[1] == 1


@pytest.mark.slow
def test_worker_answers_a_job_with_points_as_this_process_does(package, volume, tmp_path):
    points = points_in(volume)
    network, _ = load_model(package, Wish("cpu", "float32"), 1, InferenceCache(package, tmp_path))
    expected = run(network, job_of(volume, points))
    with WorkerEngine(package, device="cpu", cpu_threads=1, precision="float32") as engine:
        wait_for(engine, Ready, COLD_START_LIMIT_S)
        engine.submit(job_of(volume, points))
        np.testing.assert_array_equal(wait_for(engine, Finished).lesion.mask, expected.lesion.mask)
