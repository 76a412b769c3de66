"""How long the panel stands still: the longest turn of a workspace with a 27 MB volume, the real worker and real MRML.

    cd Testing && python -m benchmarks.benchmark_room

The volume is a simulated case, repeated to 300 voxels a side. The promise is that no turn takes more than 50 ms
while the network is at work, so that tracked transforms go on moving. Each phase is measured twice in turns: alone,
and while results are offered to another program, which is connected. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.igtl.messages import TransformMessage, image_of
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.recording.recorded_link import RecordedLink
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.models.package import model_or_default
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.slicer.scene.headless import new_scene
from CRLMSegmentationLib.slicer.workspace.lesion import LesionState
from CRLMSegmentationLib.slicer.workspace.publisher import Publisher
from CRLMSegmentationLib.slicer.workspace.workspace import Workspace

TURN_S = 0.01
TRANSFORMS_PER_TURN = 4
PEER = """
import socket, sys
link = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
while link.recv(1 << 20):
    pass
"""


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


class Bench:
    """What a panel drives, with or without another program that receives the results."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.publisher = workspace, Publisher(workspace)
        self._peer: subprocess.Popen | None = None

    def offer(self, wanted: bool) -> None:
        self.publisher.stop()
        if self._peer is not None:
            self._peer.wait()
            self._peer = None
        if wanted:
            self.publisher.start(0)
            self._peer = subprocess.Popen([sys.executable, "-c", PEER, str(self.publisher.port)])
            self.run_until(lambda: self.publisher.clients == 1)

    def turn_s(self) -> float:
        started_s = time.perf_counter()
        self.workspace.tick()
        self.publisher.update()
        return time.perf_counter() - started_s

    def longest_turn_s(self, count: int) -> float:
        return max(self.turn_s() for _ in range(count))

    def run_until(self, holds: Callable[[], bool]) -> list[float]:
        turns = [self.turn_s()]
        while not holds():
            time.sleep(TURN_S)
            turns.append(self.turn_s())
        return turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    model = model_or_default(None)
    case = load_case(resource_path("SampleCases", "phantom-hypoechoic"))
    seed = np.array(case.lesions[0].seed_ras_mm)
    workspace = Workspace(new_scene(), Session(WorkerEngine(model), model))
    volumes = (large_volume(case.volume(), number) for number in range(4 * runs + 5))
    link, bench = Streaming(next(volumes)), Bench(workspace)
    workspace.use_link(link)
    workspace.requests.auto_segment = False
    bench.run_until(lambda: workspace.ready is not None)
    found = {offered: [] for offered in (False, True)}
    for _ in range(runs + 1):
        for offered, rows in found.items():
            bench.offer(offered)
            rows.append(measure(bench, link, volumes, seed))
    bench.offer(False)
    workspace.close()
    print(f"longest turn in ms, median of {runs}; 27 MB, {workspace.ready.device}")
    print(f"  {'':24} {'alone':>8} {'offered':>8} {'ratio':>6}")
    for name in found[False][0]:
        alone, offered = (1000 * statistics.median(row[name] for row in rows[1:]) for rows in found.values())
        print(f"  {name:24} {alone:8.1f} {offered:8.1f} {offered / alone:6.2f}")


def measure(bench: Bench, link: Streaming, volumes: Iterator[Volume], seed_ras_mm: np.ndarray) -> dict[str, float]:
    """Seconds of the longest turn in each phase of one answer."""
    workspace = bench.workspace
    link.images = [image_of(next(volumes))]
    found = {"volume arrives": bench.longest_turn_s(5)}
    if "Tumour 1" not in workspace.lesion_store.entries:
        workspace.add_seed(seed_ras_mm)
    found["seed"] = bench.longest_turn_s(5)
    started_s = time.perf_counter()
    workspace.segment()
    found["asking"] = time.perf_counter() - started_s
    turns = bench.run_until(lambda: workspace.lesion_store.entries["Tumour 1"].state is LesionState.DONE)
    found["network at work"] = max(turns[:-1])
    found["segmentation appears"] = turns[-1]
    found["nothing happens"] = statistics.median(bench.turn_s() for _ in range(50))
    link.images = [image_of(next(volumes))]
    found["segmentation becomes old"] = bench.longest_turn_s(5)
    return found


def large_volume(volume: Volume, number: int) -> Volume:
    """The same tissue repeated to 300 voxels a side, each time another."""
    repeats = [-(-300 // n) for n in volume.array.shape]
    array = np.tile(volume.array, repeats)[:300, :300, :300].copy()
    array[0, 0, 0] = number
    return Volume(array, volume.ijk_to_ras, "recvol_Reference", float(number + 1))


if __name__ == "__main__":
    main()
