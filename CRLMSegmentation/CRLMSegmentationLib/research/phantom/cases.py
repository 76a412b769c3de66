"""Simulated patients as case folders."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from ...core.errors import CaseError
from ...core.geometry import transform_points
from ...core.parallel import local_runner
from ...core.tasks import Done, Outcome, TaskNeeds, TaskRunner, results_of, run_tasks
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
from .simulation import EPOCH_S, PHANTOM_VERSION, Phantom, simulate
from .variation import ALL_FACTORS, Factor

SEED_JITTER = 0.25
"""How far a user's click misses the centre, as a share of the radius."""
NEEDS = TaskNeeds(memory_gb=1.0)
"""Of simulating one patient."""
CLICK_STREAM = 1000
"""Number of the random stream of the clicks; attempts to simulate have lower ones."""


def write_phantom_case(
    folder: Path,
    seed: int,
    number: int,
    version: int = PHANTOM_VERSION,
    factors: Collection[Factor] = ALL_FACTORS,
) -> Case:
    """Simulate one patient into a case folder; the same numbers always give the same files.

    Args:
        factors: what varies in version 2, see `simulate`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    phantom = simulate(seed, number, version, factors)
    entry = save_volume_into_case(folder, "volume", phantom.volume)
    write_volume(phantom.truth, folder / "truth.nrrd")
    (folder / TRACKING_FILE).unlink(missing_ok=True)
    append_tracking(folder / TRACKING_FILE, _tracking(phantom))
    rng = np.random.default_rng([version, seed, number, CLICK_STREAM])
    case = Case(
        folder=folder,
        case_id=f"phantom-{seed}-{number:03d}",
        volumes=(entry,),
        lesions=tuple(_lesion(rng, phantom, n, version) for n in phantom.visible),
        truth="truth.nrrd",
        tracking=TRACKING_FILE,
        devices={"probe": "ProbeToReference", "pointer": "StylusToReference", "liver_sensor": "ReferenceToTracker"},
        source={**_source(seed, number, version, factors), **phantom.imaging},
    )
    save_case(case)
    return case


def _source(seed: int, number: int, version: int, factors: Collection[Factor]) -> dict[str, Any]:
    """Return what a patient is simulated from."""
    source = {"kind": "simulated", "phantom_version": version, "seed": seed, "number": number}
    return source if version == 1 else {**source, "varied": [factor.value for factor in Factor if factor in factors]}


def _lesion(rng: np.random.Generator, phantom: Phantom, label: int, version: int) -> CaseLesion:
    tumour = phantom.anatomy.tumours[label - 1]
    about = {
        "echogenicity": tumour.echogenicity,
        "pattern": tumour.pattern,
        "contrast_db": round(tumour.contrast_db, 2),
        "halo_mm": round(tumour.halo_mm, 2),
        "diameter_mm": round(tumour.diameter_mm, 1),
    }
    if version > 1:
        about |= {"shape": tumour.kind, "touches_vessel": tumour.touches_vessel}
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
    version: int = PHANTOM_VERSION,
    factors: Collection[Factor] = ALL_FACTORS,
    runner: TaskRunner | None = None,
) -> list[Case]:
    """Simulate many patients in parallel, each into a folder below `out`; complete ones are kept.

    Args:
        on_written: receives each case when it is there, in the order in which they are finished.
        version: of the phantom, 1 or 2.
        factors: what varies in version 2; all else stays as in version 1.
        runner: carries out the tasks; None for a pool of `processes` on this machine.

    Returns:
        The cases in the order of their numbers.

    Raises:
        TasksFailedError: some patients could not be written; the others are.
    """
    runner = runner or local_runner(processes)
    runner.check_folder(out)
    names = ((number, out / f"phantom-{seed}-{number:03d}") for number in numbers)
    jobs = [(folder, seed, number, version, frozenset(factors)) for number, folder in names]

    def tell(_: int, outcome: Outcome[Case]) -> None:
        if isinstance(outcome, Done):
            on_written(outcome.value)

    outcomes = run_tasks(runner, _write_unless_there, jobs, NEEDS, tell)
    return results_of(outcomes, [folder.name for folder, *_ in jobs])


def _write_unless_there(job: tuple[Path, int, int, int, frozenset[Factor]]) -> Case:
    folder, seed, number, version, factors = job
    try:
        case = load_case(folder)
    except CaseError:
        return write_phantom_case(folder, seed, number, version, factors)
    wanted = _source(seed, number, version, factors)
    made_alike = {name: case.source.get(name) for name in wanted} == wanted
    return case if made_alike else write_phantom_case(folder, seed, number, version, factors)
