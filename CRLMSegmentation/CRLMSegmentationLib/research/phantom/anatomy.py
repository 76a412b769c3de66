"""The liver under the probe: parenchyma, vessels, cysts and metastases, as fields of scattering and attenuation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .lesion_painting import add_tumour
from .lesions import Tumour
from .space import Space, soft

ATTENUATION_DB_CM_MHZ = (0.52, 0.85)
"""Normal and fatty liver."""
CYST_DB = -35.0


@dataclass(frozen=True)
class Tissue:
    """Texture of the parenchyma and number of its vessels; the defaults are those of version 1.

    Attributes:
        textures: grain in mm and standard deviation in dB of each.
        vessels: least and one above the most, of either kind.
        cyst_share: probability of each of two cysts.
    """

    textures: tuple[tuple[float, float], ...] = ((14.0, 1.0), (2.0, 0.7))
    vessels: tuple[int, int] = (4, 9)
    blood_db: float = -28.0
    wall_db: float = 7.0
    cyst_share: float = 0.12


def draw_tissue(rng: np.random.Generator) -> Tissue:
    """Draw the look of a liver: even or coarse, with few or many vessels."""
    least = int(rng.integers(2, 7))
    return Tissue(
        textures=(
            (float(rng.uniform(8, 20)), float(rng.uniform(0.5, 2.0))),
            (float(rng.uniform(1.6, 4.0)), float(rng.uniform(0.3, 1.5))),
        ),
        vessels=(least, least + int(rng.integers(2, 7))),
        blood_db=float(rng.uniform(-30, -14)),
        wall_db=float(rng.uniform(2, 11)),
        cyst_share=0.15,
    )


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Scattering and attenuation of one patient, on a grid of the local frame.

    Attributes:
        scattering_db: float32, shape (K, J, I), backscatter against normal parenchyma.
        attenuation_db_cm_mhz: float32, same shape.
        grid_to_local: 4x4.
    """

    scattering_db: np.ndarray
    attenuation_db_cm_mhz: np.ndarray
    grid_to_local: np.ndarray
    tumours: tuple[Tumour, ...]


def draw_anatomy(
    tissue_rng: np.random.Generator,
    lesion_rng: np.random.Generator,
    space: Space,
    tissue: Tissue,
    draw_lesions: Callable[[np.random.Generator], list[Tumour]],
) -> Anatomy:
    """Draw the anatomy of a patient.

    Args:
        tissue_rng: of parenchyma, vessels and cysts.
        lesion_rng: of the metastases; version 1 takes one generator for both.
    """
    points = space.points_mm()
    shape = points.shape[:3]
    fat = tissue_rng.beta(1.2, 3.0)
    attenuation = np.full(shape, ATTENUATION_DB_CM_MHZ[0] + fat * np.ptp(ATTENUATION_DB_CM_MHZ), np.float32)
    (coarse_mm, coarse_db), (fine_mm, fine_db) = tissue.textures
    scattering = space.texture(tissue_rng, shape, coarse_mm, coarse_db)
    scattering = scattering + space.texture(tissue_rng, shape, fine_mm, fine_db)
    tumours = draw_lesions(lesion_rng)
    beside = [_vessel_beside(lesion_rng, tumour) for tumour in tumours if tumour.touches_vessel]
    for walled in (True, False):
        paths = [_vessel_path(tissue_rng, space) for _ in range(tissue_rng.integers(*tissue.vessels))]
        _add_vessels(paths + beside[walled::2], walled, space, tissue, scattering, attenuation)
    for _ in range(tissue_rng.binomial(2, tissue.cyst_share)):
        _add_cyst(tissue_rng, space, points, scattering, attenuation)
    for tumour in tumours:
        add_tumour(lesion_rng, tumour, space, points, scattering, attenuation)
    return Anatomy(scattering, attenuation, space.grid_to_local, tuple(tumours))


def _add_vessels(
    paths: list[tuple[np.ndarray, np.ndarray]],
    walled: bool,
    space: Space,
    tissue: Tissue,
    scattering: np.ndarray,
    attenuation: np.ndarray,
) -> None:
    """Add portal branches with bright walls or hepatic veins without, along smooth random paths."""
    radius_at = np.zeros(scattering.shape, np.float32)
    for path, radii in paths:
        index = space.index_of(path)
        inside = ((index >= 0) & (index < scattering.shape)).all(1)
        radius_at[tuple(index[inside].T)] = radii[inside]
    if not radius_at.any():
        return
    away, nearest = ndimage.distance_transform_edt(radius_at == 0, sampling=space.spacing_mm, return_indices=True)
    outside_mm = away - radius_at[tuple(nearest)]
    if walled:
        scattering += tissue.wall_db * np.exp(-(((outside_mm - 0.7) / 0.7) ** 2)).astype(np.float32)
    lumen = soft(outside_mm, 0.4)
    scattering += lumen * (tissue.blood_db - scattering)
    attenuation += lumen * (0.15 - attenuation)


def _vessel_path(rng: np.random.Generator, space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Draw the centre line of a vessel, local frame, shape (N, 3), and its radius at each point, mm."""
    start = rng.uniform(space.low_mm + [5, 2, 15], space.high_mm - [5, 2, 5])
    heading = rng.normal(size=3) * [1, 1, 0.5]
    steps = np.cumsum(np.cumsum(rng.normal(size=(260, 3)), axis=0) * 0.012 + heading / np.linalg.norm(heading), axis=0)
    path = np.concatenate([start - steps[::-1] * [1, 1, 0.7], start + steps]) * 1.0
    radii = np.linspace(rng.uniform(2.5, 6.5), rng.uniform(1.0, 2.5), len(path))
    return path, radii


def _vessel_beside(rng: np.random.Generator, tumour: Tumour) -> tuple[np.ndarray, np.ndarray]:
    """Draw a vessel that touches the surface of a tumour, as `_vessel_path` does."""
    out, heading = rng.normal(size=(2, 3))
    out /= np.linalg.norm(out)
    heading -= (heading @ out) * out
    heading /= np.linalg.norm(heading)
    radius_mm = rng.uniform(1.5, 4.0)
    ray = tumour.center_mm + np.arange(0, tumour.reach_mm, 0.25)[:, None] * out
    inside = np.flatnonzero(tumour.signed_distance_mm(ray) < 0)
    touching = ray[inside[-1] if len(inside) else 0] + radius_mm * out
    bend = 0.004 * rng.normal() * out + 0.004 * rng.normal(size=3)
    along = np.arange(-120.0, 120.0)[:, None]
    return touching + along * heading + along**2 * bend / 2, np.linspace(radius_mm, 0.7 * radius_mm, len(along))


def _add_cyst(
    rng: np.random.Generator, space: Space, points: np.ndarray, scattering: np.ndarray, attenuation: np.ndarray
) -> None:
    low_mm, high_mm = space.low_mm + [25, 17, 15], space.high_mm - [25, 17, 15]
    center, radius = rng.uniform(np.minimum(low_mm, high_mm), np.maximum(low_mm, high_mm)), rng.uniform(3, 10)
    box = space.box_around(center, radius + 3)
    inside = soft(np.linalg.norm(points[box] - center, axis=-1) - radius, 0.4)
    scattering[box] += inside * (CYST_DB - scattering[box])
    attenuation[box] += inside * (0.05 - attenuation[box])
