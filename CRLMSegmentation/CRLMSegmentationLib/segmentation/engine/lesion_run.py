"""The answer to the job of a lesion: crop, network, mask. It runs in the worker, and knows no process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...core.crop import Crop, extract_crop, whole_volume
from ...core.postprocessing import lesion_from_probability
from ...core.progress import OnProgress
from ..inference.prediction import IsCancelled, LoadedModel, Prediction
from ..models.package import takes_points
from ..results import Options
from .engine import Finished, LesionJob
from .point_chain import ChainMemory, predict_chain


class PredictionCache:
    """Cache of the last prediction for a whole volume, from which each of its lesions is extracted.

    One volume's input and answer are held, no more. Crops are not kept: each lesion has its own.
    """

    def __init__(self) -> None:
        self._array: np.ndarray | None = None
        self._options: object = None
        self._answer: Prediction | None = None

    def get_or_predict(self, array: np.ndarray, options: object, predict: Callable[[], Prediction]) -> Prediction:
        """Return the cached prediction where input and options are the same to the last bit, else predict.

        The input holds the maps of seed and points, and the segmentation that they correct, if the model is shown any.
        """
        kept = self._answer if options == self._options else None
        if kept is not None and self._array is not None and np.array_equal(array, self._array):
            return kept
        kept = None
        self._array = self._answer = None  # what is held is let go before as much again is needed
        answer = predict()
        self._array, self._options, self._answer = array, options, answer
        return answer


@dataclass(frozen=True, eq=False)
class Kept:
    """What a worker keeps from one job to the next, to compute less; it changes no answer."""

    volume: PredictionCache = field(default_factory=PredictionCache)
    chains: ChainMemory = field(default_factory=ChainMemory)


def run_lesion(
    job_id: int,
    job: LesionJob,
    network: LoadedModel,
    kept: Kept,
    report: OnProgress,
    is_cancelled: IsCancelled,
) -> Finished:
    """Return the answer to the job of a lesion.

    Raises:
        CancelledError: `is_cancelled` said so.
        CrlmError: the crop cannot be cut, the network fails, or the points cannot be obeyed.
    """
    request, package = job.request, network.package

    def predict(array: np.ndarray, options: Options, on_progress: OnProgress) -> Prediction:
        return network.predict(array, package.spacing_mm, options, on_progress, is_cancelled)

    def predict_volume(array: np.ndarray, options: Options, on_progress: OnProgress) -> Prediction:
        return kept.volume.get_or_predict(array, options, lambda: predict(array, options, on_progress))

    started_s = time.perf_counter()
    report("crop", 0, 1)
    crop = _crop_of(job, package.spacing_mm)
    crop_s = time.perf_counter() - started_s
    predict_last = predict_volume if crop.is_whole_volume else predict
    is_corrected_next = request.purpose.makes_segmentation and takes_points(package) and not crop.is_whole_volume
    chains = kept.chains if is_corrected_next else None
    answer = predict_chain(request, crop, package, predict, predict_last, report, chains)
    started_s = time.perf_counter()
    lesion = lesion_from_probability(answer.probability, crop, job.volume, request.points)
    timings_s = dict(answer.timings_s)
    timings_s["crop"] += crop_s
    timings_s["postprocess"] += time.perf_counter() - started_s
    return Finished(job_id, answer.probability, timings_s, answer.device, answer.warnings, lesion)


def _crop_of(job: LesionJob, spacing_mm: float) -> Crop:
    seed_ras_mm, size_mm = np.array(job.request.seed_ras_mm), job.request.options.crop_size_mm
    if size_mm is None:
        return whole_volume(job.volume, seed_ras_mm, spacing_mm)
    return extract_crop(job.volume, seed_ras_mm, size_mm, spacing_mm)
