"""One simulated patient: anatomy, sweep and scanner put together and reconstructed into a volume."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from ...core.geometry import transform_points
from ...core.volume import Volume
from ...tracking.sweeps.volume_builder import Grid, VolumeBuilder
from .anatomy import Anatomy, Tissue, draw_anatomy
from .lesions import RANGE_MM, Tumour, draw_tumours, draw_varied_tumours
from .probe import Probe, ScanConverter, scan_converter
from .scanner import Imaging, draw_scanner, image_beams
from .space import Space, random_rotation
from .sweep import SimulatedSweep, draw_sweep
from .truth import MIN_VISIBLE_VOXELS, lesion_labels, visible_lesions
from .variation import (
    ALL_FACTORS,
    LOCAL_TO_NOMINAL,
    NOMINAL_TILT_RAD,
    PIXEL_MM,
    SPACING_MM,
    TRUTH_CLOSING,
    Factor,
    Settings,
    draw_settings,
    placed,
    stream_of,
)

PHANTOM_VERSIONS = (1, 2)
PHANTOM_VERSION = PHANTOM_VERSIONS[-1]
"""The newest one, and the default. A version always gives the same files for the same seed."""
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
    local_to_reference = placed(random_rotation(rng, NOMINAL_TILT_RAD) @ LOCAL_TO_NOMINAL, rng.uniform(-40, 40, 3))
    scanner = draw_scanner(rng, rng, len(sweep.times_s), probe.lines)
    frame_spacing_mm = np.linalg.norm(np.diff(sweep.true_poses[:, :3, 3], axis=0), axis=1).mean()
    beams = image_beams(anatomy, sweep, Imaging(probe, scanner, frame_spacing_mm), rng)
    poses, converter = local_to_reference @ sweep.tracked_poses, scan_converter(probe, PIXEL_MM)
    some = converter.points_mm[:: max(1, len(converter.points_mm) // 400)]
    builder = VolumeBuilder(_grid(poses[::4], some, SPACING_MM), pixel_type=np.float32, voxel_type=np.uint8)
    _insert(builder, beams, poses, converter)
    volume = builder.volume(timestamp_s=EPOCH_S + sweep.times_s[-1])
    labels = lesion_labels(volume, anatomy, local_to_reference, _mask(volume), TRUTH_CLOSING)
    voxels = np.bincount(labels.ravel(), minlength=len(anatomy.tumours) + 1)
    visible = tuple(n for n in range(1, len(voxels)) if voxels[n] >= MIN_VISIBLE_VOXELS)
    return Phantom(volume, Volume(labels, volume.ijk_to_ras), anatomy, sweep, local_to_reference, visible)


def _simulate_varied(stream: tuple[int, ...], factors: Collection[Factor]) -> Phantom:
    settings = draw_settings(stream, factors)
    sweep, imaging, kept = settings.sweep, settings.imaging, settings.kept
    anatomy = draw_anatomy(
        stream_of(stream, Factor.TISSUE, 1),
        stream_of(stream, Factor.LESIONS),
        settings.space,
        settings.tissue,
        lambda rng: _draw_lesions(rng, settings),
    )
    speckle_rng, clutter_rng = stream_of(stream, Factor.SPECKLE, 1), stream_of(stream, Factor.CLUTTER, 1)
    beams = image_beams(anatomy, sweep, imaging, speckle_rng, clutter_rng)
    poses = settings.local_to_reference @ sweep.tracked_poses
    converter = scan_converter(imaging.probe, settings.pixel_mm)
    grid = _grid(poses, imaging.probe.border_points_mm(), settings.spacing_mm)
    builder = VolumeBuilder(grid, pixel_type=np.float32, voxel_type=np.uint8)
    _insert(builder, beams[kept], poses[kept], converter)
    volume = builder.volume(timestamp_s=EPOCH_S + sweep.times_s[-1], holes=settings.gaps.fill_holes)
    swept = _with_frames(volume, poses[~kept], converter)
    labels = lesion_labels(volume, anatomy, settings.local_to_reference, swept, settings.closing)
    return Phantom(
        volume=volume,
        truth=Volume(labels, volume.ijk_to_ras),
        anatomy=anatomy,
        sweep=sweep,
        local_to_reference=settings.local_to_reference,
        visible=visible_lesions(labels, _mask(volume), len(anatomy.tumours)),
        imaging=settings.summary(),
    )


def _draw_lesions(rng: np.random.Generator, settings: Settings) -> list[Tumour]:
    """Draw lesions that lie in the field of view."""
    space = settings.space

    def is_seen(center_mm: np.ndarray, radius_mm: float) -> bool:
        return settings.sweep.sees(settings.imaging.probe, center_mm, radius_mm)

    if Factor.LESIONS in settings.factors:
        return draw_varied_tumours(rng, space, is_seen)
    low_mm, high_mm = np.maximum(RANGE_MM[:, 0], space.low_mm), np.minimum(RANGE_MM[:, 1], space.high_mm)
    return draw_tumours(rng, np.stack([low_mm, high_mm], axis=1), is_seen)


def _grid(poses: np.ndarray, points_mm: np.ndarray, spacing_mm: float) -> Grid:
    """Return the grid around points of some frames.

    Args:
        poses: probe to Reference, shape (N, 4, 4).
        points_mm: in the frame of the probe, shape (P, 3).
    """
    reached = np.concatenate([transform_points(pose, points_mm) for pose in poses])
    low_mm, high_mm = np.floor(reached.min(0) / spacing_mm), np.ceil(reached.max(0) / spacing_mm)
    return Grid.around(low_mm * spacing_mm, high_mm * spacing_mm, spacing_mm)


def _insert(builder: VolumeBuilder, beams: np.ndarray, poses: np.ndarray, converter: ScanConverter) -> None:
    """Add frames, grey values along their beams, to a volume."""
    for beam, pose in zip(beams, poses):
        pixels = converter.weights @ beam.reshape(-1).astype(np.float32)
        builder.insert_points(pixels, transform_points(pose, converter.points_mm))


def _mask(volume: Volume) -> np.ndarray:
    """Return the insonified voxels of a reconstructed volume, which always has a mask of them."""
    return cast(np.ndarray, volume.insonified)


def _with_frames(volume: Volume, poses: np.ndarray, converter: ScanConverter) -> np.ndarray:
    """Return the insonified voxels, and those that frames would have reached which were lost."""
    swept: np.ndarray = _mask(volume).copy()
    for pose in poses:
        reached = transform_points(pose, converter.points_mm)
        ijk = np.rint(transform_points(volume.ras_to_ijk, reached)).astype(int)
        ijk = ijk[((ijk >= 0) & (ijk < swept.shape[::-1])).all(1)]
        swept[tuple(ijk.T[::-1])] = True
    return swept
