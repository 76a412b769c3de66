"""Simulated patients as case folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from ...core.errors import CaseError
from ...core.geometry import transform_points
from ...core.parallel import map_in_processes
from ...core.volume import Volume, write_volume
from ...recording.case import (
    TRACKING_FILE,
    Case,
    CaseLesion,
    TrackingSample,
    append_tracking,
    load_case,
    save_case,
    save_volume_into_case,
)
from ...tracking.sweeps.volume_builder import Grid, VolumeBuilder
from .anatomy import Anatomy, draw_anatomy, random_rotation
from .speckle import ScanConverter, draw_scanner, image_beams, make_fan
from .sweep import SimulatedSweep, draw_sweep

PHANTOM_VERSION = 1
SPACING_MM = 1.0
"""Default of SlicerIGSIO's volume reconstruction."""
LOCAL_TO_NOMINAL = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Probe's face along R, sweep along S, beams towards P."""
SEED_JITTER = 0.25
"""How far a user's click misses the centre, as a share of the radius."""
MIN_VISIBLE_VOXELS = 40
EPOCH_S = 1_700_000_000.0
"""Time of the first frame: fixed, so that a seed always gives the same files."""


@lru_cache(maxsize=1)
def _fan() -> ScanConverter:
    return make_fan()


@dataclass(frozen=True, eq=False)
class Phantom:
    """One simulated patient.

    Attributes:
        volume: reconstructed from the sweep, in Reference, with the mask of its field of view.
        truth: uint8 numbers of the tumours (from 1) on the same grid.
        local_to_reference: 4x4, from the anatomy's frame, mm.
    """

    volume: Volume
    truth: Volume
    anatomy: Anatomy
    sweep: SimulatedSweep
    local_to_reference: np.ndarray

    @property
    def visible(self) -> list[int]:
        """Return the numbers of the tumours of which enough lies in the field of view."""
        voxels = np.bincount(self.truth.array.ravel(), minlength=len(self.anatomy.tumours) + 1)
        return [n for n in range(1, len(voxels)) if voxels[n] >= MIN_VISIBLE_VOXELS]


def simulate(seed: int, number: int) -> Phantom:
    """Simulate patient `number` of the cohort `seed`; drawn again if the sweep missed every tumour."""
    for attempt in range(20):
        phantom = _simulate_once(np.random.default_rng([PHANTOM_VERSION, seed, number, attempt]))
        if phantom.visible:
            return phantom
    raise RuntimeError(f"no visible tumour in 20 draws of patient {number}, seed {seed}")


def _simulate_once(rng: np.random.Generator) -> Phantom:
    anatomy, sweep = draw_anatomy(rng), draw_sweep(rng)
    local_to_reference = np.eye(4)
    local_to_reference[:3, :3] = random_rotation(rng, np.radians(25)) @ LOCAL_TO_NOMINAL
    local_to_reference[:3, 3] = rng.uniform(-40, 40, 3)
    beams = image_beams(anatomy, sweep, draw_scanner(rng, len(sweep.times_s)), rng)
    poses = local_to_reference @ sweep.tracked_poses
    fan = _fan()
    hull = fan.points_mm[:: max(1, len(fan.points_mm) // 400)]
    reached = np.concatenate([transform_points(pose, hull) for pose in poses[::4]])
    grid = Grid.around(np.floor(reached.min(0)), np.ceil(reached.max(0)), SPACING_MM)
    builder = VolumeBuilder(grid, pixel_type=np.float32, voxel_type=np.uint8)
    for beam, pose in zip(beams, poses):
        builder.insert_points(fan.weights @ beam.reshape(-1).astype(np.float32), transform_points(pose, fan.points_mm))
    volume = builder.volume(timestamp_s=EPOCH_S + sweep.times_s[-1])
    return Phantom(volume, _truth(volume, anatomy, local_to_reference), anatomy, sweep, local_to_reference)


def _truth(volume: Volume, anatomy: Anatomy, local_to_reference: np.ndarray) -> Volume:
    """Return the lesion numbers on the grid of the volume, 0 outside the field of view."""
    ijk = np.indices(volume.array.shape[::-1]).reshape(3, -1).T
    local = transform_points(np.linalg.inv(local_to_reference) @ volume.ijk_to_ras, ijk)
    flat = np.zeros(len(ijk), np.uint8)
    for number, tumour in enumerate(anatomy.tumours, 1):
        near = np.flatnonzero((np.abs(local - tumour.center_mm) < 1.6 * tumour.axes_mm.max()).all(1))
        flat[near[tumour.signed_distance_mm(local[near]) < 0]] = number
    labels = flat.reshape(volume.array.shape[::-1]).transpose(2, 1, 0).copy()
    labels[~ndimage.binary_closing(volume.insonified, iterations=2)] = 0
    return Volume(labels, volume.ijk_to_ras)


def write_phantom_case(folder: Path, seed: int, number: int) -> Case:
    """Simulate one patient into a case folder; the same numbers always give the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    phantom = simulate(seed, number)
    entry = save_volume_into_case(folder, "volume", phantom.volume)
    write_volume(phantom.truth, folder / "truth.nrrd")
    (folder / TRACKING_FILE).unlink(missing_ok=True)
    append_tracking(folder / TRACKING_FILE, _tracking(phantom))
    rng = np.random.default_rng([PHANTOM_VERSION, seed, number, 1000])
    case = Case(
        folder=folder,
        case_id=f"phantom-{seed}-{number:03d}",
        volumes=(entry,),
        lesions=tuple(_lesion(rng, phantom, n) for n in phantom.visible),
        truth="truth.nrrd",
        tracking=TRACKING_FILE,
        devices={"probe": "ProbeToReference", "pointer": "StylusToReference", "liver_sensor": "ReferenceToTracker"},
        source={"kind": "simulated", "phantom_version": PHANTOM_VERSION, "seed": seed, "number": number},
    )
    save_case(case)
    return case


def _lesion(rng: np.random.Generator, phantom: Phantom, label: int) -> CaseLesion:
    tumour = phantom.anatomy.tumours[label - 1]
    about = {
        "echogenicity": tumour.echogenicity,
        "pattern": tumour.pattern,
        "contrast_db": round(tumour.contrast_db, 2),
        "halo_mm": round(tumour.halo_mm, 2),
        "diameter_mm": round(tumour.diameter_mm, 1),
    }
    r, a, s = _click(rng, phantom.truth.array == label, phantom.volume)
    return CaseLesion(f"Tumour {label}", (r, a, s), label, about)


def _click(rng: np.random.Generator, mask: np.ndarray, volume: Volume) -> list[float]:
    """Return a seed as a user would place it: a voxel of the lesion near its middle, RAS mm."""
    inside = np.argwhere(mask & volume.insonified)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1][tuple(inside.T)]
    central = inside[depth >= (1 - SEED_JITTER) * depth.max()]
    kji = central[rng.integers(len(central))]
    return [round(float(v), 2) for v in transform_points(volume.ijk_to_ras, kji[::-1])]


def _tracking(phantom: Phantom) -> list[TrackingSample]:
    """Return the poses: probe during the sweep, breathing liver sensor, pointer towards the first visible tumour."""
    samples = []
    sweep, target = phantom.sweep, phantom.anatomy.tumours[phantom.visible[0] - 1]
    share = np.linspace(0, 1, len(sweep.times_s))
    for t, pose, breath, s in zip(sweep.times_s, sweep.tracked_poses, sweep.sensor_mm, share):
        stylus, sensor = np.eye(4), np.eye(4)
        stylus[:3, 3] = target.center_mm - [0, 0, target.axes_mm.mean() + 5 + 60 * (1 - s)]
        sensor[:3, 3] = [120.0, -60.0, -180.0] + breath
        moving = {
            "ProbeToReference": phantom.local_to_reference @ pose,
            "StylusToReference": phantom.local_to_reference @ stylus,
        }
        for device, matrix in {**moving, "ReferenceToTracker": sensor}.items():
            samples.append(TrackingSample(EPOCH_S + float(t), device, "OK", matrix))
    return samples


def write_cohort(
    out: Path,
    seed: int,
    numbers: Iterable[int],
    processes: int = 1,
    on_written: Callable[[Case], None] = lambda case: None,
) -> list[Case]:
    """Simulate many patients in parallel, each into a folder below `out`; complete ones are kept.

    See `core.parallel` for the processes that do it.

    Returns:
        The cases in the order of their numbers.
    """
    jobs = [(out / f"phantom-{seed}-{number:03d}", seed, number) for number in numbers]
    return map_in_processes(_write_unless_there, jobs, processes, on_written)


def _write_unless_there(job: tuple[Path, int, int]) -> Case:
    folder, seed, number = job
    try:
        case = load_case(folder)
    except CaseError:
        return write_phantom_case(folder, seed, number)
    made_alike = case.source.get("phantom_version") == PHANTOM_VERSION
    return case if made_alike else write_phantom_case(folder, seed, number)
