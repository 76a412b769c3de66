"""The probe of the simulated scanner: geometry of its beams, and how finely it resolves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import numpy as np
from scipy import sparse

BEAM_SAMPLES = 26_000
"""Most samples of one frame of a varied probe: what a patient costs is bounded by it."""


class Geometry(str, Enum):
    CONVEX = "convex"
    MICRO_CONVEX = "micro-convex"
    LINEAR = "linear"


@dataclass(frozen=True)
class Probe:
    """Geometry and resolution; the defaults are the probe of phantom version 1.

    The probe's frame in mm: x along its face, y across it (elevation), z into the tissue; the origin lies in the
    middle of the face.

    Attributes:
        radius_mm: of the face of a convex probe.
        half_angle_rad: of the fan of a convex probe.
        width_mm: of the image of a linear probe.
        axial_sigma_mm: of the envelope: about one wavelength, 0.3 mm at 5 MHz.
        focus_mm: depth at which the beam is narrowest.
        lateral_sigma_mm, elevation_sigma_mm: of the beam at its focus.
        spread: growth of the beam's sigma for each mm away from the focus; 0.022 gives about 2.5 mm full width at
            92 mm.
    """

    geometry: Geometry = Geometry.CONVEX
    radius_mm: float = 25.0
    half_angle_rad: float = float(np.radians(32.0))
    width_mm: float = 0.0
    depth_mm: float = 92.0
    lines: int = 128
    samples: int = 230
    frequency_mhz: float = 5.0
    axial_sigma_mm: float = 0.30
    focus_mm: float = 40.0
    lateral_sigma_mm: float = 0.6
    elevation_sigma_mm: float = 1.0
    spread: float = 0.022

    @property
    def is_linear(self) -> bool:
        return self.geometry is Geometry.LINEAR

    @property
    def depths_mm(self) -> np.ndarray:
        """Return the depths of the samples along a line, shape (samples,)."""
        return np.linspace(0.5, self.depth_mm, self.samples)

    @property
    def line_spacing_mm(self) -> np.ndarray:
        """Return the distance between neighbouring lines at each depth, shape (samples,)."""
        if self.is_linear:
            return np.full(self.samples, self.width_mm / (self.lines - 1))
        spacing_mm: np.ndarray = (self.radius_mm + self.depths_mm) * 2 * self.half_angle_rad / (self.lines - 1)
        return spacing_mm

    @property
    def half_width_mm(self) -> float:
        """Return half the width of the image."""
        if self.is_linear:
            return self.width_mm / 2
        return float((self.radius_mm + self.depth_mm) * np.sin(self.half_angle_rad))

    @property
    def top_mm(self) -> float:
        """Return the depth at which the image begins: the sides of a convex face lie above its middle."""
        return 0.0 if self.is_linear else float(np.floor(self.radius_mm * (np.cos(self.half_angle_rad) - 1)))

    @property
    def area_mm2(self) -> float:
        if self.is_linear:
            return self.width_mm * self.depth_mm
        return self.half_angle_rad * ((self.radius_mm + self.depth_mm) ** 2 - self.radius_mm**2)

    def beam_points_mm(self) -> np.ndarray:
        """Return the sample positions of one frame in the frame of the probe, shape (lines, samples, 3)."""
        if self.is_linear:
            x, z = np.linspace(-self.width_mm / 2, self.width_mm / 2, self.lines)[:, None], self.depths_mm[None, :]
            return np.stack(np.broadcast_arrays(x, 0.0, z), axis=-1)
        angle = np.linspace(-self.half_angle_rad, self.half_angle_rad, self.lines)[:, None]
        radius = self.radius_mm + self.depths_mm[None, :]
        return np.stack(
            np.broadcast_arrays(radius * np.sin(angle), 0.0, radius * np.cos(angle) - self.radius_mm), axis=-1
        )

    def border_points_mm(self) -> np.ndarray:
        """Return points on the border of the image, in the frame of the probe, shape (N, 3)."""
        beams = self.beam_points_mm()
        sides = beams[[0, -1]]
        return np.concatenate([sides[:, ::8].reshape(-1, 3), sides[:, -1], beams[::8, 0], beams[::8, -1]])

    def line_and_sample(self, x_mm: np.ndarray, z_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the fractional indices of line and sample at points of the image plane, of the points' shape."""
        if self.is_linear:
            line, depth = (x_mm / self.width_mm + 0.5) * (self.lines - 1), z_mm
        else:
            angle = np.arctan2(x_mm, z_mm + self.radius_mm)
            depth = np.hypot(x_mm, z_mm + self.radius_mm) - self.radius_mm
            line = (angle + self.half_angle_rad) / (2 * self.half_angle_rad) * (self.lines - 1)
        depths = self.depths_mm
        return line, (depth - depths[0]) / (depths[1] - depths[0])

    def contains(self, x_mm: np.ndarray, z_mm: np.ndarray) -> np.ndarray:
        """Return which points of the image plane lie in the image, bool, of the points' shape."""
        line, sample = self.line_and_sample(x_mm, z_mm)
        inside: np.ndarray = (line >= 0) & (line < self.lines - 1) & (sample >= 0) & (sample < self.samples - 1)
        return inside


def draw_probe(rng: np.random.Generator) -> Probe:
    """Draw a convex, micro-convex or linear probe of 3 to 10 MHz; the deeper the image, the lower the frequency.

    The ranges are chosen after probes that are sold for intraoperative use; the sizes of the resolution cell are
    those of version 1 at 5 MHz, scaled by the wavelength and varied around it.
    """
    kinds = (Geometry.CONVEX, Geometry.MICRO_CONVEX, Geometry.LINEAR)
    geometry = kinds[rng.choice(3, p=(0.45, 0.15, 0.40))]
    share = rng.random(4)
    low, high = {Geometry.CONVEX: (65, 120), Geometry.MICRO_CONVEX: (60, 100), Geometry.LINEAR: (50, 90)}[geometry]
    depth_mm = low + (high - low) * share[0]
    radius_mm, half_angle_rad, width_mm = 0.0, 0.0, 0.0
    if geometry is Geometry.CONVEX:
        radius_mm = 22 + 38 * share[1]
        half_angle_rad = np.clip((30 + 34 * share[2]) / (2 * radius_mm), np.radians(24), np.radians(38))
    elif geometry is Geometry.MICRO_CONVEX:
        radius_mm, half_angle_rad = 12 + 8 * share[1], np.radians(33 + 22 * share[2])
    else:
        width_mm = 36 + 34 * share[1]
    frequency_mhz = np.clip(5.5 * (80 / depth_mm) * np.exp(0.3 * rng.normal()), 3, 10)
    wavelength = 5 / frequency_mhz
    scale = rng.uniform([0.8, 0.7, 0.7, 0.6], [1.8, 1.8, 2.0, 1.5])
    lines = int(rng.integers(96, 177))
    axial_mm = 0.30 * wavelength * scale[0]
    return Probe(
        geometry=geometry,
        radius_mm=float(radius_mm),
        half_angle_rad=float(half_angle_rad),
        width_mm=float(width_mm),
        depth_mm=float(depth_mm),
        lines=lines,
        samples=int(min(depth_mm / np.clip(1.2 * axial_mm, 0.25, 0.5), BEAM_SAMPLES / lines)),
        frequency_mhz=float(frequency_mhz),
        axial_sigma_mm=float(axial_mm),
        focus_mm=float(depth_mm * (0.3 + 0.4 * share[3])),
        lateral_sigma_mm=float(0.6 * wavelength**0.7 * scale[1]),
        elevation_sigma_mm=float(1.0 * wavelength**0.5 * scale[2]),
        spread=float(0.022 * wavelength**0.5 * scale[3]),
    )


@dataclass(frozen=True, eq=False)
class ScanConverter:
    """Scan conversion from beams to the pixels of a 2D image.

    Attributes:
        weights: sparse, (pixels inside the image, lines * samples), bilinear.
        points_mm: the pixels in the probe's frame, shape (pixels, 3).
    """

    weights: sparse.csr_matrix
    points_mm: np.ndarray


@lru_cache(maxsize=1)
def scan_converter(probe: Probe, pixel_mm: float) -> ScanConverter:
    """Return the pixels that lie inside the image of a probe, and what of the beams each of them shows."""
    half_width = probe.half_width_mm
    x, z = np.meshgrid(np.arange(-half_width, half_width, pixel_mm), np.arange(probe.top_mm, probe.depth_mm, pixel_mm))
    inside = probe.contains(x, z)
    x, z = x[inside], z[inside]
    line, sample = probe.line_and_sample(x, z)
    rows = np.arange(len(line))
    weights = sparse.csr_matrix((len(line), probe.lines * probe.samples), dtype=np.float32)
    for dl in (0, 1):
        for ds in (0, 1):
            share = np.abs(1 - dl - line % 1) * np.abs(1 - ds - sample % 1)
            column = (line.astype(int) + dl) * probe.samples + sample.astype(int) + ds
            weights += sparse.csr_matrix((share.astype(np.float32), (rows, column)), weights.shape)
    return ScanConverter(weights, np.stack([x, np.zeros(len(line)), z], axis=1))
