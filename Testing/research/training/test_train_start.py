"""A training that starts at the weights of a packed model with other channels, and what its card says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from CRLMSegmentationLib.core.crop_format import CHANNELS, CLICK_CHANNELS
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.research.training.clicks import INCLUDE, PREVIOUS
from CRLMSegmentationLib.research.training.layout import FINAL
from CRLMSegmentationLib.research.training.start import Start, start_weights
from CRLMSegmentationLib.research.training.train import Training, train_dataset
from CRLMSegmentationLib.segmentation.models.checkpoints import read_checkpoint
from CRLMSegmentationLib.segmentation.models.pack import pack_model
from helpers.training_helpers import TINY, write_dataset

TRAINING = Training(TINY, epochs=1, device="cpu", processes=1)
pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture(scope="module")
def seed_model(tmp_path_factory):
    """A packed model of ultrasound and seed, of the same preset."""
    folder = tmp_path_factory.mktemp("seed")
    layout = write_dataset(folder / "dataset")
    train_dataset(layout.root, TRAINING)
    return pack_model(layout.root, folder / "model")


def test_training_starts_at_the_weights_of_a_model(seed_model, tmp_path):
    started = write_dataset(tmp_path / "dataset", variant="crop+clicks")
    still = replace(TINY, learning_rate=0.0)
    training = replace(TRAINING, preset=still, start_from=seed_model)
    train_dataset(started.root, training)
    found, before = read_checkpoint(started.fold_of(TINY, 0) / FINAL).weights, seed_model.weights(0)
    first = "encoder.stages.0.0.convs.0.conv.weight"
    for name in before:
        if before[name].shape == found[name].shape:
            torch.testing.assert_close(found[name], before[name], rtol=0, atol=0)
    torch.testing.assert_close(found[first][:, : INCLUDE + 1], before[first], rtol=0, atol=0)
    assert not found[first][:, INCLUDE + 1 : PREVIOUS + 1].any()
    with pytest.raises(CrlmError, match="another model to start from"):
        train_dataset(started.root, replace(training, start_from=None, resume=True))


def test_card_says_from_which_model_a_training_started(seed_model, tmp_path):
    started = write_dataset(tmp_path / "dataset", variant="crop+clicks")
    old = replace(seed_model, trained_on={"simulated": None, "cases": ["1" * 16]})
    train_dataset(started.root, replace(TRAINING, start_from=old))
    package = pack_model(started.root, tmp_path / "model")
    assert package.channels == CLICK_CHANNELS
    about = {"name": old.name, "version": old.version, "sha256": old.sha256}
    assert package.card["started_from"] == about
    assert package.trained_on["started_from"] == {**about, "trained_on": {"simulated": None}}
    assert package.trained_on["cases"] == ["0" * 16, "1" * 16]
    assert not package.simulated_only


def test_cases_are_not_known_where_the_start_does_not_say_its_own():
    start = Start("old", "1", "0" * 64, list(CHANNELS), {"simulated": True})
    described = start.described_in({"crlm": {"trained_on": {"simulated": True, "cases": ["0" * 16]}}})
    assert "cases" not in described["crlm"]["trained_on"]
    assert described["crlm"]["trained_on"]["simulated"] is True
    json.dumps(described)


def test_model_of_another_network_is_refused():
    small, large = ({"conv.weight": torch.zeros(n, 2, 3, 3, 3)} for n in (4, 8))
    with pytest.raises(CrlmError, match=r"1 weights do not fit, such as conv\.weight"):
        start_weights(small, CHANNELS, large, CHANNELS)
    with pytest.raises(CrlmError, match="such as other"):
        start_weights({**small, "other": torch.zeros(1)}, CHANNELS, small, CHANNELS)
