"""A tracker that sends poses to a workspace, and volumes of one live reconstruction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from CRLMSegmentationLib.igtl.messages import TransformMessage, image_of

from .workspace_helpers import SEED

RATE_HZ = 40.0
EPOCH_S = 1_700_000_000.0


def at(x, y=20.0, z=20.0):
    """A pose there; the ball of the tiny volume has a radius of 8 mm and its centre at (20, 20, 20)."""
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def calibration(with_shells_mm, alone_mm):
    """Of a model, as its package holds it: a Dice of 0.2 without agreement, of 0.85 with full agreement."""
    return {
        "agreements": [0.0, 1.0],
        "expected_dice": [0.2, 0.85],
        "unexplained": {"with_shells_mm": with_shells_mm, "alone_mm": alone_mm},
        "lesions": 30,
        "patients": 20,
        "simulated": True,
    }


class Tracker:
    """Sends 40 times a second what it is told to, and lets the workspace take its turns."""

    def __init__(self, workspace, link, clock):
        self.workspace, self.link, self.clock = workspace, link, clock

    def send(self, seconds=0.5, **poses):
        """Matrices, or the status of a device that is lost."""
        for _ in range(round(seconds * RATE_HZ)):
            self.clock.now_s += 1 / RATE_HZ
            self.link.inbox = [self._message(device, pose) for device, pose in poses.items()]
            self.workspace.tick()
        return self.workspace.navigation.situation

    def wait(self, seconds):
        for _ in range(round(seconds * 20)):
            self.clock.now_s += 1 / 20
            self.workspace.tick()
        return self.workspace.navigation.situation

    def _message(self, device, pose):
        lost = isinstance(pose, str)
        metadata = {"TransformStatus": pose} if lost else {}
        return TransformMessage(device, EPOCH_S + self.clock.now_s, np.eye(4) if lost else pose, metadata)


def draw_all(workspace, most=5000):
    """Let the workspace take turns, which end after some milliseconds each, until it has drawn everything."""
    workspace.tick()
    for _ in range(most):
        if not workspace.navigation.is_at_work:
            break
        workspace.tick()
    assert not workspace.navigation.is_at_work


def send_volume(workspace, link, volume, number):
    """The next volume of a live reconstruction: other noise, another time."""
    link.inbox = [image_of(replace(volume, array=volume.array + np.uint8(number % 7), timestamp_s=100.0 + number))]
    turns(workspace)


def turns(workspace):
    """Two turns: what is asked for in one is handed to the engine in the next."""
    workspace.tick()
    workspace.tick()


def with_lesion(workspace, link, engine, volume):
    """A volume over the link and its tumour segmented."""
    send_volume(workspace, link, volume, 0)
    workspace.add_seed(SEED)
    workspace.tick()
    workspace.segment()
    finish(workspace, engine)


def finish(workspace, engine):
    """Let what is asked for be answered."""
    workspace.tick()
    engine.finish()
    workspace.tick()


def finish_all(workspace, engine, clock, turns=40):
    """Let everything be answered, also what is asked for by itself meanwhile."""
    for _ in range(turns):
        clock.now_s += 0.3
        workspace.tick()
        if engine.pending is not None:
            engine.finish()
    workspace.tick()
