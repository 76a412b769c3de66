"""Accuracy of the consensus surfaces of a model, on lesions with ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count

import numpy as np

from ...core.errors import SeedError, WorkerError
from ...core.geometry import part_to_ras
from ...core.metrics import overlap_and_surfaces
from ...core.parallel import InProcess
from ...core.progress import OnProgress
from ...core.tasks import Done, KeptInProcess, Outcome, TaskRunner, results_of, run_tasks
from ...core.volume import Volume
from ...recording.dataset import CheckedCase
from ...segmentation.calibration import ModelCalibration, Observation
from ...segmentation.consensus import Consensus
from ...segmentation.engine.engine import Engine, EngineState
from ...segmentation.engine.worker_engine import WorkerEngine
from ...segmentation.models.package import ModelPackage
from ...segmentation.refinement import Refinement
from ...segmentation.results import LesionResult, Options
from ...segmentation.session import Session
from ...segmentation.wait import wait_for_lesion, wait_for_model, wait_for_refinement
from ...tracking.interval import TrackingError, interval_of
from ...tracking.surfaces import SurfaceDistance, measured_surface
from .methods import NETWORK_NEEDS
from .observation_store import ObservationStore
from .variations import generator_of

TIPS = 200
TIP_RANGE_MM = (-3.0, 40.0)
"""From inside a tumour to where a margin no longer matters."""


@dataclass(frozen=True, eq=False)
class SimulatedTips:
    """Simulated instrument tips around one lesion; the arrays have shape (N,), mm, negative inside.

    Attributes:
        true_mm: from the tip to the true surface.
        to_sensor_mm: from the tip to the sensor on the liver.
        measured_mm: from where a tracker with errors sees the tip to the segmentation.
        low_mm, high_mm: smallest and largest distance from there to segmentation and consensus surfaces.
        alone_mm: from there to the first answer, before the background refinement.
        has_consensus: the outer consensus surface is not empty.
        voxel_mm: longest edge of a voxel.
    """

    true_mm: np.ndarray
    to_sensor_mm: np.ndarray
    measured_mm: np.ndarray
    low_mm: np.ndarray
    high_mm: np.ndarray
    alone_mm: np.ndarray
    has_consensus: bool
    voxel_mm: float


Observed = tuple[Observation, SimulatedTips]
"""Of one lesion."""


def observe(
    model: ModelPackage,
    cases: Sequence[CheckedCase],
    seed: int = 0,
    engine_of: Callable[[ModelPackage], Engine] = WorkerEngine,
    on_progress: OnProgress = lambda *_: None,
    runner: TaskRunner | None = None,
    store: ObservationStore | None = None,
) -> list[Observed]:
    """Segment every lesion as the workspace does, with background refinement, and compare with the ground truth.

    Lesions at which nothing is found are left out: there is neither a surface nor a distance.

    Args:
        runner: carries out a task for each case; None for this process.
        store: results of cases that were finished earlier; None for none.

    Raises:
        TasksFailedError: some cases failed.
    """
    found = {} if store is None else {checked.case_id: store.get(checked, seed) for checked in cases}
    missing = [checked for checked in cases if found.get(checked.case_id) is None]
    done = count(len(cases) - len(missing) + 1)

    def handle_outcome(number: int, outcome: Outcome[list[Observed]]) -> None:
        if isinstance(outcome, Done) and store is not None:
            store.add(missing[number], seed, outcome.value)
        on_progress("Repeating", next(done), len(cases))

    try:
        task = partial(observe_case, model, seed, engine_of)
        outcomes = run_tasks(runner or InProcess(), task, missing, NETWORK_NEEDS, handle_outcome)
    finally:
        _SESSION.close()
    keeping = "run the same command again" if store else "correct them, or name a folder with --work to keep them"
    made = results_of(outcomes, [checked.case_id for checked in missing], keeping)
    found.update(zip((checked.case_id for checked in missing), made))
    return [observed for checked in cases for observed in found[checked.case_id] or ()]


_SESSION: KeptInProcess[Session] = KeptInProcess()


@contextmanager
def _ready_session(model: ModelPackage, engine_of: Callable[[ModelPackage], Engine]) -> Iterator[Session]:
    with Session(engine_of(model), model) as session:
        wait_for_model(session)
        yield session


def observe_case(
    model: ModelPackage, seed: int, engine_of: Callable[[ModelPackage], Engine], stored: CheckedCase
) -> list[Observed]:
    """Observe the lesions of one case, as a task.

    Raises:
        WorkerError: the engine has given up; the next task starts it anew.
    """
    session = _SESSION.get((model.sha256, engine_of), lambda: _ready_session(model, engine_of))
    made: list[Observed] = []
    with stored.at_hand() as checked:
        volume, labels = checked.read_volume(), checked.truth_labels()
    session.use_volume(volume)
    for lesion in stored.lesions:
        refinement = Refinement(can_refine=True)
        try:
            session.segment(lesion.name, np.array(lesion.seed_ras_mm), Options(first_fold_only=True))
            first = wait_for_lesion(session, lesion.name)
            result = wait_for_refinement(session, refinement, first)
        except SeedError:
            continue
        except WorkerError:
            if session.engine.state is EngineState.FAILED:
                _SESSION.close()
                raise
            continue
        consensus = refinement.consensus_of(lesion.name)
        if consensus is not None and not result.mask.is_empty:
            rng = generator_of(seed, stored.case_id, lesion.name, "tips")
            tracker = generator_of(seed, stored.case_id, lesion.name, "tracker")
            truth = stored.truth_of(lesion, volume, labels)
            made.append(_observed(stored.patient, first, result, consensus, truth, volume, rng, tracker))
    return made


def _observed(
    patient: str,
    first: LesionResult,
    result: LesionResult,
    consensus: Consensus,
    truth: np.ndarray,
    volume: Volume,
    rng: np.random.Generator,
    tracker: np.random.Generator,
) -> Observed:
    measured = overlap_and_surfaces(result.mask.mask, truth, volume.ijk_to_ras)
    dice = measured["dice"] or 0.0  # None only for an empty ground truth
    true_surface = measured_surface(truth, volume.ijk_to_ras)
    to_truth = SurfaceDistance(true_surface)
    to_result, to_first = (
        SurfaceDistance(measured_surface(found.mask.mask, volume.ijk_to_ras)) for found in (result, first)
    )
    outer, inner = (_surface_in(volume, shell, consensus.offset_kji) for shell in (consensus.outer, consensus.inner))
    known = [surface for surface in (to_result, outer, inner) if surface is not None]
    tips = _tips_around(np.array(true_surface.GetBounds()).reshape(3, 2), rng)
    true_mm = np.array([to_truth.nearest(tip).distance_mm for tip in tips])
    misses_mm, errors_mm = _misses_mm(known, tips, true_mm), _misses_mm([to_first], tips, true_mm)
    seen = simulated_tips(tips, true_mm, to_result, to_first, known, outer is not None, volume, tracker)
    observation = Observation(patient, consensus.agreement, result.mask.mean_probability, dice, misses_mm, errors_mm)
    return observation, seen


def _tips_around(bounds_mm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw positions of tips, RAS mm, shape (N, 3), around a surface of these bounds, shape (3, 2)."""
    centre, radius_mm = np.mean(bounds_mm, axis=1), np.ptp(bounds_mm, axis=1).mean() / 2
    directions = rng.normal(size=(TIPS, 3))
    away_mm = radius_mm + rng.uniform(*TIP_RANGE_MM, size=(TIPS, 1))
    tips: np.ndarray = centre + away_mm * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return tips


def simulated_tips(
    tips_ras_mm: np.ndarray,
    true_mm: np.ndarray,
    to_segmentation: SurfaceDistance,
    to_first: SurfaceDistance,
    known: Sequence[SurfaceDistance],
    has_consensus: bool,
    volume: Volume,
    rng: np.random.Generator,
) -> SimulatedTips:
    """Measure distances from where sensors of tool, liver and probe put tips, with their errors.

    Args:
        tips_ras_mm: shape (N, 3); true_mm: their true distances, shape (N,).
        known: segmentation and consensus surfaces.
        rng: of the errors.
    """
    to_sensor_mm = np.linalg.norm(tips_ras_mm, axis=1)
    seen = [tip + _tracking_error_mm(rng, TrackingError(), float(mm)) for tip, mm in zip(tips_ras_mm, to_sensor_mm)]
    brackets = np.array([_bracket(known, tip) for tip in seen])
    return SimulatedTips(
        true_mm,
        to_sensor_mm,
        np.array([to_segmentation.nearest(tip).distance_mm for tip in seen]),
        brackets[:, 0],
        brackets[:, 1],
        np.array([to_first.nearest(tip).distance_mm for tip in seen]),
        has_consensus,
        float(volume.spacing_mm.max()),
    )


def _surface_in(volume: Volume, part: np.ndarray, offset_kji: tuple[int, int, int]) -> SurfaceDistance | None:
    if not part.any():
        return None
    return SurfaceDistance(measured_surface(part, part_to_ras(volume.ijk_to_ras, offset_kji)))


def _misses_mm(known: Sequence[SurfaceDistance], tips_ras_mm: np.ndarray, true_mm: np.ndarray) -> np.ndarray:
    """Return how far each true distance lies outside the bracket of the distances to known surfaces, mm."""
    misses = []
    for tip, distance_mm in zip(tips_ras_mm, true_mm):
        low_mm, high_mm = _bracket(known, tip)
        misses.append(max(low_mm - distance_mm, distance_mm - high_mm, 0.0))
    return np.array(misses)


def _bracket(known: Sequence[SurfaceDistance], tip_ras_mm: np.ndarray) -> tuple[float, float]:
    distances_mm = [surface.nearest(tip_ras_mm).distance_mm for surface in known]
    return min(distances_mm), max(distances_mm)


def coverage_of(
    lesions: Sequence[SimulatedTips], calibration: ModelCalibration, alone: bool = False
) -> tuple[float, float]:
    """Return the share of simulated tips whose interval contains the true distance, and the median width, mm.

    Args:
        alone: before the background refinement, without consensus surfaces.
    """
    residual_error, tracking = calibration.residual_error, TrackingError()
    are_covered, widths_mm = [], []
    for tips in lesions:
        has_consensus = tips.has_consensus and not alone
        rest_mm = residual_error.with_consensus_mm if has_consensus else residual_error.alone_mm
        measured, low, high = (tips.alone_mm,) * 3 if alone else (tips.measured_mm, tips.low_mm, tips.high_mm)
        for true_mm, to_sensor_mm, *of_tip in zip(tips.true_mm, tips.to_sensor_mm, measured, low, high):
            measured_mm, low_mm, high_mm = map(float, of_tip)
            interval = interval_of(measured_mm, low_mm, high_mm, float(to_sensor_mm), tips.voxel_mm, tracking, rest_mm)
            are_covered.append(interval.low_mm <= true_mm <= interval.high_mm)
            widths_mm.append(interval.high_mm - interval.low_mm)
    return float(np.mean(are_covered)), float(np.median(widths_mm))


def _tracking_error_mm(rng: np.random.Generator, tracking: TrackingError, to_sensor_mm: float) -> np.ndarray:
    """Draw the error of a tracked tip in the frame of the volume, mm, shape (3,)."""
    total = np.zeros(3)
    for lever_mm in (tracking.tool_lever_mm, to_sensor_mm, tracking.probe_lever_mm, to_sensor_mm):
        lever = rng.normal(size=3)
        axis = rng.normal(size=3)
        angle = np.radians(tracking.angle_deg) * rng.normal() * axis / np.linalg.norm(axis)
        total += rng.normal(scale=tracking.position_mm / np.sqrt(3), size=3)
        total += np.cross(angle, lever_mm * lever / np.linalg.norm(lever))
    return total
