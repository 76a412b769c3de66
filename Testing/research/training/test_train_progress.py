"""Which fold runs where, how far a training is, and what is shown of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from CRLMSegmentationLib.cli.console import duration_text, figures_of, training_bars
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.research.training.layout import replacing
from CRLMSegmentationLib.research.training.learning_curve import draw_learning_curve
from CRLMSegmentationLib.research.training.presets import PRESETS, preset_from, preset_named
from CRLMSegmentationLib.research.training.progress import (
    FoldProgress,
    FoldState,
    append_progress,
    keep_progress,
    read_progress,
)
from CRLMSegmentationLib.research.training.step_queue import StepError, run_queue

LINE = {"epoch": 0, "train_loss": 0.5, "val_loss": 0.4, "dice": 0.3, "lr": 0.01, "seconds": 2.0}


class Launcher:
    """Stubs that end after a number of polls; notes what runs at the same time."""

    def __init__(self, polls: dict[int, int], fails: int | None = None, interrupts: int | None = None) -> None:
        self.polls, self.fails, self.interrupts = polls, fails, interrupts
        self.started, self.ended, self.most, self.running = [], [], 0, {}

    def __call__(self, job: int, place: str):
        assert place not in self.running.values(), "two at the same place"
        self.started.append((job, place))
        self.running[job] = place
        self.most = max(self.most, len(self.running))
        return Stub(self, job)


class Stub:
    def __init__(self, launcher: Launcher, job: int) -> None:
        self.launcher, self.job, self.left = launcher, job, launcher.polls[job]

    def poll(self):
        self.left -= 1
        if self.left:
            return [], False
        if self.job == self.launcher.interrupts:
            raise KeyboardInterrupt
        if self.job == self.launcher.fails:
            raise StepError(f"job {self.job} failed")
        del self.launcher.running[self.job]
        return [{"type": "done"}], True

    def end(self):
        self.launcher.ended.append(self.job)


def write_half(path: Path) -> None:
    with replacing(path) as unfinished:
        unfinished.write_bytes(b"ha")
        raise OSError("disk full")


def queue(launcher: Launcher, places: list[str], **keywords) -> None:
    run_queue(sorted(launcher.polls), places, launcher, sleep=lambda seconds: None, **keywords)


def test_each_gpu_has_one_fold_and_the_next_takes_the_first_that_is_free():
    launcher = Launcher({0: 5, 1: 2, 2: 1})
    told = []
    queue(launcher, ["0", "1"], on_message=lambda job, message: told.append(job))
    assert launcher.started == [(0, "0"), (1, "1"), (2, "1")]
    assert launcher.most == 2
    assert told == [1, 2, 0]


def test_on_one_place_folds_come_one_after_the_other():
    launcher = Launcher({0: 2, 1: 2, 2: 2})
    queue(launcher, ["cpu"])
    assert launcher.started == [(0, "cpu"), (1, "cpu"), (2, "cpu")]
    assert launcher.most == 1


@pytest.mark.parametrize(("how", "error"), [("fails", StepError), ("interrupts", KeyboardInterrupt)])
def test_first_failure_and_ctrl_c_end_all_that_run_and_start_no_more(how, error):
    launcher = Launcher({0: 9, 1: 2, 2: 9}, **{how: 1})
    with pytest.raises(error):
        queue(launcher, ["0", "1"])
    assert launcher.ended == [0, 1]
    assert [job for job, _ in launcher.started] == [0, 1]


def test_time_left_is_the_mean_of_recent_epochs_times_what_is_left():
    progress = FoldProgress(3)
    progress.take({"type": "started", "epoch": 4, "epochs": 8})
    assert progress.state.seconds_left is None
    progress.take({"type": "epoch", **LINE, "epoch": 4, "seconds": 2.0})
    state = progress.take({"type": "epoch", **LINE, "epoch": 5, "seconds": 4.0})
    assert state.seconds_left == pytest.approx(2 * 3.0)
    state = progress.take({"type": "step", "epoch": 6, "iteration": 5, "iterations": 10, "loss": 0.1})
    assert state.seconds_left == pytest.approx(1.5 * 3.0)
    assert state.share == pytest.approx(6.5 / 8)


def test_lines_after_the_checkpoint_are_trained_again_and_a_torn_one_is_left_out(tmp_path):
    path = tmp_path / "progress.jsonl"
    for epoch in range(3):
        append_progress(path, {**LINE, "epoch": epoch})
    with path.open("a") as file:
        file.write('{"epoch": 3, "tra')
    assert [line["epoch"] for line in read_progress(path)] == [0, 1, 2]
    assert [line["epoch"] for line in keep_progress(path, 2)] == [0, 1]
    append_progress(path, {**LINE, "epoch": 2})
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [0, 1, 2]


def test_checkpoint_that_is_not_written_to_its_end_takes_no_place(tmp_path):
    path = tmp_path / "checkpoint_latest.pth"
    path.write_bytes(b"whole")
    with pytest.raises(OSError, match="full"):
        write_half(path)
    assert path.read_bytes() == b"whole"


def test_figures_are_told_in_one_line():
    state = FoldState(0, epoch=12, epochs=100, train_loss=-0.412, val_loss=-0.38, dice=0.7249, seconds_left=12000)
    assert figures_of(state) == "epoch 12 of 100, loss -0.41, validation -0.38, Dice 0.72, 3 h 20 min left"
    assert figures_of(FoldState(0, epoch=0, epochs=100)) == "epoch 0 of 100"
    assert [duration_text(seconds) for seconds in (45, 720, 3599)] == ["45 s", "12 min", "1 h 00 min"]


def test_without_a_terminal_there_is_a_line_for_every_tenth_of_a_thousand_epochs(capsys):
    with training_bars() as (_, on_state):
        for epoch in range(1001):
            on_state(FoldState(0, epoch=epoch, epochs=1000))
            on_state(FoldState(0, epoch=epoch, epochs=1000, iteration=1, iterations=2))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 101
    assert lines[1] == "Fold 0: epoch 10 of 1000"


def test_curve_marks_simulated_data_and_bears_epochs_without_dice(tmp_path):
    lines = [{**LINE, "epoch": epoch, "dice": None if epoch < 2 else 0.5} for epoch in range(5)]
    for name, simulated in (("simulated", True), ("real", False)):
        draw_learning_curve(tmp_path / f"{name}.png", lines, "Title", simulated)
    figures = [(tmp_path / f"{name}.png").read_bytes() for name in ("simulated", "real")]
    assert all(image.startswith(b"\x89PNG") for image in figures)
    assert figures[0] != figures[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real.png", "simulated.png"]


def test_presets_travel_as_json_and_have_folders_of_their_own():
    for preset in PRESETS.values():
        assert preset_from(json.loads(json.dumps(preset.as_json()))) == preset
    assert len({preset.plans for preset in PRESETS.values()}) == len(PRESETS)
    with pytest.raises(CrlmError, match="quick, standard, residual-encoder"):
        preset_named("fast")
