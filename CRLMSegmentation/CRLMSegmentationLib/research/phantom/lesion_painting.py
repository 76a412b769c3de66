"""How a metastasis scatters and attenuates: level, pattern, halo, calcifications."""

from __future__ import annotations

import numpy as np

from .lesions import Tumour
from .space import Space, soft


def add_tumour(
    rng: np.random.Generator,
    tumour: Tumour,
    space: Space,
    points: np.ndarray,
    scattering: np.ndarray,
    attenuation: np.ndarray,
) -> None:
    """Write a tumour into the fields of the liver, arrays (K, J, I) on the grid of the space."""
    box = space.box_around(tumour.center_mm, tumour.reach_mm + 4)
    distance_mm = tumour.signed_distance_mm(points[box])
    grain_mm, grain_db = tumour.texture
    body_db = tumour.contrast_db + space.texture(
        rng, distance_mm.shape, grain_mm, 2.5 if tumour.pattern == "heterogeneous" else grain_db
    )
    body_db += _pattern_db(rng, tumour, points[box], distance_mm)
    inside = soft(distance_mm, rng.uniform(*tumour.edge_mm))
    scattering[box] += inside * (body_db - scattering[box])
    attenuation[box] += inside * tumour.attenuation_db_cm_mhz
    if tumour.halo_mm:
        rim = np.exp(-(((distance_mm + tumour.halo_mm / 2) / (0.6 * tumour.halo_mm)) ** 2))
        scattering[box] -= rng.uniform(7.0, 11.0) * rim.astype(np.float32)
    if tumour.pattern == "calcified":
        _add_calcifications(rng, tumour, points[box], distance_mm, scattering[box], attenuation[box])


def _pattern_db(
    rng: np.random.Generator, tumour: Tumour, points: np.ndarray, distance_mm: np.ndarray
) -> np.ndarray | float:
    """Return what the pattern adds to the level of each point of the lesion's box."""
    radius_mm = tumour.axes_mm.mean()
    level_db: np.ndarray | float = 0.0
    if tumour.pattern == "target":
        level_db = rng.choice([-5.0, 5.0]) * soft(distance_mm + 0.55 * radius_mm, 0.8)
    elif tumour.pattern == "necrotic":
        depth, dark_db = rng.uniform(0.3, 0.6), rng.uniform(-18.0, -8.0)
        ragged_mm = 0.15 * radius_mm * np.sin(points @ rng.normal(size=3) * 3 / radius_mm)
        level_db = dark_db * soft(distance_mm + depth * radius_mm + ragged_mm, 0.8)
    elif tumour.pattern == "graded":
        direction = rng.normal(size=3)
        along = (points - tumour.center_mm) @ (direction / np.linalg.norm(direction)) / radius_mm
        level_db = np.clip(rng.uniform(1.5, 3.5) * along, -4, 4).astype(np.float32)
    elif tumour.pattern == "bright rim":
        width_mm = min(rng.uniform(1.0, 2.0), 0.3 * radius_mm)
        level_db = rng.uniform(3.0, 6.0) * np.exp(-(((distance_mm + width_mm) / width_mm) ** 2)).astype(np.float32)
    return level_db


def _add_calcifications(
    rng: np.random.Generator,
    tumour: Tumour,
    points: np.ndarray,
    distance_mm: np.ndarray,
    scattering: np.ndarray,
    attenuation: np.ndarray,
) -> None:
    """Add bright grains that cast shadows to a lesion; arrays are views of the lesion's box."""
    places = np.argwhere(distance_mm < -0.25 * tumour.axes_mm.mean())
    if not len(places):
        return
    for place in places[rng.integers(0, len(places), rng.integers(1, 4))]:
        away = np.linalg.norm(points - points[tuple(place)], axis=-1)
        grain = np.exp(-((away / rng.uniform(0.8, 1.8)) ** 2)).astype(np.float32)
        scattering += 16 * grain
        attenuation += 6 * grain
