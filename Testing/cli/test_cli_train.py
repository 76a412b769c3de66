"""`crlm-seg train` on the command line: what it says at the end, and how it ends before."""

from __future__ import annotations

import os
import signal

import pytest
from CRLMSegmentationLib.research.training import train
from CRLMSegmentationLib.research.training.layout import LATEST, Layout
from CRLMSegmentationLib.research.training.presets import QUICK
from CRLMSegmentationLib.research.training.step_queue import StepError
from helpers.cli_helpers import Run, wait_until
from helpers.training_helpers import write_dataset


@pytest.fixture
def dataset(tmp_path) -> Layout:
    return write_dataset(tmp_path / "data set")


def test_ctrl_c_ends_all_processes_and_says_how_to_go_on(dataset):
    with Run("train", dataset.root, "--preset", "quick") as running:
        running.wait_for_line("err", "Planning ...")
        running.wait_for_child("training.plan")
        running.press_ctrl_c()
        done = running.finish()
        assert running.leaves_nothing()
    assert done.code == 1
    assert "stopped before the end; nothing is trained yet; continue with: crlm-seg train" in done.err
    assert "Traceback" not in done.err


def test_nothing_goes_on_when_the_program_is_killed(dataset):
    with Run("train", dataset.root, "--preset", "quick") as running:
        assert wait_until(dataset.planning_log.exists)
        os.kill(running.process.pid, signal.SIGKILL)
        assert running.leaves_nothing()


def test_results_and_the_command_that_packs_them_are_told(crlm_seg, dataset, monkeypatch):
    results = dataset.results_of(QUICK)
    for fold in (0, 1):
        dataset.fold_of(QUICK, fold).mkdir(parents=True)
    monkeypatch.setattr(train, "train_dataset", lambda *arguments: results)
    done = crlm_seg("train", dataset.root, "--preset", "quick", "--fold", "1")
    assert done.code == 0, done
    told = done.out.splitlines()
    assert told[0] == f"Results: {results}"
    assert told[1] == f"Next: crlm-seg pack '{results}' --fold 1 --out '{dataset.root / 'model'}'"
    done = crlm_seg("train", dataset.root, "--preset", "quick", "--fold", "all-of-them")
    assert done.out.splitlines()[1] == f"Next: crlm-seg pack '{results}' --out '{dataset.root / 'model'}'"


@pytest.mark.parametrize("ended", [KeyboardInterrupt(), StepError("the training of fold 0 failed: no memory")])
def test_training_that_was_ended_says_what_is_kept_and_how_to_go_on(crlm_seg, dataset, monkeypatch, ended):
    def end(*arguments):
        dataset.fold_of(QUICK, 0).mkdir(parents=True)
        (dataset.fold_of(QUICK, 0) / LATEST).touch()
        raise ended

    monkeypatch.setattr(train, "train_dataset", end)
    done = crlm_seg("train", dataset.root, "--preset", "quick", "--fold", "0", "--fold", "1", "--epochs", "7")
    assert done.code == 1
    assert len(done.error_lines) == 1
    assert "fold_0 kept up to the last checkpoint; continue with: crlm-seg train" in done.err
    assert done.err.rstrip().endswith(
        f"'{dataset.root}' --preset quick --seed 0 --device auto --fold 0 --fold 1 --epochs 7 --resume"
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--fold", "first"], "a fold is a number, or all-of-them, got first"),
        (["--device", "tpu"], "choose auto, cpu or cuda"),
        (["--preset", "fast"], "choose one of quick, standard, residual-encoder"),
        (["--epochs", "0"], "1 epoch or more"),
        (["--fold", "9"], "no fold 9"),
    ],
)
def test_wrong_words_are_refused_at_once(crlm_seg, dataset, words, reason):
    done = crlm_seg("train", dataset.root, *words)
    assert done.code == 1
    assert reason in done.err
    assert not dataset.preprocessed.exists()


def test_folder_that_is_no_dataset_says_how_to_make_one(crlm_seg, tmp_path):
    done = crlm_seg("train", tmp_path)
    assert done.code == 1
    assert "crlm-seg prepare" in done.err
