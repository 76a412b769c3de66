"""Corrections with the sphere brush of 3D Slicer's Segment Editor, of what any other method has found at the seed.

A simulated user paints a ball where lesion is missing, and erases one where there is too much. He sees the reference
segmentation and makes the ball as large as the error is deep there, up to his error in judging sizes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import ndimage

from ...core.box import Box
from ...core.geometry import transform_points
from ...core.points import CorrectionPoint, PointKind
from ...core.postprocessing import measure
from ...core.progress import OnProgress
from ...core.tasks import TaskNeeds
from ...core.volume import Volume
from ..evaluation.methods import Answer, Click, Method, Segmenter
from ..evaluation.result_cache import Row
from ..evaluation.settings import EvaluationSettings
from .strokes import Painter

SIMULATED_USER = "a simulated user who sees the reference segmentation"
BRUSH = "sphere brush"


@dataclass(frozen=True, eq=False)
class BrushCorrected:
    """A method whose answers to the seed alone are corrected with the brush, a ball for each point."""

    method: Method
    painter: Painter = field(default_factory=Painter)

    @property
    def takes_points(self) -> bool:
        return True

    @property
    def not_for_clinical_use(self) -> str:
        return self.method.not_for_clinical_use

    @property
    def needs(self) -> TaskNeeds:
        return self.method.needs

    def about(self) -> dict[str, Any]:
        about = self.method.about()
        return {**about, "name": f"{about['name']} and {BRUSH}", "strokes": SIMULATED_USER}

    def header(self, settings: EvaluationSettings) -> Row:
        return {**self.method.header(settings), "corrected_with": BRUSH}

    @contextmanager
    def opened(self, settings: EvaluationSettings, on_progress: OnProgress) -> Iterator[_BrushSegmenter]:
        with self.method.opened(settings, on_progress) as segmenter:
            yield _BrushSegmenter(segmenter, self.painter)


@dataclass(frozen=True, eq=False)
class _BrushSegmenter:
    segmenter: Segmenter
    painter: Painter

    @property
    def versions(self) -> Mapping[str, str]:
        return self.segmenter.versions

    def answer(self, click: Click) -> Answer:
        found = self.segmenter.answer(replace(click, points=()))
        if not click.points:
            return found
        mask, started_s = found.mask.copy(), time.perf_counter()
        for point in click.points:
            brush_ball(mask, click.truth, click.volume, point, click.rng, self.painter)
        return replace(
            found,
            mask=mask,
            volume_ml=measure(mask, click.volume.ijk_to_ras)[0],
            timings_s={"brush": time.perf_counter() - started_s},
            strokes=SIMULATED_USER,
        )


def brush_ball(
    mask: np.ndarray,
    truth: np.ndarray,
    volume: Volume,
    point: CorrectionPoint,
    rng: np.random.Generator,
    painter: Painter,
) -> None:
    """Paint a ball into a mask, or erase one, in place.

    Its radius is the greatest depth of the part of the error that is nearest to the point, and half of the painter's
    brush at least.

    Args:
        mask, truth: bool, shape (K, J, I) of the volume.
        point: where the user clicks; include points paint.
    """
    is_missing = point.kind is PointKind.INCLUDE
    spacing_kji = volume.spacing_mm[::-1]
    place_kji = transform_points(volume.ras_to_ijk, np.array(point.ras_mm))[::-1]
    depth_mm = _depth_mm(truth & ~mask if is_missing else mask & ~truth, place_kji, spacing_kji)
    radius_mm = max(painter.brush_mm / 2, depth_mm * float(np.exp(rng.normal(0, painter.size_error))))
    reach = radius_mm / spacing_kji
    low = np.maximum(np.floor(place_kji - reach), 0).astype(int)
    high = np.minimum(np.ceil(place_kji + reach) + 1, mask.shape).astype(int)
    near = tuple(slice(a, max(a, b)) for a, b in zip(low, high))
    places = np.moveaxis(np.indices(mask[near].shape), 0, -1) + low
    mask[near][np.linalg.norm((places - place_kji) * spacing_kji, axis=-1) <= radius_mm] = is_missing


def _depth_mm(error: np.ndarray, place_kji: np.ndarray, spacing_kji: np.ndarray) -> float:
    """Return the greatest depth of the connected part of an error that is nearest to a place; 0 without an error."""
    box = Box.of_mask(error)
    if box is None:
        return 0.0
    labels, _ = ndimage.label(error[box.slices])
    voxels = np.argwhere(labels)
    away_mm = np.linalg.norm((voxels + box.start_kji - place_kji) * spacing_kji, axis=1)
    part = labels == labels[tuple(voxels[away_mm.argmin()])]
    return float(ndimage.distance_transform_edt(np.pad(part, 1), sampling=spacing_kji).max())
