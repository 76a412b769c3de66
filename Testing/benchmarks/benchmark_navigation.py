"""How long a pose takes from the sender to the scene while lesions are segmented again, and whether memory grows.

    cd Testing && python -m benchmarks.benchmark_navigation [--seconds 60] [--minutes 10]

Another process sends the poses of three tools and of the liver sensor 60 times a second, and a volume each second,
over OpenIGTLink on the loopback. A workspace as in Slicer, with a turn every 10 ms, moves the tools, measures, and
lets the real network segment the lesions of each new volume again. The delay runs from when a pose was sent to when
the tool stands there in the scene; the promise is 30 ms for 99 of 100. What 3D Slicer draws afterwards is not in it.

Then memory: the same for ten minutes of replayed time, at five times the speed. The first part is once more without
the network, so that what the network costs is seen as a ratio of one run. A simulated case; no GPU is needed.
Last, the signed distance from a surface of 50,000 triangles on one core: the promise is 60 a second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import vtk
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.messages import TransformMessage, image_of
from CRLMSegmentationLib.igtl.server import IgtlServer
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.incoming import TransformArrived
from CRLMSegmentationLib.segmentation.models.package import model_or_default
from CRLMSegmentationLib.segmentation.results import LesionSegmented
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.slicer.scene.headless import new_scene
from CRLMSegmentationLib.slicer.workspace.workspace import Workspace
from CRLMSegmentationLib.tracking.surfaces import SurfaceDistance

CASE = "phantom-several"
TURN_S = 0.01
RATE_HZ, VOLUMES_PER_S = 60.0, 1.0
TOOLS = ("StylusToReference", "CusaToReference", "ProbeToReference")
SENSOR = "ReferenceToTracker"
LESIONS = 2
LONGEST_DELAY_MS, GROWTH_MB = 30.0, 20.0
TRIANGLES = 50_000
SPEED = 5.0
"""Of the second part. Faster than this the volumes alone fill the time there is."""
TIMEOUT_S = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of poses whose delay is measured")
    parser.add_argument("--minutes", type=float, default=10.0, help="of replayed time in which memory is watched")
    parser.add_argument("--serve", type=float, metavar="SPEED", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    distances_per_s = measured_distances_per_s()
    delays = {}
    for name, follows in (("poses alone", False), ("with live segmentation", True)):
        with running_room(speed=1.0, follows=follows) as bench:
            bench.run(5.0)
            bench.begin()
            bench.run(options.seconds)
        delays[name] = bench
    with running_room(speed=SPEED, follows=True) as bench:
        bench.run(60.0 / SPEED)  # a minute of replayed time in which everything is allocated once
        bench.begin()
        growth = bench.growth_mb(60.0 * options.minutes / SPEED)
    return report(delays, bench, growth, distances_per_s)


def report(delays: dict[str, Bench], watched: Bench, growth: list[float], distances_per_s: float) -> int:
    """Print what was measured; 1 when a promise was not held."""
    print(f"{os.cpu_count()} cores; three tools and the liver sensor at {RATE_HZ:.0f} Hz, {watched.device}")
    print(f"  {'from message to scene, ms':28} {'median':>8} {'95 %':>8} {'99 %':>8} {'longest':>8} {'results':>8}")
    for name, bench in delays.items():
        median, most, nearly_all = np.percentile(bench.delays_ms, (50, 95, 99))
        longest = max(bench.delays_ms)
        print(f"  {name:28} {median:8.1f} {most:8.1f} {nearly_all:8.1f} {longest:8.1f} {bench.results:8}")
    alone, live = (np.percentile(bench.delays_ms, 99) for bench in delays.values())
    print(f"  99 % with the network by alone: {live / alone:.2f}")
    print(f"memory of the workspace's process over replayed time, MB: {', '.join(f'{mb:+.0f}' for mb in growth)}")
    print(f"  {watched.results} results, {watched.nodes_added:+d} nodes in the scene")
    print(f"distances from {TRIANGLES} triangles: {distances_per_s:.0f} a second on one core")
    kept = live < LONGEST_DELAY_MS and growth[-1] < GROWTH_MB and distances_per_s > RATE_HZ
    print("promises held" if kept else "A PROMISE WAS NOT HELD: 99 % under 30 ms, no growth, 60 distances a second")
    return 0 if kept else 1


@dataclass(eq=False)
class Bench:
    """A workspace that takes its turns, and what was seen of it.

    Attributes:
        delays_ms: from sending to the scene, of each pose that was the newest of its tool in a turn.
        results: segmentations that came.
    """

    workspace: Workspace
    delays_ms: list[float] = field(default_factory=list)
    results: int = 0
    _nodes: int = 0

    @property
    def device(self) -> str:
        return self.workspace.ready.device

    @property
    def nodes_added(self) -> int:
        return self.workspace.scene.GetNumberOfNodes() - self._nodes

    def begin(self) -> None:
        """What came before does not count."""
        self.delays_ms, self.results, self._nodes = [], 0, self.workspace.scene.GetNumberOfNodes()

    def turn(self) -> None:
        started_s = time.monotonic()
        newest = {}
        for event in self.workspace.tick():
            if isinstance(event, TransformArrived):
                newest[event.message.device] = event.message.timestamp_s
            self.results += isinstance(event, LesionSegmented)
        now_s = time.time()
        self.delays_ms += [1000 * (now_s - newest[device]) for device in TOOLS if device in newest]
        time.sleep(max(0.0, TURN_S - (time.monotonic() - started_s)))

    def run(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.turn()

    def run_until(self, holds) -> None:
        end_s = time.monotonic() + TIMEOUT_S
        while not holds():
            if time.monotonic() > end_s:
                raise SystemExit(f"it does not come: {list(self.workspace.log)[-5:]}")
            self.turn()

    def growth_mb(self, seconds: float, parts: int = 5) -> list[float]:
        """Memory beyond what was taken at first, after each part of the time."""
        first_mb, grown = resident_mb(), []
        for _ in range(parts):
            self.run(seconds / parts)
            grown.append(resident_mb() - first_mb)
        return grown


@contextmanager
def running_room(speed: float, follows: bool) -> Iterator[Bench]:
    """A workspace connected to a sender, with its lesions segmented once."""
    command = [sys.executable, "-m", "benchmarks.benchmark_navigation", "--serve", str(speed)]
    sender = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    model = model_or_default(None)
    workspace = Workspace(new_scene(), Session(WorkerEngine(model), model))
    bench = Bench(workspace)
    try:
        workspace.requests.auto_segment = False
        workspace.use_link(IgtlClient("127.0.0.1", int(sender.stdout.readline())))
        bench.run_until(lambda: workspace.ready is not None and workspace.volume.node is not None)
        for lesion in load_case(resource_path("SampleCases", CASE)).lesions[:LESIONS]:
            workspace.add_seed(np.array(lesion.seed_ras_mm))
        workspace.tick()
        workspace.segment()
        bench.run_until(lambda: all(entry.segmentation for entry in workspace.lesion_store.entries.values()))
        workspace.resegmentation.enabled = follows
        yield bench
    finally:
        workspace.close()
        sender.kill()
        sender.wait()


def serve(speed: float) -> None:
    """Send until killed. Tools circle the lesions; volumes differ a little, so that none is a repetition."""
    case = load_case(resource_path("SampleCases", CASE))
    volume = case.volume()
    seed = np.array(case.lesions[0].seed_ras_mm)
    with IgtlServer() as server:
        print(server.port, flush=True)
        started_s, count, volumes = time.monotonic(), 0, 0
        while True:
            elapsed_s = speed * (time.monotonic() - started_s)
            while count <= elapsed_s * RATE_HZ:
                for device, matrix in poses(seed, count / RATE_HZ):
                    server.broadcast(TransformMessage(device, time.time(), matrix))
                count += 1
            if volumes <= elapsed_s * VOLUMES_PER_S:
                array = volume.array.copy()
                array.flat[volumes % array.size] ^= 1
                server.broadcast(image_of(replace(volume, array=array, timestamp_s=time.time())))
                volumes += 1
            server.poll(0.001)


def poses(seed_ras_mm: np.ndarray, time_s: float) -> Iterator[tuple[str, np.ndarray]]:
    liver = np.eye(4)
    liver[:3, 3] = 100.0, 100.0 + 5 * np.sin(1.5 * time_s), 100.0
    yield SENSOR, liver
    for number, device in enumerate(TOOLS):
        matrix = np.eye(4)
        angle = time_s + 2 * number
        matrix[:3, 3] = seed_ras_mm + (25 + 5 * number) * np.array([np.cos(angle), np.sin(angle), 0.3])
        yield device, matrix


def measured_distances_per_s() -> float:
    """Of points around a ball whose surface has so many triangles."""
    ball = vtk.vtkSphereSource()
    ball.SetRadius(30.0)
    ball.SetThetaResolution(159)
    ball.SetPhiResolution(160)
    ball.Update()
    distance = SurfaceDistance(ball.GetOutput())
    if distance.triangles < TRIANGLES:
        raise SystemExit(f"the ball has {distance.triangles} triangles")
    points = np.random.default_rng(0).normal(size=(2000, 3))
    points *= np.random.default_rng(1).uniform(20, 70, (2000, 1)) / np.linalg.norm(points, axis=1, keepdims=True)
    distance.nearest(points[0])
    started_s = time.perf_counter()
    for point in points:
        distance.nearest(point)
    return len(points) / (time.perf_counter() - started_s)


def resident_mb() -> float:
    """Memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
