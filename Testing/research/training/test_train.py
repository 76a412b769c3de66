"""Real nnU-Net with a network of three stages: trained, ended by force, gone on with, and refused."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace

import blosc2
import numpy as np
import pytest
import torch
from CRLMSegmentationLib.core.errors import CrlmError, ModelError, WorkerError
from CRLMSegmentationLib.research.training import train
from CRLMSegmentationLib.research.training.fold_process import KEEP_MEMORY, FoldSettings
from CRLMSegmentationLib.research.training.layout import CURVE, FINAL, LATEST, LOG, PROGRESS, Layout, locked
from CRLMSegmentationLib.research.training.plan import plan_and_preprocess
from CRLMSegmentationLib.research.training.progress import read_progress
from CRLMSegmentationLib.research.training.step_queue import StepError, StepProcess
from CRLMSegmentationLib.research.training.train import Training, train_dataset
from CRLMSegmentationLib.segmentation.models.checkpoints import read_checkpoint
from CRLMSegmentationLib.segmentation.models.pack import pack_model
from CRLMSegmentationLib.segmentation.models.package import load_model_package
from helpers.fold_helpers import fold_until, poll_to_the_end
from helpers.training_helpers import TINY, write_dataset

EPOCHS = 4
TRAINING = Training(TINY, epochs=EPOCHS, device="cpu", processes=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Layout:
    """A dataset that two processes have preprocessed, and of which fold 0 was trained without a break."""
    layout = write_dataset(tmp_path_factory.mktemp("trained") / "dataset")
    train_dataset(layout.root, replace(TRAINING, processes=2))
    return layout


@pytest.fixture
def planned(trained, tmp_path) -> Layout:
    """The same dataset, planned, nothing trained yet."""
    root = tmp_path / "dataset"
    shutil.copytree(trained.root, root, ignore=shutil.ignore_patterns("results"))
    return Layout(root, trained.name)


@pytest.fixture
def unlaunched(monkeypatch):
    """No process may be started."""

    def refuse(*arguments):
        raise AssertionError(f"started {arguments}")

    monkeypatch.setattr(train, "StepProcess", refuse)


def weights_of(layout: Layout) -> dict[str, torch.Tensor]:
    return read_checkpoint(layout.fold_of(TINY, 0) / FINAL).weights


def test_fold_leaves_checkpoint_progress_curve_and_log(trained):
    folder = trained.fold_of(TINY, 0)
    lines = read_progress(folder / PROGRESS)
    assert [line["epoch"] for line in lines] == list(range(EPOCHS))
    assert lines[0]["lr"] > lines[-1]["lr"] > 0
    assert lines[-1]["train_loss"] < lines[0]["train_loss"]
    assert read_checkpoint(folder / FINAL).epochs == EPOCHS
    assert not (folder / LATEST).exists()
    assert (folder / CURVE).read_bytes().startswith(b"\x89PNG")
    assert "Training done" in (folder / LOG).read_text()


def test_one_process_preprocesses_as_two_do(trained, tmp_path):
    layout = write_dataset(tmp_path / "dataset")
    plan_and_preprocess(layout, TINY, processes=1)
    for name in ("dataset_fingerprint.json", f"{TINY.plans}.json"):
        assert (layout.preprocessed / name).read_text() == (trained.preprocessed / name).read_text()
    images = sorted(path.relative_to(layout.preprocessed) for path in layout.preprocessed.rglob("*.b2nd"))
    assert len(images) == 2 * len(list(layout.raw.glob("labelsTr/*")))
    for image in images:
        one, two = (blosc2.open(str(d.preprocessed / image), mode="r")[:] for d in (layout, trained))
        np.testing.assert_array_equal(one, two)


@pytest.mark.usefixtures("in_this_process")
def test_killed_training_goes_on_to_the_same_weights(trained, planned):
    step = fold_until(planned, TRAINING, epoch=1)
    os.kill(step.pid, signal.SIGKILL)
    with pytest.raises(StepError, match=r"signal 9.*last lines of"):
        poll_to_the_end(step)
    assert (planned.fold_of(TINY, 0) / LATEST).is_file()
    with pytest.raises(CrlmError, match=r"fold 0 is begun already.*--resume"):
        train_dataset(planned.root, TRAINING)
    told = []
    train_dataset(planned.root, replace(TRAINING, resume=True), on_state=told.append)
    assert told[0].epoch >= 1
    expected, found = weights_of(trained), weights_of(planned)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    lines = read_progress(planned.fold_of(TINY, 0) / PROGRESS)
    assert [line["epoch"] for line in lines] == list(range(EPOCHS))


def test_finished_fold_is_refused_and_with_resume_left_as_it_is(trained, unlaunched):
    with pytest.raises(CrlmError, match=r"fold 0 is finished already.*--resume"):
        train_dataset(trained.root, TRAINING)
    before = (trained.fold_of(TINY, 0) / FINAL).stat().st_mtime_ns
    results = train_dataset(trained.root, replace(TRAINING, resume=True))
    assert results == trained.results_of(TINY).resolve()
    assert (trained.fold_of(TINY, 0) / FINAL).stat().st_mtime_ns == before


def test_fold_is_not_gone_on_with_in_another_way(trained, unlaunched):
    other = replace(TRAINING, epochs=EPOCHS + 1, seed=7, resume=True)
    with pytest.raises(CrlmError, match=f"fold 0 was finished with epochs {EPOCHS} and seed 0"):
        train_dataset(trained.root, other)


def test_dataset_with_one_configuration_can_be_packed(trained, tmp_path):
    package = pack_model(trained.root, tmp_path / "model")
    assert load_model_package(tmp_path / "model") == package
    assert (package.name, package.crop_size_mm, package.channels) == ("tiny", 24.0, ("ultrasound", "seed"))
    assert package.simulated_only
    assert package.card["epochs"] == EPOCHS


def test_dataset_with_several_configurations_cannot_be_packed_as_a_whole(tmp_path):
    dataset = tmp_path / "dataset"
    for plans in ("aPlans", "bPlans"):
        fold = dataset / "results" / "Dataset511_X" / f"CRLMTrainer__{plans}__3d_fullres" / "fold_0"
        fold.mkdir(parents=True)
        (fold / FINAL).touch()
    with pytest.raises(ModelError, match=r"2 configurations.*aPlans.*bPlans"):
        pack_model(dataset, tmp_path / "model")
    shutil.rmtree(dataset / "results" / "Dataset511_X")
    with pytest.raises(ModelError, match="nothing is trained"):
        pack_model(dataset, tmp_path / "model")


def test_fold_on_the_processor_keeps_the_memory_of_its_layers(planned, monkeypatch):
    environments = {}

    class Step:
        def __init__(self, what, module, arguments, log, environment):
            environments[module] = environment

        def poll(self):
            return [{"type": "device", "device": "cpu", "gpus": 0, "warnings": []}], True

        def end(self): ...

    monkeypatch.setattr(train, "StepProcess", Step)
    train_dataset(planned.root, TRAINING)
    assert environments == {"plan": {}, "fold_process": KEEP_MEMORY}


@pytest.mark.usefixtures("in_this_process")
def test_network_of_nan_ends_the_training(planned):
    hot = replace(TINY, learning_rate=1e30)
    with pytest.raises(StepError, match="became NaN or infinite"):
        train_dataset(planned.root, replace(TRAINING, preset=hot))
    assert not (planned.fold_of(TINY, 0) / LATEST).exists()


def test_child_that_dies_is_quoted(planned):
    folder = planned.fold_of(TINY, 0)
    FoldSettings(0, TINY, 1, 0, "", True, "").write(folder)
    shutil.rmtree(planned.preprocessed)
    step = StepProcess("the training", "fold_process", [str(folder), "--child"], folder / LOG, {})
    with pytest.raises(StepError, match=r"the training failed.*tinyPlans.json cannot be read: there is no such file"):
        poll_to_the_end(step)


def test_fold_is_trained_by_one_process_at_a_time(planned):
    with locked(planned.fold_of(TINY, 0)), pytest.raises(StepError, match=r"another process works in .*fold_0"):
        fold_until(planned, TRAINING, epoch=0)


def test_no_hour_is_spent_on_what_cannot_work(planned, unlaunched, monkeypatch):
    with pytest.raises(CrlmError, match="folds 0 to 1, and no fold 2, 5"):
        train_dataset(planned.root, replace(TRAINING, folds=(5, 2)))
    with pytest.raises(CrlmError, match="no preset 'fast'; choose one of quick, standard, residual-encoder"):
        train_dataset(planned.root, replace(TRAINING, preset="fast"))
    with pytest.raises(CrlmError, match="crlm-seg prepare"):
        train_dataset(planned.root / "raw", TRAINING)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 10**6))
        with pytest.raises(CrlmError, match=r"0\.0 GB free, and about 0\.2 GB are needed"):
            train_dataset(planned.root, TRAINING)
    next((planned.raw / "labelsTr").iterdir()).write_bytes(b"changed")
    with pytest.raises(CrlmError, match="changed"):
        train_dataset(planned.root, TRAINING)


def test_fold_without_validation_patients_is_refused(planned, unlaunched):
    planned.splits.write_text('[{"train": ["patient-0"], "val": []}]')
    with pytest.raises(CrlmError, match="fold 0 has nothing to train or nothing to validate on"):
        train_dataset(planned.root, TRAINING)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_device_that_does_not_work_is_refused_before_anything_is_planned(tmp_path):
    layout = write_dataset(tmp_path / "dataset")
    with pytest.raises((StepError, WorkerError), match="CUDA cannot be used"):
        train_dataset(layout.root, replace(TRAINING, device="cuda"))
    assert not layout.preprocessed.exists()
