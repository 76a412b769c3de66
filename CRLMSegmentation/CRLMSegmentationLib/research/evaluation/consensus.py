"""Accuracy of the consensus surfaces of a model, on lesions with ground truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.errors import SeedError, WorkerError
from ...core.geometry import part_to_ras
from ...core.metrics import overlap_and_surfaces
from ...core.progress import OnProgress
from ...core.volume import Volume
from ...recording.dataset import CheckedCase
from ...segmentation.calibration import ModelCalibration, Observation
from ...segmentation.consensus import Consensus
from ...segmentation.engine.engine import Engine
from ...segmentation.engine.worker_engine import WorkerEngine
from ...segmentation.models.package import ModelPackage
from ...segmentation.refinement import Refinement
from ...segmentation.results import LesionResult, Options
from ...segmentation.session import Session
from ...segmentation.wait import wait_for_lesion, wait_for_model, wait_for_refinement
from ...tracking.interval import TrackingError, interval_of
from ...tracking.surfaces import SurfaceDistance, measured_surface
from .variations import generator_of

TIPS = 200
TIP_RANGE_MM = (-3.0, 40.0)
"""From inside a tumour to where a margin no longer matters."""


@dataclass(frozen=True, eq=False)
class SimulatedTips:
    """Simulated instrument tips around one lesion: measured and true distances, mm, shape (N,) each.

    `to_first` is the distance to the first answer, before the background refinement; `to_outer` and `to_inner` are None
    before it, and where a consensus surface is empty.
    """

    tips_ras_mm: np.ndarray
    true_mm: np.ndarray
    to_segmentation: SurfaceDistance
    to_first: SurfaceDistance
    to_outer: SurfaceDistance | None
    to_inner: SurfaceDistance | None
    voxel_mm: float

    @property
    def alone(self) -> SimulatedTips:
        """The same measurements without consensus surfaces, as before the background refinement."""
        return replace(self, to_segmentation=self.to_first, to_outer=None, to_inner=None)


def observe(
    model: ModelPackage,
    cases: Sequence[CheckedCase],
    seed: int = 0,
    engine_of: Callable[[ModelPackage], Engine] = WorkerEngine,
    on_progress: OnProgress = lambda *_: None,
) -> list[tuple[Observation, SimulatedTips]]:
    """Segment every lesion as the workspace does, with background refinement, and compare with the ground truth.

    Lesions at which nothing is found are left out: there is neither a surface nor a distance.
    """
    lesions = [(checked, lesion) for checked in cases for lesion in checked.lesions]
    made: list[tuple[Observation, SimulatedTips]] = []
    with Session(engine_of(model), model) as session:
        wait_for_model(session)
        for number, (checked, lesion) in enumerate(lesions, 1):
            volume = checked.read_volume()
            session.use_volume(volume)
            refinement = Refinement(can_refine=True)
            try:
                session.segment(lesion.name, np.array(lesion.seed_ras_mm), Options(first_fold_only=True))
                first = wait_for_lesion(session, lesion.name)
                result = wait_for_refinement(session, refinement, first)
            except (SeedError, WorkerError):
                continue
            finally:
                on_progress("Repeating", number, len(lesions))
            consensus = refinement.consensus_of(lesion.name)
            if consensus is not None and not result.mask.is_empty:
                rng = generator_of(seed, checked.case_id, lesion.name, "tips")
                truth = checked.truth_of(lesion, volume)
                made.append(_observed(checked.patient, first, result, consensus, truth, volume, rng))
    return made


def _observed(
    patient: str,
    first: LesionResult,
    result: LesionResult,
    consensus: Consensus,
    truth: np.ndarray,
    volume: Volume,
    rng: np.random.Generator,
) -> tuple[Observation, SimulatedTips]:
    measured = overlap_and_surfaces(result.mask.mask, truth, volume.ijk_to_ras)
    dice = measured["dice"] or 0.0  # None only for an empty ground truth
    approach = _approach(first, result, consensus, truth, volume, rng)
    misses_mm, errors_mm = _misses_mm(approach), _misses_mm(approach.alone)
    observation = Observation(patient, consensus.agreement, result.mask.mean_probability, dice, misses_mm, errors_mm)
    return observation, approach


def _approach(
    first: LesionResult,
    result: LesionResult,
    consensus: Consensus,
    truth: np.ndarray,
    volume: Volume,
    rng: np.random.Generator,
) -> SimulatedTips:
    surface = measured_surface(truth, volume.ijk_to_ras)
    to_truth = SurfaceDistance(surface)
    centre = np.mean(np.array(surface.GetBounds()).reshape(3, 2), axis=1)
    radius_mm = np.ptp(np.array(surface.GetBounds()).reshape(3, 2), axis=1).mean() / 2
    directions = rng.normal(size=(TIPS, 3))
    away_mm = radius_mm + rng.uniform(*TIP_RANGE_MM, size=(TIPS, 1))
    tips = centre + away_mm * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    to_result, to_first = (
        SurfaceDistance(measured_surface(found.mask.mask, volume.ijk_to_ras)) for found in (result, first)
    )
    outer, inner = (_surface_in(volume, shell, consensus.offset_kji) for shell in (consensus.outer, consensus.inner))
    return SimulatedTips(
        tips,
        np.array([to_truth.nearest(tip).distance_mm for tip in tips]),
        to_result,
        to_first,
        outer,
        inner,
        float(volume.spacing_mm.max()),
    )


def _surface_in(volume: Volume, part: np.ndarray, offset_kji: tuple[int, int, int]) -> SurfaceDistance | None:
    if not part.any():
        return None
    return SurfaceDistance(measured_surface(part, part_to_ras(volume.ijk_to_ras, offset_kji)))


def _misses_mm(approach: SimulatedTips) -> np.ndarray:
    """Return how far each true distance lies outside the bracket of segmentation and consensus surfaces, mm."""
    misses = []
    for tip, true_mm in zip(approach.tips_ras_mm, approach.true_mm):
        low_mm, high_mm = _bracket(approach, tip)
        misses.append(max(low_mm - true_mm, true_mm - high_mm, 0.0))
    return np.array(misses)


def _bracket(approach: SimulatedTips, tip_ras_mm: np.ndarray) -> tuple[float, float]:
    known = (approach.to_segmentation, approach.to_outer, approach.to_inner)
    distances_mm = [surface.nearest(tip_ras_mm).distance_mm for surface in known if surface is not None]
    return min(distances_mm), max(distances_mm)


def coverage_of(
    approaches: Sequence[SimulatedTips], calibration: ModelCalibration, tracking: TrackingError, seed: int = 0
) -> tuple[float, float]:
    """Return the share of trials whose interval contains the true distance, and the median width, mm.

    The tracker's errors are simulated: each tip is seen where sensors of tool, liver and probe put it.
    """
    rng, residual_error = np.random.default_rng(seed), calibration.residual_error
    are_covered, widths_mm = [], []
    for approach in approaches:
        for tip, true_mm in zip(approach.tips_ras_mm, approach.true_mm):
            to_sensor_mm = float(np.linalg.norm(tip))
            seen = tip + _tracking_error_mm(rng, tracking, to_sensor_mm)
            low_mm, high_mm = _bracket(approach, seen)
            measured_mm = approach.to_segmentation.nearest(seen).distance_mm
            rest_mm = residual_error.with_consensus_mm if approach.to_outer else residual_error.alone_mm
            interval = interval_of(measured_mm, low_mm, high_mm, to_sensor_mm, approach.voxel_mm, tracking, rest_mm)
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
