"""A fold that is trained in a process of its own, which a test may end."""

from __future__ import annotations

import time

from CRLMSegmentationLib.research.training import train
from CRLMSegmentationLib.research.training.layout import LOG, Layout
from CRLMSegmentationLib.research.training.step_queue import StepProcess
from CRLMSegmentationLib.research.training.train import Training


def fold_until(layout: Layout, training: Training, epoch: int) -> StepProcess:
    """Train fold 0 until it has told of an epoch."""
    folder = layout.fold_of(training.preset_used, 0)
    manifest = train.verify_manifest(layout.root)
    train._settings(layout, manifest, training, training.preset_used)[0].write(folder)
    step = StepProcess("the training", "fold_process", [str(folder), "--child"], folder / LOG, {})
    while True:
        messages, _ = step.poll()
        if any(message["type"] == "epoch" and message["epoch"] >= epoch for message in messages):
            return step
        time.sleep(0.002)


def poll_to_the_end(step: StepProcess) -> None:
    try:
        while not step.poll()[1]:
            time.sleep(0.02)
    finally:
        step.end()
