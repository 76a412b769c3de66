"""How long the panel stands still: the longest turn of a room with a 27 MB volume, the real worker and real MRML.

    python Testing/benchmarks/benchmark_room.py

The volume is a simulated case, repeated to 300 voxels a side. The promise is that no turn takes more than 50 ms
while the network is at work, so that tracked transforms go on moving. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from CRLMSegmentationLib.core.case import load_case
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.igtl.messages import TransformMessage, image_of
from CRLMSegmentationLib.inference.model_package import model_or_default
from CRLMSegmentationLib.inference.worker_engine import WorkerEngine
from CRLMSegmentationLib.replay.recorded_link import RecordedLink
from CRLMSegmentationLib.room.lesions import LesionState
from CRLMSegmentationLib.room.room import Room
from CRLMSegmentationLib.scene.headless import new_scene
from CRLMSegmentationLib.session import Session

TURN_S = 0.01
TRANSFORMS_PER_TURN = 4


class Streaming(RecordedLink):
    """Gives what is put into it, and some transforms at each turn."""

    def __init__(self, volume: Volume) -> None:
        super().__init__(volume)
        self.images: list = []

    def poll(self, budget_s: float = 0.004) -> list:
        images, self.images = self.images, []
        matrix = np.eye(4)
        matrix[0, 3] = time.monotonic() % 10
        tools = [TransformMessage(f"Tool{n}ToReference", time.time(), matrix) for n in range(TRANSFORMS_PER_TURN)]
        return [*images, *tools]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    model = model_or_default(None)
    case = load_case(resource_path("SampleCases", "phantom-hypoechoic"))
    volumes = [large_volume(case.volume(), number) for number in range(runs + 1)]
    link = Streaming(volumes[0])
    room = Room(new_scene(), Session(WorkerEngine(model), model))
    room.use_link(link)
    room.auto_segment = False
    run_until(room, lambda: room.ready is not None)
    rows = [measure(room, link, volume, np.array(case.lesions[0].seed_ras_mm)) for volume in volumes][1:]
    room.close()
    print(f"longest turn in ms, median of {runs}; {volumes[0].array.nbytes / 1e6:.0f} MB, {room.last_ready.device}")
    for name in rows[0]:
        print(f"  {name:24} {1000 * statistics.median(row[name] for row in rows):7.1f}")


def measure(room: Room, link: Streaming, volume: Volume, seed_ras_mm: np.ndarray) -> dict[str, float]:
    """Seconds of the longest turn in each phase of one answer."""
    link.images = [image_of(volume)]
    found = {"volume arrives": longest_turn(room, 5)}
    if "Tumour 1" not in room.ledger.entries:
        room.add_seed(seed_ras_mm)
    found["seed"] = longest_turn(room, 5)
    started_s = time.perf_counter()
    room.segment()
    found["asking"] = time.perf_counter() - started_s
    turns = run_until(room, lambda: room.ledger.entries["Tumour 1"].state is LesionState.DONE)
    found["network at work"] = max(turns[:-1])
    found["outline appears"] = turns[-1]
    return found


def longest_turn(room: Room, count: int) -> float:
    return max(turn_s(room) for _ in range(count))


def run_until(room: Room, holds: Callable[[], bool]) -> list[float]:
    turns = [turn_s(room)]
    while not holds():
        time.sleep(TURN_S)
        turns.append(turn_s(room))
    return turns


def turn_s(room: Room) -> float:
    started_s = time.perf_counter()
    room.tick()
    return time.perf_counter() - started_s


def large_volume(volume: Volume, number: int) -> Volume:
    """The same tissue repeated to 300 voxels a side, each time another."""
    repeats = [-(-300 // n) for n in volume.array.shape]
    array = np.tile(volume.array, repeats)[:300, :300, :300].copy()
    array[0, 0, 0] = number
    return Volume(array, volume.ijk_to_ras, "recvol_Reference", float(number + 1))


if __name__ == "__main__":
    main()
