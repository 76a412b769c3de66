"""A tracker as a link that a workspace listens to: it sends, 40 times a second, the poses that a test has set."""

from __future__ import annotations

import time

import numpy as np

RATE_HZ = 40.0
RADIUS_MM = 8.5
"""Of the segmentation of the tiny volume's ball, whose centre is (20, 20, 20)."""


class ScriptedTracker:
    """Attributes:
    poses: by device, a place (RAS mm) of the tip, or the status of what is lost; absent is silent. That of the liver
        sensor is there from the beginning, as a tracker sends it.
    volumes: to be sent next, once each.
    """

    def __init__(self) -> None:
        from CRLMSegmentationLib.igtl.link import LinkState

        self.state, self.state_reason, self.receiving = LinkState.CONNECTED, "", None
        self.poses: dict[str, tuple[float, float, float] | str] = {"ReferenceToTracker": (0.0, 0.0, 0.0)}
        self.volumes: list = []
        self._sent_s = 0.0

    def stylus(self, away_mm: float | str | None) -> None:
        """Hold the stylus so far from the ball, to its right; or lose it; or send nothing of it."""
        if away_mm is None:
            self.poses.pop("StylusToReference", None)
        else:
            lost = isinstance(away_mm, str)
            self.poses["StylusToReference"] = away_mm if lost else (20.0 + RADIUS_MM + away_mm, 20.0, 20.0)

    def poll(self, budget_s: float = 0.004) -> list:
        if time.monotonic() - self._sent_s < 1 / RATE_HZ:
            return []
        self._sent_s = time.monotonic()
        volumes, self.volumes = self.volumes, []
        return [*map(_image_of, volumes), *(_message(device, pose) for device, pose in self.poses.items())]

    def close(self) -> None:
        from CRLMSegmentationLib.igtl.link import LinkState

        self.state = LinkState.CLOSED


def use_tracker(workspace, tracker: ScriptedTracker) -> None:
    """Connect a workspace to a tracker, as if the volume that is there had come with its poses."""
    workspace.use_link(tracker, of_current_volume=True)


def _image_of(volume):
    from CRLMSegmentationLib.igtl.messages import image_of

    return image_of(volume)


def _message(device: str, pose: tuple[float, float, float] | str):
    from CRLMSegmentationLib.igtl.messages import TransformMessage

    matrix = np.eye(4)
    if isinstance(pose, str):
        return TransformMessage(device, time.time(), matrix, {"TransformStatus": pose})
    matrix[:3, 3] = pose
    return TransformMessage(device, time.time(), matrix, {"TransformStatus": "OK"})
