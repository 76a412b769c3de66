"""The liver under the probe: parenchyma, vessels, cysts and metastases, as fields of scattering and attenuation.

Local frame in mm: x along the probe's face, y along the sweep, z into the liver; (0, 0, 0) lies on the
surface in the middle of the sweep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

FIELD_OF_VIEW_MM = np.array([[-60.0, 60.0], [-62.0, 62.0], [0.0, 100.0]])
GRID_MM = 0.8

ECHOGENICITY_SHARES = {"hypoechoic": 0.520, "isoechoic": 0.357, "hyperechoic": 0.123}
"""Of 194 metastases in 99 patients (Johns Hopkins IOUS series); drawn per patient, since lesions of one
patient look alike there (P < .001)."""
PATTERN_SHARES = {"homogeneous": 0.508, "target": 0.20, "calcified": 0.19, "heterogeneous": 0.102}
"""Same series; what it leaves open is called heterogeneous here."""
CONTRAST_DB = {
    "hypoechoic": (-7.0, 1.8, -11.0, -4.0),
    "isoechoic": (0.0, 1.0, -2.0, 2.0),
    "hyperechoic": (6.0, 1.5, 3.5, 9.0),
}
"""Mean, standard deviation and limits against the parenchyma: chosen, no figure is published."""
HALO_SHARE = {"hypoechoic": 0.15, "isoechoic": 0.70, "hyperechoic": 0.65}
"""A dark rim is "often" seen around hyper- and isoechoic metastases; the shares are chosen."""
DIAMETER_MM = (18.0, 0.55, 5.0, 60.0)
"""Median, log-normal width and limits: 5 to over 60 mm, many of at most 30 mm."""
ATTENUATION_DB_CM_MHZ = (0.52, 0.85)
"""Normal and fatty liver."""
BLOOD_DB, CYST_DB, WALL_DB = -28.0, -35.0, 7.0


@dataclass(frozen=True, eq=False)
class Tumour:
    """One metastasis; its surface is r(direction) = radius * (1 + a sum of low spherical waves).

    Attributes:
        center_mm: local frame, shape (3,).
        axes_mm: half axes of the mean ellipsoid along its own axes, shape (3,).
        rotation: 3x3, own axes to local.
        waves: directions (N, 3), frequencies (N,), phases (N,) and heights (N,) of the irregular surface.
    """

    center_mm: np.ndarray
    axes_mm: np.ndarray
    rotation: np.ndarray
    waves: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    echogenicity: str
    pattern: str
    contrast_db: float
    halo_mm: float

    @property
    def diameter_mm(self) -> float:
        return float(2 * np.prod(self.axes_mm) ** (1 / 3))

    def signed_distance_mm(self, points_mm: np.ndarray) -> np.ndarray:
        """Return the approximate signed distance of local points (..., 3) to the surface, negative inside, mm."""
        own = (points_mm - self.center_mm) @ self.rotation / self.axes_mm
        radius = np.linalg.norm(own, axis=-1)
        direction = own / np.maximum(radius, 1e-6)[..., None]
        directions, frequencies, phases, heights = self.waves
        outline = 1 + (heights * np.cos(frequencies * (direction @ directions.T) + phases)).sum(-1)
        distance_mm: np.ndarray = (radius - outline) * self.axes_mm.mean()
        return distance_mm


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


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw the anatomy of a patient."""
    points = _grid_points()
    shape = points.shape[:3]
    fat = rng.beta(1.2, 3.0)
    attenuation = np.full(shape, ATTENUATION_DB_CM_MHZ[0] + fat * np.ptp(ATTENUATION_DB_CM_MHZ), np.float32)
    scattering = _texture(rng, shape, 14.0, 1.0) + _texture(rng, shape, 2.0, 0.7)
    tumours = draw_tumours(rng)
    _add_vessels(rng, points, scattering, attenuation)
    for _ in range(rng.binomial(2, 0.12)):
        _add_cyst(rng, points, scattering, attenuation)
    for tumour in tumours:
        _add_tumour(rng, tumour, points, scattering, attenuation)
    grid_to_local = np.diag([GRID_MM, GRID_MM, GRID_MM, 1.0])
    grid_to_local[:3, 3] = FIELD_OF_VIEW_MM[:, 0]
    return Anatomy(scattering, attenuation, grid_to_local, tuple(tumours))


def draw_tumours(rng: np.random.Generator) -> list[Tumour]:
    """Draw one to four metastases of one patient: alike in echogenicity, and apart from each other."""
    echogenicity = str(rng.choice(list(ECHOGENICITY_SHARES), p=list(ECHOGENICITY_SHARES.values())))
    contrast_db = _clipped_normal(rng, *CONTRAST_DB[echogenicity])
    tumours: list[Tumour] = []
    wanted = 1 + rng.binomial(3, 0.3)
    for _ in range(40):
        candidate = _draw_tumour(rng, echogenicity, contrast_db)
        apart = all(_gap_mm(candidate, other) > 6 for other in tumours)
        if apart:
            tumours.append(candidate)
        if len(tumours) == wanted:
            break
    return tumours


def _gap_mm(a: Tumour, b: Tumour) -> float:
    return float(np.linalg.norm(a.center_mm - b.center_mm) - 1.25 * (a.axes_mm.max() + b.axes_mm.max()))


def _draw_tumour(rng: np.random.Generator, echogenicity: str, contrast_db: float) -> Tumour:
    median, width, low, high = DIAMETER_MM
    radius = np.clip(median * np.exp(width * rng.normal()), low, high) / 2
    stretch = np.exp(0.15 * rng.normal(size=3))
    axes = radius * stretch / np.prod(stretch) ** (1 / 3)
    reach = radius + 3
    low_mm = np.array([-30.0, -40.0, 8.0]) + [0.3 * reach, 0.5 * reach, reach]
    high_mm = np.array([30.0, 40.0, 80.0]) - [0.3 * reach, 0.5 * reach, 0.8 * reach]
    count = 8
    directions = rng.normal(size=(count, 3))
    waves = (
        directions / np.linalg.norm(directions, axis=1, keepdims=True),
        rng.uniform(1.5, 5.0, count),
        rng.uniform(0, 2 * np.pi, count),
        rng.uniform(0.02, 0.09, count) * rng.uniform(0.4, 1.0),
    )
    return Tumour(
        center_mm=rng.uniform(low_mm, np.maximum(high_mm, low_mm + 1)),
        axes_mm=axes,
        rotation=random_rotation(rng, np.pi),
        waves=waves,
        echogenicity=echogenicity,
        pattern=str(rng.choice(list(PATTERN_SHARES), p=list(PATTERN_SHARES.values()))),
        contrast_db=float(contrast_db + 0.7 * rng.normal()) if echogenicity != "isoechoic" else float(contrast_db),
        halo_mm=float(min(rng.uniform(1.5, 3.5), 0.4 * radius)) if rng.random() < HALO_SHARE[echogenicity] else 0.0,
    )


def random_rotation(rng: np.random.Generator, max_angle: float) -> np.ndarray:
    """Draw a rotation matrix about a random axis by at most `max_angle` radians."""
    axis = rng.normal(size=3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = rng.uniform(0, max_angle)
    rotation: np.ndarray = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return rotation


def _clipped_normal(rng: np.random.Generator, mean: float, deviation: float, low: float, high: float) -> float:
    return float(np.clip(rng.normal(mean, deviation), low, high))


def _grid_points() -> np.ndarray:
    axes = [np.arange(low, high + GRID_MM / 2, GRID_MM, dtype=np.float32) for low, high in FIELD_OF_VIEW_MM]
    z, y, x = np.meshgrid(*axes[::-1], indexing="ij")
    return np.stack([x, y, z], axis=-1)


def _texture(rng: np.random.Generator, shape: tuple[int, ...], size_mm: float, deviation_db: float) -> np.ndarray:
    """Draw a smooth random field of a given grain size and standard deviation, float32."""
    factor = max(1, int(size_mm / 2 / GRID_MM))
    coarse = rng.normal(size=[n // factor + 3 for n in shape]).astype(np.float32)
    coarse = ndimage.gaussian_filter(coarse, size_mm / 2 / GRID_MM / factor)
    enlarged = ndimage.zoom(coarse, factor, order=1) if factor > 1 else coarse
    field: np.ndarray = enlarged[tuple(slice(n) for n in shape)]
    scaled: np.ndarray = (deviation_db / field.std() * (field - field.mean())).astype(np.float32)
    return scaled


def _near(points: np.ndarray, center_mm: np.ndarray, reach_mm: float) -> tuple[slice, slice, slice]:
    """Return the box (K, J, I) of the grid that contains all voxels within a distance of a point."""
    low = np.floor((center_mm - reach_mm - FIELD_OF_VIEW_MM[:, 0]) / GRID_MM).astype(int)[::-1]
    high = np.ceil((center_mm + reach_mm - FIELD_OF_VIEW_MM[:, 0]) / GRID_MM).astype(int)[::-1] + 1
    k, j, i = (slice(max(0, a), max(0, b)) for a, b in zip(low, high))
    return k, j, i


def _add_vessels(rng: np.random.Generator, points: np.ndarray, scattering: np.ndarray, attenuation: np.ndarray) -> None:
    """Add portal branches with bright walls and hepatic veins without, along smooth random paths."""
    for walled in (True, False):
        radius_at = np.zeros(scattering.shape, np.float32)
        for _ in range(rng.integers(4, 9)):
            path, radii = _vessel_path(rng)
            index = np.round((path - FIELD_OF_VIEW_MM[:, 0]) / GRID_MM).astype(int)[:, ::-1]
            inside = ((index >= 0) & (index < scattering.shape)).all(1)
            radius_at[tuple(index[inside].T)] = radii[inside]
        if not radius_at.any():
            continue
        away, nearest = ndimage.distance_transform_edt(radius_at == 0, sampling=GRID_MM, return_indices=True)
        outside_mm = away - radius_at[tuple(nearest)]
        if walled:
            scattering += WALL_DB * np.exp(-(((outside_mm - 0.7) / 0.7) ** 2)).astype(np.float32)
        lumen = _soft(outside_mm, 0.4)
        scattering += lumen * (BLOOD_DB - scattering)
        attenuation += lumen * (0.15 - attenuation)


def _vessel_path(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    start = rng.uniform([-55, -60, 15], [55, 60, 95])
    heading = rng.normal(size=3) * [1, 1, 0.5]
    steps = np.cumsum(np.cumsum(rng.normal(size=(260, 3)), axis=0) * 0.012 + heading / np.linalg.norm(heading), axis=0)
    path = np.concatenate([start - steps[::-1] * [1, 1, 0.7], start + steps]) * 1.0
    radii = np.linspace(rng.uniform(2.5, 6.5), rng.uniform(1.0, 2.5), len(path))
    return path, radii


def _add_cyst(rng: np.random.Generator, points: np.ndarray, scattering: np.ndarray, attenuation: np.ndarray) -> None:
    center, radius = rng.uniform([-35, -45, 15], [35, 45, 85]), rng.uniform(3, 10)
    box = _near(points, center, radius + 3)
    inside = _soft(np.linalg.norm(points[box] - center, axis=-1) - radius, 0.4)
    scattering[box] += inside * (CYST_DB - scattering[box])
    attenuation[box] += inside * (0.05 - attenuation[box])


def _add_tumour(
    rng: np.random.Generator, tumour: Tumour, points: np.ndarray, scattering: np.ndarray, attenuation: np.ndarray
) -> None:
    box = _near(points, tumour.center_mm, 1.6 * tumour.axes_mm.max() + 4)
    distance_mm = tumour.signed_distance_mm(points[box])
    body_db = tumour.contrast_db + _texture(
        rng, distance_mm.shape, 4.0, 2.5 if tumour.pattern == "heterogeneous" else 1.0
    )
    if tumour.pattern == "target":
        body_db += rng.choice([-5.0, 5.0]) * _soft(distance_mm + 0.55 * tumour.axes_mm.mean(), 0.8)
    inside = _soft(distance_mm, rng.uniform(0.3, 1.0))
    scattering[box] += inside * (body_db - scattering[box])
    attenuation[box] += inside * 0.08
    if tumour.halo_mm:
        rim = np.exp(-(((distance_mm + tumour.halo_mm / 2) / (0.6 * tumour.halo_mm)) ** 2))
        scattering[box] -= rng.uniform(7.0, 11.0) * rim.astype(np.float32)
    if tumour.pattern == "calcified":
        _add_calcifications(rng, tumour, points[box], distance_mm, scattering[box], attenuation[box])


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


def _soft(distance_mm: np.ndarray, width_mm: float) -> np.ndarray:
    """Return a soft mask: 1 inside, 0 outside, with an edge of a given width."""
    return (0.5 * (1 - np.tanh(distance_mm / width_mm))).astype(np.float32)
