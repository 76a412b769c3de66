"""Grow-cut and region growing as methods of an evaluation, measured on the same cases as a model.

Their seconds are computing times. The time that a user spends on painting, most of the time of a semi-automatic
segmentation, is not simulated.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ...core.errors import CrlmError
from ...core.points import PointKind
from ...core.postprocessing import NOTHING, measure
from ...core.progress import OnProgress
from ...core.tasks import TaskNeeds
from ...core.volume import Volume
from ...segmentation.models.package import NOT_FOR_CLINICAL_USE
from ..evaluation.methods import ABOUT_KEYS, SEMIAUTOMATIC, Answer, Click, header_of
from ..evaluation.result_cache import Row
from ..evaluation.settings import EvaluationSettings
from .brush import SIMULATED_USER
from .grow_cut import DISTANCE_PENALTY, LEAST_MARGIN, MARGIN_SHARE, grow_from_strokes
from .names import GROW_CUT, REGION_GROWING
from .region_growing import Growth, grow_region
from .strokes import BACKGROUND, LESION, Painter, paint, paint_correction

ALGORITHM_VERSION = "1"
"""To be raised when a method gives other segmentations with the same parameters."""
NEEDS = TaskNeeds(memory_gb=1.0)
"""Of one segmentation."""
NO_STROKE = "nothing was painted: none of the three slices through the click shows the lesion"


@dataclass(frozen=True, eq=False)
class Baseline:
    """A semi-automatic method that an evaluation can run (`evaluation.methods.Method`).

    Attributes:
        intended_use: what it is, in a sentence.
        segment: from a click to the mask, bool, shape (K, J, I), warnings, and the seconds of computing.
        parameters: all on which the segmentation depends.
        trained_on: where the parameters come from; `cases` empty where they come from no case.
        strokes: who paints them; None where there are none.
        takes_points: each point is a stroke of the user more, into the error at which it lies.
    """

    name: str
    intended_use: str
    segment: Callable[[Click], tuple[np.ndarray, tuple[str, ...], float]]
    parameters: Mapping[str, Any]
    trained_on: Mapping[str, Any]
    strokes: str | None = None
    not_for_clinical_use: str = field(default=NOT_FOR_CLINICAL_USE)
    versions: Mapping[str, str] = field(default_factory=dict)
    takes_points: bool = False

    @property
    def sha256(self) -> str:
        """Hash of all that the segmentation depends on, in place of the hash of a model."""
        text = json.dumps([self.name, ALGORITHM_VERSION, self.parameters], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def about(self) -> dict[str, Any]:
        return {
            **dict.fromkeys(ABOUT_KEYS),
            "kind": SEMIAUTOMATIC,
            "name": self.name,
            "version": ALGORITHM_VERSION,
            "sha256": self.sha256,
            "simulated_only": False,
            "intended_use": self.intended_use,
            "trained_on": dict(self.trained_on),
            "strokes": self.strokes,
            "parameters": dict(self.parameters),
        }

    @property
    def needs(self) -> TaskNeeds:
        return NEEDS

    def header(self, settings: EvaluationSettings) -> Row:
        return header_of(self.sha256, None, settings)

    @contextmanager
    def opened(self, settings: EvaluationSettings, on_progress: OnProgress) -> Iterator[Baseline]:
        yield self

    def answer(self, click: Click) -> Answer:
        """Segment the lesion at a seed; see `evaluation.methods.Segmenter`."""
        mask, warnings, seconds = self.segment(click)
        return Answer(
            mask=mask,
            volume_ml=measure(mask, click.volume.ijk_to_ras)[0],
            timings_s={"grow": seconds},
            device=f"CPU with {os.cpu_count()} cores",
            warnings=warnings,
            strokes=self.strokes,
        )


def baseline_named(name: str) -> Baseline:
    """Return the semi-automatic method of a name.

    Raises:
        CrlmError: there is none of that name.
    """
    if name not in BASELINES:
        raise CrlmError(f"no method '{name}'; known are {', '.join(BASELINES)}")
    return BASELINES[name]()


def grow_cut(painter: Painter | None = None) -> Baseline:
    """Return 3D Slicer's grow from seeds, with the strokes of a simulated user."""
    painter = painter or Painter()
    growing = {"margin_share": MARGIN_SHARE, "least_margin": LEAST_MARGIN, "distance_penalty": DISTANCE_PENALTY}
    return Baseline(
        GROW_CUT,
        "Baseline: 3D Slicer's grow from seeds, with scripted strokes on three slices that imitate a user.",
        partial(_grow_cut, painter),
        {**growing, **{f"stroke_{name}": value for name, value in asdict(painter).items()}},
        {"cases": [], "parameters": "3D Slicer's defaults; those of the strokes are assumptions"},
        SIMULATED_USER,
        takes_points=True,
    )


def _grow_cut(painter: Painter, click: Click) -> tuple[np.ndarray, tuple[str, ...], float]:
    strokes = paint(click.volume, click.truth, click.seed_ras_mm, click.rng, painter)
    if not strokes.any():
        return np.zeros(strokes.shape, bool), (NO_STROKE,), 0.0
    found, seconds = _grown(click.volume, strokes)
    for point in click.points:
        is_missing = point.kind is PointKind.INCLUDE
        error = click.truth & ~found if is_missing else found & ~click.truth
        label = LESION if is_missing else BACKGROUND
        paint_correction(strokes, click.volume, error, label, np.array(point.ras_mm), click.rng, painter)
        found, seconds = _grown(click.volume, strokes)
    return found, (), seconds


def _grown(volume: Volume, strokes: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the lesion that grows from strokes, bool, (K, J, I), and the seconds that it took."""
    started_s = time.perf_counter()
    labels = grow_from_strokes(volume, strokes)
    return labels == LESION, time.perf_counter() - started_s


def region_growing(growth: Growth | None = None) -> Baseline:
    """Return region growing from the seed alone."""
    growth = growth or Growth()
    return Baseline(
        REGION_GROWING,
        "Baseline: region growing from the click.",
        partial(_region_growing, growth),
        asdict(growth),
        {"simulated": True, "parameters": "chosen on 20 simulated patients, numbers 0 to 19 of seed 1"},
    )


def _region_growing(growth: Growth, click: Click) -> tuple[np.ndarray, tuple[str, ...], float]:
    started_s = time.perf_counter()
    mask = grow_region(click.volume, click.seed_ras_mm, growth)
    return mask, () if mask.any() else (NOTHING,), time.perf_counter() - started_s


BASELINES: Mapping[str, Callable[[], Baseline]] = {GROW_CUT: grow_cut, REGION_GROWING: region_growing}
