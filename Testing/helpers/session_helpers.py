"""A small session, recorded from a real room with a stub engine: two lesions, a stylus, two volumes, a correction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from CRLMSegmentationLib.core.crop_format import CLICK_CHANNELS
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.igtl.messages import image_of
from CRLMSegmentationLib.segmentation.models.package import takes_points
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.slicer.scene.headless import new_scene
from CRLMSegmentationLib.slicer.workspace.workspace import Workspace

from .navigation_scene_helpers import Tracker, at, finish_all, send_volume
from .stub_engine import StubEngine
from .workspace_helpers import SEED, Clock, answer, paint
from .workspace_recording_helpers import TappedLink, recorded, wait

TYPED = "Mustermann Erika"
MODEL = SimpleNamespace(
    name="stub",
    version="3",
    sha256="ab" * 32,
    region="crop",
    crop_size_mm=30.0,
    spacing_mm=1.0,
    channels=("ultrasound", "seed"),
    calibration={},
    simulated_only=True,
)


CLICK_MODEL = SimpleNamespace(**{**vars(MODEL), "channels": CLICK_CHANNELS})
"""The same with channels for correction points."""


class RecordedRoom:
    """A workspace whose recording has begun, with all that drives it."""

    def __init__(self, folder: Path, budget_bytes: float = 20e9, model: SimpleNamespace = MODEL) -> None:
        self.folder, self.engine, self.clock = folder, StubEngine(takes_points=takes_points(model)), Clock()
        self.workspace = Workspace(new_scene(), Session(self.engine, model), clock=self.clock)
        self.workspace.requests.auto_segment = False
        self.recording = recorded(self.workspace, self.clock)
        self.recording.use_source(True)
        self.recording.begin(folder, budget_bytes)
        self.recording.use_link("erikas-scanner", 18944)
        self.link = TappedLink(self.recording)
        self.workspace.use_link(self.link)
        self.tracker = Tracker(self.workspace, self.link, self.clock)

    def send(self, volume: Volume, number: int = 0) -> None:
        send_volume(self.workspace, self.link, volume, number)

    def send_moved(self, volume: Volume, voxels: int) -> None:
        """The next volume, in which everything lies farther to the right."""
        moved = replace(volume, array=np.roll(volume.array, voxels, axis=2).copy(), timestamp_s=120.0)
        self.link.inbox = [image_of(moved)]
        self.workspace.tick()

    def segment(self, lesion: str, seed: tuple[float, float, float] = SEED) -> None:
        if lesion not in self.workspace.lesion_store.entries:
            self.workspace.add_seed(np.array(seed))
        answer(self.workspace, self.engine, [lesion])
        self.wait(0.5)

    def correct(self, lesion: str) -> None:
        paint(self.workspace, lesion, np.s_[18:30, 18:22, 18:22])
        self.wait(2.0)

    def wait(self, seconds: float) -> None:
        wait(self.workspace, self.clock, seconds)

    def finish_all(self) -> None:
        finish_all(self.workspace, self.engine, self.clock)

    def leave(self) -> None:
        """As when the program is killed: the recording is not ended."""
        self.workspace.close()


def play(folder: Path, volume: Volume) -> RecordedRoom:
    """The whole session, to be ended or left."""
    made = RecordedRoom(folder)
    made.send(volume)
    made.segment("Tumour 1")
    made.segment("Tumour 2", (23.0, 20.0, 20.0))
    made.workspace.clicks.rename_lesion("Tumour 1", TYPED)
    for x in (44.0, 36.0, 44.0):
        made.tracker.send(2.0, StylusToReference=at(x))
    for _ in range(3):
        made.tracker.send(1.0, StylusToReference="MISSING")
        made.tracker.send(1.0, StylusToReference=at(44.0))
    made.send_moved(volume, 3)
    made.segment("Tumour 1")
    made.correct("Tumour 2")
    return made
