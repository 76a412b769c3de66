"""The metastases of a simulated patient: number, place, size, shape and echogenicity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .lesion_shapes import LesionShape, WaveSurface, draw_level_set
from .space import Space, random_rotation

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
RANGE_MM = np.array([[-30.0, 30.0], [-40.0, 40.0], [8.0, 80.0]])
"""Where lesions lie in version 1."""

VARIED_ECHOGENICITY_SHARES = {"hypoechoic": 0.46, "isoechoic": 0.40, "hyperechoic": 0.14}
"""More isoechoic ones, as in a second series of 84 patients (41.7, 44.0, 14.3 %)."""
VARIED_PATTERN_SHARES = {
    "homogeneous": 0.40,
    "target": 0.14,
    "calcified": 0.12,
    "heterogeneous": 0.12,
    "necrotic": 0.09,
    "graded": 0.07,
    "bright rim": 0.06,
}
VARIED_CONTRAST_DB = {
    "hypoechoic": (-7.0, 3.0, -14.0, -3.5),
    "isoechoic": (0.0, 1.4, -3.0, 3.0),
    "hyperechoic": (6.5, 2.5, 3.0, 12.0),
}
VARIED_HALO_SHARE = {"hypoechoic": 0.15, "isoechoic": 0.45, "hyperechoic": 0.50}
VARIED_DIAMETER_MM = (16.0, 0.60, 5.0, 60.0)
SHAPE_SHARES = {"waves": 0.30, "ellipsoid": 0.15, "noise": 0.55}
SUPERFICIAL_SHARE, TOUCHING_SHARE, INFILTRATING_SHARE = 0.25, 0.30, 0.25
CUT_SHARE = 0.15
"""Of lesions of which only the centre must lie in the field of view; of the others nearly all must."""

LEAST_CONTRAST_DB = 1.0
"""Of a lesion without a halo: with less, nothing tells it from the tissue around."""

IsSeen = Callable[[np.ndarray, float], bool]
"""Whether a sphere, by centre in the local frame (3,) and radius in mm, was imaged for the most part."""


@dataclass(frozen=True, eq=False)
class Tumour:
    """One metastasis. The defaults are what all of version 1 have in common.

    Attributes:
        edge_mm: between which limits the width of its edge is drawn.
        texture: grain in mm and standard deviation in dB of its inside.
        attenuation_db_cm_mhz: above that of the parenchyma; below 0 the tissue behind is brighter.
        touches_vessel: whether a vessel runs along its surface.
    """

    shape: LesionShape
    echogenicity: str
    pattern: str
    contrast_db: float
    halo_mm: float
    kind: str = "waves"
    edge_mm: tuple[float, float] = (0.3, 1.0)
    texture: tuple[float, float] = (4.0, 1.0)
    attenuation_db_cm_mhz: float = 0.08
    touches_vessel: bool = False

    @property
    def center_mm(self) -> np.ndarray:
        return self.shape.center_mm

    @property
    def axes_mm(self) -> np.ndarray:
        return self.shape.axes_mm

    @property
    def diameter_mm(self) -> float:
        return float(2 * np.prod(self.axes_mm) ** (1 / 3))

    @property
    def reach_mm(self) -> float:
        """Return within what distance of the centre the tumour lies."""
        return self.shape.reach_mm

    def signed_distance_mm(self, points_mm: np.ndarray) -> np.ndarray:
        """Return the approximate signed distance of local points (..., 3) to the surface, negative inside, mm."""
        return self.shape.signed_distance_mm(points_mm)


def draw_tumours(
    rng: np.random.Generator, range_mm: np.ndarray = RANGE_MM, is_seen: IsSeen | None = None
) -> list[Tumour]:
    """Draw one to four metastases of one patient as in version 1: alike in echogenicity, and apart from each other.

    Args:
        range_mm: low and high limit along x, y, z, shape (3, 2).
        is_seen: lesions that were not are drawn again.
    """
    echogenicity = str(rng.choice(list(ECHOGENICITY_SHARES), p=list(ECHOGENICITY_SHARES.values())))
    contrast_db = _clipped_normal(rng, *CONTRAST_DB[echogenicity])
    wanted = 1 + rng.binomial(3, 0.3)
    return _apart(wanted, lambda: _draw_tumour(rng, echogenicity, contrast_db, range_mm, is_seen))


def draw_varied_tumours(rng: np.random.Generator, space: Space, is_seen: IsSeen) -> list[Tumour]:
    """Draw one to four metastases of more shapes, patterns and places, within a field of view."""
    shares = VARIED_ECHOGENICITY_SHARES
    echogenicity = str(rng.choice(list(shares), p=list(shares.values())))
    contrast_db = _clipped_normal(rng, *VARIED_CONTRAST_DB[echogenicity])
    wanted = 1 + rng.binomial(3, 0.35)
    return _apart(wanted, lambda: _draw_varied_tumour(rng, echogenicity, contrast_db, space, is_seen))


def _apart(wanted: int, draw: Callable[[], Tumour]) -> list[Tumour]:
    tumours: list[Tumour] = []
    for _ in range(40):
        candidate = draw()
        if all(_gap_mm(candidate, other) > 6 for other in tumours):
            tumours.append(candidate)
        if len(tumours) == wanted:
            break
    return tumours


def _gap_mm(a: Tumour, b: Tumour) -> float:
    return float(np.linalg.norm(a.center_mm - b.center_mm) - 1.25 * (a.axes_mm.max() + b.axes_mm.max()))


def _draw_tumour(
    rng: np.random.Generator,
    echogenicity: str,
    contrast_db: float,
    range_mm: np.ndarray,
    is_seen: IsSeen | None,
) -> Tumour:
    median, width, low, high = DIAMETER_MM
    radius = np.clip(median * np.exp(width * rng.normal()), low, high) / 2
    stretch = np.exp(0.15 * rng.normal(size=3))
    axes = radius * stretch / np.prod(stretch) ** (1 / 3)
    reach = radius + 3
    low_mm = range_mm[:, 0] + [0.3 * reach, 0.5 * reach, reach]
    high_mm = range_mm[:, 1] - [0.3 * reach, 0.5 * reach, 0.8 * reach]
    waves = _draw_waves(rng)
    return Tumour(
        shape=WaveSurface(
            center_mm=_draw_center(rng, low_mm, np.maximum(high_mm, low_mm + 1), radius, is_seen),
            axes_mm=axes,
            rotation=random_rotation(rng, np.pi),
            waves=waves,
        ),
        echogenicity=echogenicity,
        pattern=str(rng.choice(list(PATTERN_SHARES), p=list(PATTERN_SHARES.values()))),
        contrast_db=float(contrast_db + 0.7 * rng.normal()) if echogenicity != "isoechoic" else float(contrast_db),
        halo_mm=float(min(rng.uniform(1.5, 3.5), 0.4 * radius)) if rng.random() < HALO_SHARE[echogenicity] else 0.0,
    )


def _draw_waves(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    count = 8
    directions = rng.normal(size=(count, 3))
    return (
        directions / np.linalg.norm(directions, axis=1, keepdims=True),
        rng.uniform(1.5, 5.0, count),
        rng.uniform(0, 2 * np.pi, count),
        rng.uniform(0.02, 0.09, count) * rng.uniform(0.4, 1.0),
    )


def _draw_varied_tumour(
    rng: np.random.Generator,
    echogenicity: str,
    contrast_db: float,
    space: Space,
    is_seen: IsSeen,
) -> Tumour:
    median, width, low, high = VARIED_DIAMETER_MM
    radius = np.clip(median * np.exp(width * rng.normal()), low, min(high, 0.7 * space.high_mm[2])) / 2
    center_mm = _draw_varied_center(rng, radius, space, is_seen)
    kind = str(rng.choice(list(SHAPE_SHARES), p=list(SHAPE_SHARES.values())))
    shape = _draw_shape(rng, kind, center_mm, radius)
    patterns = VARIED_PATTERN_SHARES
    has_halo = rng.random() < VARIED_HALO_SHARE[echogenicity]
    own_db = float(contrast_db + (0.4 if echogenicity == "isoechoic" else 0.7) * rng.normal())
    if not has_halo:
        own_db = float(np.copysign(max(abs(own_db), LEAST_CONTRAST_DB), own_db))
    return Tumour(
        shape=shape,
        echogenicity=echogenicity,
        pattern=str(rng.choice(list(patterns), p=list(patterns.values()))),
        contrast_db=own_db,
        halo_mm=float(min(rng.uniform(1.0, 4.0), 0.4 * radius)) * has_halo,
        kind=kind,
        edge_mm=(1.5, min(3.5, 1.5 + 0.3 * radius)) if rng.random() < INFILTRATING_SHARE else (0.3, 1.2),
        texture=(float(rng.uniform(1.6, 6.0)), float(rng.uniform(0.6, 2.2))),
        attenuation_db_cm_mhz=float(rng.uniform(-0.15, 0.30)),
        touches_vessel=bool(rng.random() < TOUCHING_SHARE),
    )


def _draw_varied_center(rng: np.random.Generator, radius_mm: float, space: Space, is_seen: IsSeen) -> np.ndarray:
    """Draw a place in the field of view; a quarter of the lesions lie within 8 mm of the surface."""
    low_mm, high_mm = space.low_mm + 0.3 * radius_mm, space.high_mm - 0.3 * radius_mm
    low_mm[2] = radius_mm + 1.5
    high_mm[2] = max(low_mm[2] + 1, 0.92 * space.high_mm[2] - 0.8 * radius_mm)
    if rng.random() < SUPERFICIAL_SHARE:
        high_mm[2] = low_mm[2] + 8
    whole_mm = 0.0 if rng.random() < CUT_SHARE else radius_mm
    return _draw_center(rng, np.minimum(low_mm, high_mm - 1), high_mm, whole_mm, is_seen)


def _draw_center(
    rng: np.random.Generator, low_mm: np.ndarray, high_mm: np.ndarray, radius_mm: float, is_seen: IsSeen | None
) -> np.ndarray:
    """Draw a place within a box that was imaged, or any in the box if none is found."""
    for _ in range(100):
        center_mm = rng.uniform(low_mm, high_mm)
        if is_seen is None or is_seen(center_mm, radius_mm):
            break
    return center_mm


def _draw_shape(rng: np.random.Generator, kind: str, center_mm: np.ndarray, radius_mm: float) -> LesionShape:
    stretch = np.exp((0.25 if kind == "ellipsoid" else 0.16) * np.clip(rng.normal(size=3), -2, 2))
    stretch /= np.prod(stretch) ** (1 / 3)
    rotation = random_rotation(rng, np.pi)
    if kind == "noise":
        return draw_level_set(rng, center_mm, stretch, rotation, radius_mm)
    directions, frequencies, phases, heights = _draw_waves(rng)
    waves = (directions, frequencies, phases, heights * (kind == "waves"))
    return WaveSurface(center_mm, radius_mm * stretch, rotation, waves)


def _clipped_normal(rng: np.random.Generator, mean: float, deviation: float, low: float, high: float) -> float:
    return float(np.clip(rng.normal(mean, deviation), low, high))
