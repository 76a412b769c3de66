"""Spheres whose distances are known by hand, and a tracker that sends what it is told."""

from __future__ import annotations

import numpy as np
import vtk
from CRLMSegmentationLib.igtl.messages import TransformMessage
from CRLMSegmentationLib.tracking.navigator import Navigator
from scipy.spatial.transform import Rotation

RATE_HZ = 40.0
EPOCH_S = 1_700_000_000.0


def sphere(radius_mm: float, center_mm=(0.0, 0.0, 0.0), resolution: int = 64) -> vtk.vtkPolyData:
    source = vtk.vtkSphereSource()
    source.SetRadius(radius_mm)
    source.SetCenter(center_mm)
    source.SetThetaResolution(resolution)
    source.SetPhiResolution(resolution)
    source.Update()
    return source.GetOutput()


def at(x: float, y: float = 0.0, z: float = 0.0, turned_deg: float = 0.0) -> np.ndarray:
    """A pose there, turned about its first axis."""
    matrix = np.eye(4)
    if turned_deg:  # most are not, and this takes longer than all else
        matrix[:3, :3] = Rotation.from_euler("x", turned_deg, degrees=True).as_matrix()
    matrix[:3, 3] = x, y, z
    return matrix


class Tracker:
    """Sends transforms to a navigator and keeps the time, 40 poses a second."""

    def __init__(self, navigator: Navigator) -> None:
        self.navigator, self.now_s = navigator, 100.0

    def send(self, **poses: np.ndarray | str) -> None:
        """One pose of each device now: a matrix, or the status of one that is lost."""
        for device, pose in poses.items():
            lost = isinstance(pose, str)
            metadata = {"TransformStatus": pose} if lost else {}
            matrix = np.eye(4) if lost else pose
            self.navigator.receive(TransformMessage(device, EPOCH_S + self.now_s, matrix, metadata), self.now_s)

    def wait(self, seconds: float = 1 / RATE_HZ) -> None:
        self.now_s += seconds

    def play(self, seconds: float, poses_at) -> None:
        """Send what a function of the time in seconds gives, at the tracker's rate."""
        for step in range(round(seconds * RATE_HZ)):
            self.wait()
            self.send(**poses_at(step / RATE_HZ))

    def update(self):
        return self.navigator.update(self.now_s)

    def state_of(self, frame: str):
        return next(state for state in self.update().instruments if state.instrument.frame == frame)
