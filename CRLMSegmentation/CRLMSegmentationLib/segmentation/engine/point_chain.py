"""The passes of the network on one lesion: one for each correction point, and the last as it was asked for.

With the seed alone the network finds P0; with the first point, and P0 to correct, P1; with two points, and P1, P2; and
so on. All but the last are single passes of the first fold. So a corrected segmentation depends on nothing but volume,
seed, points, options and model: it is undone by leaving out a point, and made again in another volume or of a recording
by the same points.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...core.crop import Crop, network_input
from ...core.postprocessing import lesion_in_crop
from ...core.progress import OnProgress
from ..inference.prediction import Prediction
from ..models.package import ModelPackage
from ..results import Options, Request

Predict = Callable[[np.ndarray, Options, OnProgress], Prediction]
"""Runs the network on an input (C, K, J, I)."""


def predict_chain(
    request: Request, crop: Crop, package: ModelPackage, predict: Predict, predict_last: Predict, report: OnProgress
) -> Prediction:
    """Return the prediction of the network for a lesion and its correction points.

    Args:
        predict, predict_last: run the network; the second one after the last point.
        report: gets the progress of all passes as that of one.

    Returns:
        The last prediction, not mirrored, with the times and warnings of all.
    """
    points, options = request.points, request.options
    single_pass = replace(options, mirroring=False, first_fold_only=True)
    progress = _ChainProgress(report, len(points), _passes(options, package))
    timings_s, warnings, previous = defaultdict[str, float](float), dict[str, None](), None
    for count in range(len(points) + 1):
        is_last = count == len(points)
        started_s = time.perf_counter()
        array = mirrored(network_input(crop, package.channels, points[:count], previous), options.flip)
        timings_s["crop"] += time.perf_counter() - started_s
        answer = (predict_last if is_last else predict)(array, options if is_last else single_pass, progress.of(count))
        started_s = time.perf_counter()
        answer = replace(answer, probability=mirrored(answer.probability, options.flip))
        if not is_last:
            previous = lesion_in_crop(answer.probability, crop, points[:count])
        timings_s["postprocess"] += time.perf_counter() - started_s
        for step, seconds in answer.timings_s.items():
            timings_s[step] += seconds
        warnings.update(dict.fromkeys(answer.warnings))
    return replace(answer, timings_s=dict(timings_s), warnings=tuple(warnings))


def mirrored(array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Mirror an array (..., K, J, I) along some of its last three axes; twice gives it back."""
    return np.ascontiguousarray(np.flip(array, tuple(axis - 3 for axis in axes))) if axes else array


def _passes(options: Options, package: ModelPackage) -> int:
    """Return how many passes the options ask for where a single one would do."""
    mirrored_copies = 1 << (len(package.mirroring_axes) if options.mirroring else 0)
    return mirrored_copies * (1 if options.first_fold_only else len(package.folds))


class _ChainProgress:
    """Counts the passes of a chain through.

    Args:
        points: that are corrected before the last prediction.
        last_passes: of the last prediction, where one of the others takes a single one.
    """

    def __init__(self, report: OnProgress, points: int, last_passes: int) -> None:
        self._report, self._points, self._last_passes = report, points, last_passes
        self._done = 0

    def of(self, count: int) -> OnProgress:
        """Return what gets the progress of the prediction with the first `count` points."""
        is_last, before = count == self._points, self._done

        def report(stage: str, done: int, total: int) -> None:
            if stage == "inference":
                self._done = before + done
                following = 0 if is_last else total * (self._points - count - 1 + self._last_passes)
                self._report(stage, before + done, before + total + following)
            elif (stage == "preprocess" and count == 0) or (stage == "postprocess" and is_last):
                self._report(stage, done, total)

        return report
