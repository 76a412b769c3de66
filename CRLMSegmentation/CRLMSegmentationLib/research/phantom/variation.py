"""What differs between the simulated patients of phantom version 2, beside their anatomy.

Each factor has a random stream of its own: whether one is varied does not change what another draws.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np

from .anatomy import Tissue, draw_tissue
from .clutter import Clutter, draw_clutter
from .display import DISPLAY_1, Display, draw_display
from .gaps import Gaps, draw_gaps
from .motion import draw_varied_sweep
from .probe import Probe, draw_probe
from .scanner import Imaging, Scanner, draw_scanner
from .space import Space, random_rotation
from .speckle import RAYLEIGH, draw_statistics
from .sweep import SimulatedSweep, draw_sweep

SPACING_MM, PIXEL_MM = 1.0, 0.5
"""Of version 1; 1.0 mm is the default of SlicerIGSIO's volume reconstruction."""
SPACING_LIMITS_MM = (0.5, 1.2)
PIXELS_A_VOXEL = 0.6
"""Size of a pixel against a voxel: dense enough that no voxel within a frame stays empty."""
MAX_PIXELS, MAX_VOXELS = 50_000, 6_000_000
"""Of a frame and of a volume: they bound the time and the size of the files. A volume of 6 million voxels takes
about 2 MB on disk."""
LOCAL_TO_NOMINAL = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Probe's face along R, sweep along S, beams towards P."""
TRUTH_CLOSING = 2
"""Voxels by which gaps between frames count as part of the field of view, at least."""
NOMINAL_TILT_RAD = float(np.radians(25))


class Factor(str, Enum):
    """What can be varied; the value is its name on the command line."""

    PROBE = "probe"
    MOTION = "motion"
    SPACING = "spacing"
    GAPS = "gaps"
    CLUTTER = "clutter"
    DISPLAY = "display"
    SPECKLE = "speckle"
    TISSUE = "tissue"
    LESIONS = "lesions"

    @property
    def number(self) -> int:
        """Return the number of its random stream."""
        return list(Factor).index(self) + 1


ALL_FACTORS = frozenset(Factor)


def factors_of(names: str) -> frozenset[Factor]:
    """Return the factors of a comma-separated list of names.

    Raises:
        ValueError: one that there is not, or none.
    """
    wanted, known = [name.strip() for name in names.split(",")], [factor.value for factor in Factor]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"there is no factor '{unknown[0]}'; choose of {', '.join(known)}")
    return frozenset(map(Factor, wanted))


@dataclass(frozen=True, eq=False)
class Settings:
    """Everything but the anatomy that a simulated volume depends on.

    Attributes:
        local_to_reference: 4x4, from the anatomy's frame, mm.
        spacing_mm: of the voxels.
        kept: which frames of the sweep went into the volume, bool, shape (frames,).
    """

    factors: frozenset[Factor]
    sweep: SimulatedSweep
    imaging: Imaging
    local_to_reference: np.ndarray
    spacing_mm: float
    gaps: Gaps
    kept: np.ndarray
    tissue: Tissue
    space: Space

    @property
    def pixel_mm(self) -> float:
        """Return the size of a frame's pixels."""
        wanted = PIXEL_MM if self.spacing_mm == SPACING_MM else PIXELS_A_VOXEL * self.spacing_mm
        return float(max(wanted, (self.imaging.probe.area_mm2 / MAX_PIXELS) ** 0.5))

    @property
    def closing(self) -> int:
        """Return by how many voxels gaps between recorded frames count as part of the field of view."""
        return max(TRUTH_CLOSING, int(np.ceil(0.75 * np.max(self.imaging.frame_spacing_mm) / self.spacing_mm)))

    def summary(self) -> dict[str, Any]:
        """Return what a case says of its settings."""
        probe, display, statistics = self.imaging.probe, self.imaging.display, self.imaging.statistics
        return {
            "probe": probe.geometry.value,
            "frequency_mhz": round(probe.frequency_mhz, 2),
            "depth_mm": round(probe.depth_mm, 1),
            "motion": self.sweep.kind,
            "spacing_mm": round(self.spacing_mm, 3),
            "frames": int(self.kept.sum()),
            "frames_lost": int((~self.kept).sum()),
            "holes_filled": self.gaps.fill_holes,
            "display": display.curve.value,
            "smoothing": display.smoothing.value,
            "looks": display.looks,
            "scatterer_density": round(statistics.density, 3),
            "coherent_share": round(statistics.coherent, 3),
        }


def draw_settings(stream: tuple[int, ...], factors: Collection[Factor]) -> Settings:
    """Draw the settings of one patient; factors that are not among those given stay as in version 1.

    Args:
        stream: numbers that the random streams of all factors begin with.
    """

    def rng_of(factor: Factor, part: int = 0) -> np.random.Generator:
        return stream_of(stream, factor, part)

    probe = draw_probe(rng_of(Factor.PROBE)) if Factor.PROBE in factors else Probe()
    gaps = draw_gaps(rng_of(Factor.GAPS)) if Factor.GAPS in factors else Gaps()
    motion_rng, is_varied = rng_of(Factor.MOTION), Factor.MOTION in factors
    sweep = draw_varied_sweep(motion_rng) if is_varied else draw_sweep(motion_rng)
    sweep = sweep.every(gaps.affordable_step(sweep.frame_spacing_mm(probe).mean()))
    rotation = random_rotation(motion_rng, np.pi if is_varied else NOMINAL_TILT_RAD) @ LOCAL_TO_NOMINAL
    local_to_reference = placed(rotation, motion_rng.uniform(-40, 40, 3))
    imaged_mm, frame_spacing_mm = _imaged_points(sweep, probe), sweep.frame_spacing_mm(probe)
    wanted_mm = SPACING_MM
    if Factor.SPACING in factors:
        low, high = np.log(SPACING_LIMITS_MM)
        wanted_mm = float(np.exp(rng_of(Factor.SPACING).uniform(low, high)))
    frames = len(sweep.times_s)
    scanner, clutter, display = _draw_scanner(rng_of, factors, frames, probe)
    statistics = draw_statistics(rng_of(Factor.SPECKLE)) if Factor.SPECKLE in factors else RAYLEIGH
    return Settings(
        factors=frozenset(factors),
        sweep=sweep,
        imaging=Imaging(probe, scanner, frame_spacing_mm, statistics, display, clutter),
        local_to_reference=local_to_reference,
        spacing_mm=_affordable_spacing(wanted_mm, probe, imaged_mm @ rotation.T, frame_spacing_mm.mean()),
        gaps=gaps,
        kept=gaps.kept(frames, rng_of(Factor.GAPS, 1)),
        tissue=draw_tissue(rng_of(Factor.TISSUE)) if Factor.TISSUE in factors else Tissue(),
        space=Space.around(imaged_mm),
    )


def _draw_scanner(
    rng_of: Callable[..., np.random.Generator], factors: Collection[Factor], frames: int, probe: Probe
) -> tuple[Scanner, Clutter | None, Display]:
    """Draw the scanner of version 1 first: whatever does not vary is taken from it."""
    scanner = draw_scanner(rng_of(Factor.DISPLAY, 1), rng_of(Factor.CLUTTER, 2), frames, probe.lines)
    clutter, display = None, DISPLAY_1
    if Factor.CLUTTER in factors:
        rng = rng_of(Factor.CLUTTER)
        scanner = _with_noise(scanner, rng, probe)
        clutter = draw_clutter(rng, frames, probe.lines)
        scanner = replace(scanner, contact=clutter.loss_db)
    if Factor.DISPLAY in factors:
        rng = rng_of(Factor.DISPLAY)
        display = draw_display(rng)
        scanner = _with_gain(scanner, rng)
    return scanner, clutter, display


def stream_of(stream: tuple[int, ...], factor: Factor, part: int = 0) -> np.random.Generator:
    """Return a random stream of a factor; its parts are independent of each other."""
    return np.random.default_rng([*stream, factor.number, part])


def placed(rotation: np.ndarray, origin_mm: np.ndarray) -> np.ndarray:
    """Return the 4x4 matrix of a rotation, 3x3, and the place of the origin, shape (3,)."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, origin_mm
    return matrix


def _imaged_points(sweep: SimulatedSweep, probe: Probe) -> np.ndarray:
    """Return points on the border of what the frames show, local frame, shape (N, 3)."""
    border = probe.border_points_mm()
    poses = np.concatenate([sweep.true_poses[::4], sweep.true_poses[-1:]])
    points_mm: np.ndarray = np.einsum("nij,pj->npi", poses[:, :3, :3], border) + poses[:, None, :3, 3]
    return points_mm.reshape(-1, 3)


def _affordable_spacing(wanted_mm: float, probe: Probe, imaged_mm: np.ndarray, frame_spacing_mm: float) -> float:
    """Return the voxel spacing that was drawn, or the least that time, size and distance of the frames allow.

    Args:
        imaged_mm: points on the border of what the frames show, in Reference up to a shift, shape (N, 3).
    """
    volume_mm3 = float(np.prod(np.ptp(imaged_mm, axis=0) + 4))
    pixel_mm = (probe.area_mm2 / MAX_PIXELS) ** 0.5
    least_mm = max((volume_mm3 / MAX_VOXELS) ** (1 / 3), pixel_mm / PIXELS_A_VOXEL, frame_spacing_mm)
    return float(max(wanted_mm, min(least_mm, SPACING_LIMITS_MM[1])))


def _with_noise(scanner: Scanner, rng: np.random.Generator, probe: Probe) -> Scanner:
    """Return the scanner with noise that reaches a drawn level at the end of the beams."""
    slope_db_cm = float(rng.uniform(1.5, 3.5))
    return replace(
        scanner,
        noise_db=float(rng.uniform(-26, -9) - slope_db_cm * probe.depth_mm / 10),
        noise_slope_db_cm=slope_db_cm,
    )


def _with_gain(scanner: Scanner, rng: np.random.Generator) -> Scanner:
    return replace(
        scanner,
        gain_db=float(3.5 * rng.normal()),
        slope_db_cm=float(0.6 * rng.normal()),
        bumps_db=1.6 * rng.normal(size=8),
        range_db=float(rng.uniform(40, 70)),
    )
