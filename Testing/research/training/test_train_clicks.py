"""A tiny network of nnU-Net that is trained with simulated clicks: reproducible, and resumed."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch
from CRLMSegmentationLib.core.crop_format import CLICK_CHANNELS
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.research.training.clicks import DEFORMED, NETWORK
from CRLMSegmentationLib.research.training.fold_process import FoldSettings, make_trainer
from CRLMSegmentationLib.research.training.layout import FINAL, LATEST, Layout
from CRLMSegmentationLib.research.training.step_queue import StepError
from CRLMSegmentationLib.research.training.train import Training, train_dataset
from CRLMSegmentationLib.segmentation.models.checkpoints import read_checkpoint
from helpers.fold_helpers import fold_until, poll_to_the_end
from helpers.training_helpers import TINY, write_dataset
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

EPOCHS = 4
TRAINING = Training(TINY, epochs=EPOCHS, device="cpu", processes=1)
pytestmark = pytest.mark.usefixtures("in_this_process")


def weights_of(layout: Layout) -> dict[str, torch.Tensor]:
    return read_checkpoint(layout.fold_of(TINY, 0) / FINAL).weights


def copy_of(layout: Layout, root) -> Layout:
    """The same dataset, planned, nothing trained yet."""
    shutil.copytree(layout.root, root, ignore=shutil.ignore_patterns("results"))
    return Layout(root, layout.name)


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> Layout:
    """A dataset with channels for clicks, of which fold 0 was trained without a break."""
    layout = write_dataset(tmp_path_factory.mktemp("clicks") / "dataset", variant="crop+clicks")
    train_dataset(layout.root, TRAINING)
    return layout


def first_batches(layout: Layout, preset, count: int) -> list[dict]:
    """The first training batches of a fold with their clicks, as the network is shown them."""
    folder = layout.fold_of(preset, 0)
    FoldSettings(0, preset, EPOCHS, 0, "", True, "").write(folder)
    shown = []

    def train_step(trainer, batch):
        shown.append({name: batch["data"][:, number].numpy().copy() for number, name in enumerate(CLICK_CHANNELS)})
        return {"loss": np.float32(0)}

    with mock.patch.dict(os.environ), mock.patch.object(nnUNetTrainer, "train_step", train_step):
        trainer = make_trainer(folder, FoldSettings.read(folder), "cpu")
        trainer.on_train_start()
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
        for _ in range(count):
            trainer.train_step(next(trainer.dataloader_train))
    return shown


@pytest.mark.parametrize("way", [NETWORK, DEFORMED])
def test_batches_hold_first_clicks_and_corrections_drawn_from_seed_and_place(way, planned, tmp_path):
    preset = replace(TINY, clicks=way)
    shown, again = (first_batches(copy_of(planned, tmp_path / name), preset, 12) for name in ("one", "two"))
    assert all((one[name] == other[name]).all() for one, other in zip(shown, again) for name in CLICK_CHANNELS)
    previous = np.concatenate([batch["previous"] for batch in shown])
    assert set(np.unique(previous)) == {0, 1}
    points = np.concatenate([batch[name] for batch in shown for name in ("include", "exclude")])
    assert points.min() >= 0  # neither noise nor gamma has changed them
    assert points.max() <= 1
    is_corrected = [sample.any() for batch in shown for sample in batch["exclude"]]
    assert any(is_corrected)
    assert not all(is_corrected)


def test_killed_training_goes_on_to_the_same_weights(planned, tmp_path):
    resumed = copy_of(planned, tmp_path / "dataset")
    step = fold_until(resumed, TRAINING, epoch=1)
    os.kill(step.pid, signal.SIGKILL)
    with pytest.raises(StepError, match="signal 9"):
        poll_to_the_end(step)
    assert (resumed.fold_of(TINY, 0) / LATEST).is_file()
    told = []
    train_dataset(resumed.root, replace(TRAINING, resume=True), on_state=told.append)
    assert told[0].epoch >= 1
    expected, found = weights_of(planned), weights_of(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_clicks_at_other_errors_give_other_weights_and_are_not_gone_on_with(planned, tmp_path):
    other = copy_of(planned, tmp_path / "dataset")
    deformed = replace(TRAINING, preset=replace(TINY, clicks=DEFORMED))
    train_dataset(other.root, deformed)
    expected, found = weights_of(planned), weights_of(other)
    assert any(not torch.equal(expected[name], found[name]) for name in expected)
    with pytest.raises(CrlmError, match="other settings of the preset"):
        train_dataset(other.root, replace(TRAINING, resume=True))
