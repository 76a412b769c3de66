"""A small session, recorded from a real room with a stub engine: two lesions, a stylus, two volumes, a correction."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.igtl.messages import image_of
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.slicer.scene.headless import new_scene
from CRLMSegmentationLib.slicer.workspace.workspace import Room

sys.path.insert(1, str(Path(__file__).parents[1] / "session"))

from recording_helpers_room import TappedLink, recorded, wait
from room_helpers import SEED, Clock, answer, paint
from steering_helpers import Tracker, at, finish_all, send_volume
from stub_engine import StubEngine

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


class RecordedRoom:
    """A room whose recording has begun, with all that drives it."""

    def __init__(self, folder: Path, budget_bytes: float = 20e9) -> None:
        self.folder, self.engine, self.clock = folder, StubEngine(), Clock()
        self.room = Room(new_scene(), Session(self.engine, MODEL), clock=self.clock)
        self.room.auto_segment = False
        self.recording = recorded(self.room, self.clock)
        self.recording.use_source(True)
        self.recording.begin(folder, budget_bytes)
        self.recording.use_link("erikas-scanner", 18944)
        self.link = TappedLink(self.recording)
        self.room.use_link(self.link)
        self.tracker = Tracker(self.room, self.link, self.clock)

    def send(self, volume: Volume, number: int = 0) -> None:
        send_volume(self.room, self.link, volume, number)

    def send_moved(self, volume: Volume, voxels: int) -> None:
        """The next volume, in which everything lies farther to the right."""
        moved = replace(volume, array=np.roll(volume.array, voxels, axis=2).copy(), timestamp_s=120.0)
        self.link.inbox = [image_of(moved)]
        self.room.tick()

    def segment(self, lesion: str, seed: tuple[float, float, float] = SEED) -> None:
        if lesion not in self.room.ledger.entries:
            self.room.add_seed(np.array(seed))
        answer(self.room, self.engine, [lesion])
        self.wait(0.5)

    def correct(self, lesion: str) -> None:
        paint(self.room, lesion, np.s_[18:30, 18:22, 18:22])
        self.wait(2.0)

    def wait(self, seconds: float) -> None:
        wait(self.room, self.clock, seconds)

    def finish_all(self) -> None:
        finish_all(self.room, self.engine, self.clock)

    def leave(self) -> None:
        """As when the program is killed: the recording is not ended."""
        self.room.close()


def play(folder: Path, volume: Volume) -> RecordedRoom:
    """The whole session, to be ended or left."""
    made = RecordedRoom(folder)
    made.send(volume)
    made.segment("Tumour 1")
    made.segment("Tumour 2", (23.0, 20.0, 20.0))
    made.room.rename_lesion("Tumour 1", TYPED)
    for x in (44.0, 36.0, 44.0):
        made.tracker.send(2.0, StylusToReference=at(x))
    for _ in range(3):
        made.tracker.send(1.0, StylusToReference="MISSING")
        made.tracker.send(1.0, StylusToReference=at(44.0))
    made.send_moved(volume, 3)
    made.segment("Tumour 1")
    made.correct("Tumour 2")
    return made
