"""How long a sweep takes to become a volume, against a plain reference, as ratios within one run.

    cd Testing && python -m benchmarks.benchmark_reconstruction [--frames N]

Simulated frames of 800 x 600 pixels along a curved, tilted sweep of 100 mm. The reference is what the phantom did
before: positions of all pixels in double precision, frame by frame. Times are processor and wall time of one
thread: numpy.add.at holds Python's lock, so that two threads take as long as one, which is measured as well.
Exit code 1 when bin filling takes more than 10 ms for each frame, the promise being a second for 100 frames.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from threading import Thread

import numpy as np
from CRLMSegmentationLib.tracking.sweeps.calibration import Fan, ProbeCalibration
from CRLMSegmentationLib.tracking.sweeps.reconstruction import (
    Compounding,
    Grid,
    Interpolation,
    VolumeBuilder,
    grid_of,
    place_frames,
    reconstruct_sweep,
)
from CRLMSegmentationLib.tracking.sweeps.sequence import TrackedSequence, TransformTrack
from scipy.spatial.transform import Rotation

ROWS, COLUMNS = 600, 800
PIXEL_MM, SPACING_MM = 0.12, 0.5
LIMIT_MS = 10.0
FAN = Fan((400, -200), (-32, 32), (210, 790))


def simulated_sweep(count: int) -> TrackedSequence:
    """Speckle on planes that move along z, swinging to both sides."""
    frames = np.random.default_rng(0).integers(0, 255, (count, ROWS, COLUMNS), dtype=np.uint8)
    along = np.linspace(0, 1, count)
    poses = np.tile(np.eye(4), (count, 1, 1))
    angles_deg = np.stack([8 * np.sin(6 * along), 5 * np.cos(4 * along), 10 * np.sin(3 * along)], axis=1)
    poses[:, :3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    poses[:, :3, 3] = np.stack([3 * np.sin(5 * along), 2 * np.cos(7 * along), 100 * along], axis=1)
    track = TransformTrack(poses, ("OK",) * count)
    return TrackedSequence("simulated", frames, along, ("OK",) * count, {"ProbeToReference": track})


def plain_reference(frames: np.ndarray, matrices: np.ndarray, grid: Grid) -> np.ndarray:
    """Every pixel by itself, in double precision; uint8 (K, J, I)."""
    total, hits = np.zeros(grid.shape_kji).ravel(), np.zeros(grid.shape_kji, np.int64).ravel()
    shape_ijk = np.array(grid.shape_kji[::-1])
    rows, columns = np.indices(frames.shape[1:])
    pixels = np.stack([columns.ravel(), rows.ravel(), np.zeros(rows.size)], axis=1)
    for frame, matrix in zip(frames, np.linalg.inv(grid.ijk_to_reference) @ matrices):
        ijk = np.round(pixels @ matrix[:3, :3].T + matrix[:3, 3]).astype(int)
        inside = ((ijk >= 0) & (ijk < shape_ijk)).all(1)
        index = ijk[inside] @ [1, shape_ijk[0], shape_ijk[0] * shape_ijk[1]]
        np.add.at(total, index, frame.ravel()[inside].astype(np.float64))
        np.add.at(hits, index, 1)
    mean = np.divide(total, hits, out=np.zeros_like(total), where=hits > 0)
    return np.round(mean).astype(np.uint8).reshape(grid.shape_kji)


def in_threads(frames: np.ndarray, matrices: np.ndarray, grid: Grid, count: int) -> None:
    """Each thread fills a volume of its own with its share of the frames."""

    def work(part: slice) -> None:
        builder = VolumeBuilder(grid)
        for frame, matrix in zip(frames[part], matrices[part]):
            builder.insert(frame, matrix)

    threads = [Thread(target=work, args=(slice(n, None, count),)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def milliseconds(work: Callable[[], object], frames: int, repeats: int = 3) -> float:
    """Best of some runs, for each frame: other work on the machine only ever adds."""
    seconds = []
    for _ in range(repeats):
        started_s = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started_s)
    return 1000 * min(seconds) / frames


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=60)
    count = parser.parse_args().frames
    sweep = simulated_sweep(count)
    whole = ProbeCalibration(np.diag([PIXEL_MM, PIXEL_MM, PIXEL_MM, 1.0]))
    sector = ProbeCalibration(whole.image_to_probe, fan=FAN)
    poses = place_frames(sweep, whole)
    grid = grid_of(poses, whole.region(ROWS, COLUMNS), SPACING_MM)

    def ours(calibration: ProbeCalibration = whole, **options: object) -> Callable[[], object]:
        return lambda: reconstruct_sweep(sweep, calibration, grid=grid, poses=poses, **options)

    reference_ms = milliseconds(lambda: plain_reference(sweep.frames, poses.matrices, grid), count, 1)
    rows = {
        "ours, MEAN": milliseconds(ours(), count),
        "  frames only, 1 thread": milliseconds(lambda: in_threads(sweep.frames, poses.matrices, grid, 1), count),
        "  frames only, 2 threads": milliseconds(lambda: in_threads(sweep.frames, poses.matrices, grid, 2), count),
        "ours, MAXIMUM": milliseconds(ours(compounding=Compounding.MAXIMUM), count),
        "ours, LATEST": milliseconds(ours(compounding=Compounding.LATEST), count),
        "ours, MEAN, in a fan": milliseconds(ours(sector), count),
        "ours, MEAN, holes filled": milliseconds(ours(fill_holes=True), count, 1),
        "ours, LINEAR, MEAN": milliseconds(ours(interpolation=Interpolation.LINEAR), count, 1),
    }
    agree = (ours()().array == plain_reference(sweep.frames, poses.matrices, grid)).mean()
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {os.cpu_count()} cores, load {load}")
    print(f"{count} frames of {COLUMNS} x {ROWS} into {' x '.join(str(n) for n in grid.shape_kji[::-1])} voxels")
    print(f"{'plain reference':26} {reference_ms:7.1f} ms a frame")
    for name, ms in rows.items():
        print(f"{name:26} {ms:7.1f} ms a frame   {reference_ms / ms:5.1f} x as fast as the reference")
    print(f"{agree:.4%} of the voxels equal the reference's (float32 rounds otherwise right between two)")
    return int(rows["ours, MEAN"] > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
