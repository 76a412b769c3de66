"""One simulated patient: anatomy, sweep and scanner put together and reconstructed into a volume."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from ...core.geometry import transform_points
from ...core.volume import Volume
from ...tracking.sweeps.volume_builder import Grid, VolumeBuilder
from .anatomy import Anatomy, Tissue, draw_anatomy
from .display import DISPLAY_1
from .lesions import RANGE_MM, Tumour, draw_tumours, draw_varied_tumours
from .probe import Probe, scan_converter
from .scanner import draw_scanner, image_beams
from .space import Space, random_rotation
from .speckle import Statistics
from .sweep import SimulatedSweep, draw_sweep
from .variation import (
    ALL_FACTORS,
    LOCAL_TO_NOMINAL,
    NOMINAL_TILT_RAD,
    PIXEL_MM,
    SPACING_MM,
    TRUTH_CLOSING,
    Factor,
    ImagingSettings,
    draw_settings,
    stream_of,
)

PHANTOM_VERSIONS = (1, 2)
PHANTOM_VERSION = PHANTOM_VERSIONS[-1]
"""The newest one, and the default. A version always gives the same files for the same seed."""
MIN_VISIBLE_VOXELS = 40
MAX_CUT_OFF = 0.02
"""Share of a lesion's voxels that may lie apart from the rest of it, cut off by the border of the field of view; a
patient with more is drawn again."""
EPOCH_S = 1_700_000_000.0
"""Time of the first frame: fixed, so that a seed always gives the same files."""
ATTEMPTS = 20


@dataclass(frozen=True, eq=False)
class Phantom:
    """One simulated patient.

    Attributes:
        volume: reconstructed from the sweep, in Reference, with the mask of its field of view.
        truth: uint8 numbers of the tumours (from 1) on the same grid.
        local_to_reference: 4x4, from the anatomy's frame, mm.
        visible: numbers of the tumours of which enough lies in the field of view.
        imaging: what a case says of the settings; empty in version 1.
    """

    volume: Volume
    truth: Volume
    anatomy: Anatomy
    sweep: SimulatedSweep
    local_to_reference: np.ndarray
    visible: tuple[int, ...]
    imaging: dict[str, Any] = field(default_factory=dict)


def simulate(
    seed: int, number: int, version: int = PHANTOM_VERSION, factors: Collection[Factor] = ALL_FACTORS
) -> Phantom:
    """Simulate patient `number` of the cohort `seed`; drawn again if the sweep missed every tumour.

    Args:
        factors: what varies in version 2; all else stays as in version 1. Version 1 does not look at them.
    """
    for attempt in range(ATTEMPTS):
        if version == 1:
            phantom = _simulate_version_1(np.random.default_rng([1, seed, number, attempt]))
        else:
            phantom = _simulate_varied((version, seed, number, attempt), factors)
        if phantom.visible:
            return phantom
    raise RuntimeError(f"no visible tumour in {ATTEMPTS} draws of patient {number}, seed {seed}")


def _simulate_version_1(rng: np.random.Generator) -> Phantom:
    probe = Probe()
    anatomy, sweep = draw_anatomy(rng, rng, Space.version_1(), Tissue(), draw_tumours), draw_sweep(rng)
    local_to_reference = _placed(random_rotation(rng, NOMINAL_TILT_RAD) @ LOCAL_TO_NOMINAL, rng.uniform(-40, 40, 3))
    scanner = draw_scanner(rng, rng, len(sweep.times_s), probe.lines)
    spacing_mm = np.linalg.norm(np.diff(sweep.true_poses[:, :3, 3], axis=0), axis=1).mean()
    beams = image_beams(anatomy, sweep, scanner, rng, spacing_mm, probe, Statistics(), DISPLAY_1, None)
    kept, points = np.ones(len(beams), bool), scan_converter(probe, PIXEL_MM).points_mm
    hull = points[:: max(1, len(points) // 400)]
    volume, swept = _reconstruct(beams, sweep, kept, local_to_reference, probe, PIXEL_MM, SPACING_MM, False, hull, 4)
    labels = _labels(volume, anatomy, local_to_reference, swept, TRUTH_CLOSING)
    voxels = np.bincount(labels.ravel(), minlength=len(anatomy.tumours) + 1)
    visible = tuple(n for n in range(1, len(voxels)) if voxels[n] >= MIN_VISIBLE_VOXELS)
    return Phantom(volume, Volume(labels, volume.ijk_to_ras), anatomy, sweep, local_to_reference, visible)


def _simulate_varied(stream: tuple[int, ...], factors: Collection[Factor]) -> Phantom:
    settings = draw_settings(stream, factors)
    sweep, probe = settings.sweep, settings.probe
    lesion_rng = stream_of(stream, Factor.LESIONS)
    anatomy = draw_anatomy(
        stream_of(stream, Factor.TISSUE, 1),
        lesion_rng,
        settings.space,
        settings.tissue,
        lambda rng: _draw_lesions(rng, settings),
    )
    local_to_reference = _placed(settings.local_rotation, settings.local_origin_mm)
    clutter = settings.clutter and (settings.clutter, stream_of(stream, Factor.CLUTTER, 1))
    beams = image_beams(
        anatomy,
        sweep,
        settings.scanner,
        stream_of(stream, Factor.SPECKLE, 1),
        settings.frame_spacing_mm,
        probe,
        settings.statistics,
        settings.display,
        clutter,
    )
    volume, swept = _reconstruct(
        beams,
        sweep,
        settings.kept,
        local_to_reference,
        probe,
        settings.pixel_mm,
        settings.spacing_mm,
        settings.gaps.fill_holes,
        probe.border_points_mm(),
        1,
    )
    labels = _labels(volume, anatomy, local_to_reference, swept, settings.closing)
    visible = _visible(labels, volume, len(anatomy.tumours))
    truth = Volume(labels, volume.ijk_to_ras)
    return Phantom(volume, truth, anatomy, sweep, local_to_reference, visible, settings.summary())


def _draw_lesions(rng: np.random.Generator, settings: ImagingSettings) -> list[Tumour]:
    """Draw lesions whose centre is imaged."""
    space = settings.space

    def is_seen(center_mm: np.ndarray, radius_mm: float) -> bool:
        return settings.sweep.sees(settings.probe, center_mm, radius_mm)

    if Factor.LESIONS in settings.factors:
        return draw_varied_tumours(rng, space, is_seen)
    reached = np.stack([space.low_mm, space.high_mm], axis=1)
    range_mm = np.stack([np.maximum(RANGE_MM[:, 0], reached[:, 0]), np.minimum(RANGE_MM[:, 1], reached[:, 1])], axis=1)
    return draw_tumours(rng, range_mm, is_seen)


def _placed(rotation: np.ndarray, origin_mm: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, origin_mm
    return matrix


def _reconstruct(
    beams: np.ndarray,
    sweep: SimulatedSweep,
    kept: np.ndarray,
    local_to_reference: np.ndarray,
    probe: Probe,
    pixel_mm: float,
    spacing_mm: float,
    fill_holes: bool,
    hull: np.ndarray,
    step: int,
) -> tuple[Volume, np.ndarray]:
    """Return the volume of the frames that were kept, and the voxels that all frames have reached."""
    poses = local_to_reference @ sweep.tracked_poses
    converter = scan_converter(probe, pixel_mm)
    points = converter.points_mm
    reached = np.concatenate([transform_points(pose, hull) for pose in poses[::step]])
    low_mm = np.floor(reached.min(0) / spacing_mm) * spacing_mm
    grid = Grid.around(low_mm, np.ceil(reached.max(0) / spacing_mm) * spacing_mm, spacing_mm)
    builder, lost = VolumeBuilder(grid, pixel_type=np.float32, voxel_type=np.uint8), []
    for beam, pose, is_kept in zip(beams, poses, kept):
        placed = transform_points(pose, points)
        if is_kept:
            builder.insert_points(converter.weights @ beam.reshape(-1).astype(np.float32), placed)
        else:
            lost.append(placed)
    volume = builder.volume(timestamp_s=EPOCH_S + sweep.times_s[-1], holes=fill_holes)
    swept = volume.insonified.copy()
    for placed in lost:
        ijk = np.rint(transform_points(volume.ras_to_ijk, placed)).astype(int)
        ijk = ijk[((ijk >= 0) & (ijk < swept.shape[::-1])).all(1)]
        swept[tuple(ijk.T[::-1])] = True
    return volume, swept


def _labels(
    volume: Volume, anatomy: Anatomy, local_to_reference: np.ndarray, swept: np.ndarray, closing: int
) -> np.ndarray:
    """Return the lesion numbers on the grid of the volume, uint8 (K, J, I), 0 outside what was swept.

    Args:
        closing: gaps of up to twice as many voxels count as swept.
    """
    to_local = np.linalg.inv(local_to_reference) @ volume.ijk_to_ras
    spacing_mm = np.linalg.norm(to_local[:3, 0])
    labels, shape = np.zeros(swept.shape, np.uint8), np.array(swept.shape)
    for number, tumour in enumerate(anatomy.tumours, 1):
        center = transform_points(np.linalg.inv(to_local), tumour.center_mm)[::-1]
        reach = tumour.reach_mm / spacing_mm + 1
        low = np.clip(np.floor(center - reach).astype(int), 0, shape)
        high = np.clip(np.ceil(center + reach).astype(int) + 1, low, shape)
        if not (high > low).all():
            continue
        kji = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
        local = transform_points(to_local, kji[..., ::-1].reshape(-1, 3)).reshape(kji.shape)
        inside = (tumour.signed_distance_mm(local) < 0) & _closed(swept, low, high, closing)
        labels[tuple(map(slice, low, high))][inside] = number
    return labels


def _closed(swept: np.ndarray, low: np.ndarray, high: np.ndarray, closing: int) -> np.ndarray:
    """Return a box of the morphological closing of a mask, as the closing of the whole mask would give it."""
    first = np.maximum(low - 2 * closing, 0)
    part = swept[tuple(map(slice, first, high + 2 * closing))]
    closed: np.ndarray = ndimage.binary_closing(part, iterations=closing)[tuple(map(slice, low - first, high - first))]
    return closed


def _visible(labels: np.ndarray, volume: Volume, tumours: int) -> tuple[int, ...]:
    """Return which lesions have enough imaged voxels; none where the field of view cuts one into pieces."""
    seen = np.bincount(labels[volume.insonified], minlength=tumours + 1)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        if box is not None:
            pieces, _ = ndimage.label(labels[box] == number, np.ones((3, 3, 3)))
            voxels = np.bincount(pieces.ravel())[1:]
            if voxels.max() < (1 - MAX_CUT_OFF) * voxels.sum():
                return ()
    return tuple(n for n in range(1, tumours + 1) if seen[n] >= MIN_VISIBLE_VOXELS)
