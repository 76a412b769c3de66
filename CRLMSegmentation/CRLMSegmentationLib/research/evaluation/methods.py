"""The methods that an evaluation runs: a model, through the session of the workspace, or any other segmenter.

A method is started once for all measurements, and segments seed after seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from ...core.errors import CrlmError, WorkerError
from ...core.points import CorrectionPoint
from ...core.progress import OnProgress
from ...core.tasks import KeptInProcess, TaskNeeds, TaskRunner
from ...core.volume import Volume
from ...segmentation.engine.engine import Engine, EngineState
from ...segmentation.engine.worker_engine import WorkerEngine
from ...segmentation.models.package import ModelPackage, crop_size_of, takes_points
from ...segmentation.results import LesionResult, Options
from ...segmentation.session import Session
from ...segmentation.wait import wait_for_lesion, wait_for_model
from .result_cache import Row
from .settings import EvaluationSettings

MODEL, SEMIAUTOMATIC = "model", "semi-automatic"
ABOUT_KEYS = (
    "kind",
    "name",
    "version",
    "sha256",
    "simulated_only",
    "region",
    "crop_size_mm",
    "spacing_mm",
    "intended_use",
    "trained_on",
    "strokes",
    "parameters",
)
"""Of `Method.about`."""
NETWORK_NEEDS = TaskNeeds(memory_gb=3.0, is_limited=False, first_alone=True)
"""Of segmenting one lesion with a model; the first task chooses the runtime (`inference.runtime_choice`)."""
CACHE_VERSION = 4
"""Raised when lesions of the same name may be others than before, such as by another rule for parts of a label."""


class NoAnswerError(CrlmError):
    """One lesion could not be segmented; the next may be."""


@dataclass(frozen=True, eq=False)
class Click:
    """A segmentation task: a seed in a volume.

    Attributes:
        volume: as the method gets it.
        seed_ras_mm: shape (3,).
        truth: of the lesion, bool, shape (K, J, I); for simulated users alone.
        rng: of all that the answer draws.
        points: with which the user has corrected the answers before, in their order.
    """

    lesion: str
    volume: Volume
    seed_ras_mm: np.ndarray
    truth: np.ndarray
    rng: np.random.Generator
    points: tuple[CorrectionPoint, ...] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """The segmentation of a lesion, on the grid of the volume.

    Attributes:
        mask: bool, shape (K, J, I).
        timings_s: name of a step to seconds.
        in_crop: bool, same shape: the crop that was looked at; None where the whole volume was.
        crop_size_mm: edge of that crop, or None.
        probability: of tumour, float32, same shape; None of a method without.
        strokes: who has painted them; None where there are none.
    """

    mask: np.ndarray
    volume_ml: float
    timings_s: Mapping[str, float]
    device: str
    in_crop: np.ndarray | None = None
    crop_size_mm: float | None = None
    probability: np.ndarray | None = None
    confidence: float | None = None
    warnings: tuple[str, ...] = ()
    strokes: str | None = None


class Segmenter(Protocol):
    """A started method, which segments seed after seed."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the programs involved besides this one, by name."""

    def answer(self, click: Click) -> Answer:
        """Segment the lesion at a seed.

        Raises:
            SeedError: the click, or the last of the points, is not taken; the user has what he had before.
            NoAnswerError: says why.
            WorkerError: there will be no more answers.
        """


class Method(Protocol):
    """A method that can be evaluated."""

    @property
    def not_for_clinical_use(self) -> str:
        """The statement of the method about clinical use."""

    @property
    def takes_points(self) -> bool:
        """Whether a segmentation can be corrected by points."""

    @property
    def needs(self) -> TaskNeeds:
        """What segmenting one lesion needs."""

    def about(self) -> dict[str, Any]:
        """Return what the tables state about the method, by `ABOUT_KEYS`; None where a key does not apply."""

    def header(self, settings: EvaluationSettings) -> Row:
        """Return what two evaluations must have in common for their rows to be merged."""

    def opened(self, settings: EvaluationSettings, on_progress: OnProgress) -> AbstractContextManager[Segmenter]:
        """Start the method for all measurements; it ends with the context."""


def header_of(sha256: str, crop_size_mm: float | None, settings: EvaluationSettings) -> Row:
    """Return the header of a result cache.

    Args:
        crop_size_mm: None where the whole volume is looked at.
    """
    return {
        "schema_version": CACHE_VERSION,
        "model_sha256": sha256,
        "mirroring": settings.mirroring,
        "sliding_window": settings.sliding_window,
        "crop_size_mm": None if crop_size_mm is None else float(crop_size_mm),
        "seed": settings.seed,
        "clicks": settings.clicks,
    }


@dataclass(frozen=True, eq=False)
class ModelMethod:
    """A model package and the engine that runs it, as a method."""

    model: ModelPackage
    engine_of: Callable[[ModelPackage], Engine] = field(default=WorkerEngine)

    @property
    def not_for_clinical_use(self) -> str:
        return self.model.not_for_clinical_use

    @property
    def takes_points(self) -> bool:
        return takes_points(self.model)

    @property
    def needs(self) -> TaskNeeds:
        return NETWORK_NEEDS

    def about(self) -> dict[str, Any]:
        return {**{name: getattr(self.model, name, None) for name in ABOUT_KEYS}, "kind": MODEL}

    def header(self, settings: EvaluationSettings) -> Row:
        return header_of(self.model.sha256, crop_size_of(self.model, settings.crop_size_mm), settings)

    @contextmanager
    def opened(self, settings: EvaluationSettings, on_progress: OnProgress) -> Iterator[_ModelSegmenter]:
        on_progress("Loading the model", 0, 1)
        with Session(self.engine_of(self.model), self.model) as session:
            ready = wait_for_model(session)
            on_progress("Loading the model", 1, 1)
            yield _ModelSegmenter(session, settings, ready.versions)


@dataclass(frozen=True, eq=False)
class _ModelSegmenter:
    """Segments through the session of the workspace; one worker serves all lesions."""

    session: Session
    settings: EvaluationSettings
    versions: Mapping[str, str]

    def answer(self, click: Click) -> Answer:
        if click.volume is not self.session.volume:
            self.session.use_volume(click.volume)
        settings = self.settings
        options = Options(settings.crop_size_mm, settings.mirroring, sliding_window=settings.sliding_window)
        self.session.segment(click.lesion, click.seed_ras_mm, options, points=click.points)
        try:
            return _answer_of(wait_for_lesion(self.session, click.lesion))
        except WorkerError as error:
            if self.session.engine.state is EngineState.FAILED:
                raise
            raise NoAnswerError(str(error)) from error


def on_all_machines(model: ModelPackage, runner: TaskRunner) -> ModelPackage:
    """Return a model with a path by which other machines find it.

    Raises:
        CrlmError: a machine does not see its folder.
    """
    runner.check_folder(model.folder)
    return replace(model, folder=model.folder.absolute())


_STARTED: KeptInProcess[Segmenter] = KeptInProcess()


def started(method: Method, settings: EvaluationSettings, on_progress: OnProgress = lambda *_: None) -> Segmenter:
    """Return a segmenter that runs in this process, started unless it is; one of another method ends."""
    key = (type(method), json.dumps(method.header(settings), sort_keys=True), settings)
    return _STARTED.get(key, lambda: method.opened(settings, on_progress))


def stop_started() -> None:
    """End the method that runs in this process."""
    _STARTED.close()


def _answer_of(result: LesionResult) -> Answer:
    mask, size_mm = result.mask, result.request.options.crop_size_mm
    return Answer(
        mask=mask.mask,
        volume_ml=mask.volume_ml,
        timings_s=dict(result.timings_s),
        device=result.device,
        in_crop=None if size_mm is None else mask.in_crop,
        crop_size_mm=None if size_mm is None else float(size_mm),
        probability=mask.probability,
        confidence=None if mask.is_empty else mask.mean_probability,
        warnings=tuple(mask.warnings),
    )
