"""The passes of the network on one lesion: one for each correction point, and the last as it was asked for.

With the seed alone the network finds P0; with the first point, and P0 to correct, P1; with two points, and P1, P2; and
so on. All but the last are single passes of the first fold. So a corrected segmentation depends on nothing but volume,
seed, points, options and model: it is undone by leaving out a point, and made again in another volume or of a recording
by the same points. What the single passes have found is remembered for a while, so that one more point, or one fewer,
costs one more pass; that changes no answer.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...core.arrays import BoolArray
from ...core.crop import Crop, network_input
from ...core.points import CorrectionPoint
from ...core.postprocessing import lesion_in_crop
from ...core.progress import OnProgress
from ..inference.prediction import Prediction
from ..models.package import ModelPackage
from ..results import Options, Request

Predict = Callable[[np.ndarray, Options, OnProgress], Prediction]
"""Runs the network on an input (C, K, J, I)."""


Lesions = dict[tuple[CorrectionPoint, ...], BoolArray]
"""What single passes have found in a crop, (K, J, I), by the points that the network was shown."""
KEPT_CROPS, KEPT_LESIONS = 4, 32
"""How many are remembered, and how many lesions of each. Of a crop 64 voxels wide a lesion takes 0.3 MB."""


class ChainMemory:
    """The lesions that single passes have found in the crops that were segmented last."""

    def __init__(self) -> None:
        self._kept: list[tuple[Crop, Options, Lesions]] = []

    def lesions_in(self, crop: Crop, options: Options) -> Lesions:
        """Return what was found in a crop that is the same to the last bit, by the same options; it may be added to."""
        found: Lesions = {}
        for entry in self._kept:
            if entry[1] == options and _is_same(crop, entry[0]):
                self._kept.remove(entry)
                found = entry[2]
                break
        for points in list(found)[:-KEPT_LESIONS]:
            del found[points]
        self._kept = [*self._kept[1 - KEPT_CROPS :], (crop, options, found)]
        return found


def predict_chain(
    request: Request,
    crop: Crop,
    package: ModelPackage,
    predict: Predict,
    predict_last: Predict,
    report: OnProgress,
    memory: ChainMemory | None = None,
) -> Prediction:
    """Return the prediction of the network for a lesion and its correction points.

    Args:
        predict, predict_last: run the network; the second one after the last point.
        report: gets the progress of all passes as that of one.
        memory: of the passes that need not be made again; None to make all of them and remember none.

    Returns:
        The last prediction, not mirrored, with the times and warnings of all that were made.
    """
    points, options = request.points, request.options
    single_pass = replace(options, mirroring=False, first_fold_only=True)
    known: Lesions = {} if memory is None else memory.lesions_in(crop, single_pass)
    first = next((count for count in range(len(points), 0, -1) if points[: count - 1] in known), 0)
    previous = known.get(points[: first - 1]) if first else None
    progress = _ChainProgress(report, first, len(points), _passes(options, package))
    timings_s, warnings = defaultdict[str, float](float), dict[str, None]()
    for count in range(first, len(points) + 1):
        is_last = count == len(points)
        started_s = time.perf_counter()
        array = mirrored(network_input(crop, package.channels, points[:count], previous), options.flip)
        timings_s["crop"] += time.perf_counter() - started_s
        answer = (predict_last if is_last else predict)(array, options if is_last else single_pass, progress.of(count))
        started_s = time.perf_counter()
        answer = replace(answer, probability=mirrored(answer.probability, options.flip))
        if not is_last or (memory is not None and _passes(options, package) == 1):
            previous = known[points[:count]] = lesion_in_crop(answer.probability, crop, points[:count])
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


def _is_same(one: Crop, other: Crop) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("seed_ras_mm", "ijk_to_ras", "insonified", "array")
    )


class _ChainProgress:
    """Counts the passes of a chain through.

    Args:
        first, points: of how many points the first and the last prediction know.
        last_passes: of the last prediction, where one of the others takes a single one.
    """

    def __init__(self, report: OnProgress, first: int, points: int, last_passes: int) -> None:
        self._report, self._first, self._points, self._last_passes = report, first, points, last_passes
        self._done = 0

    def of(self, count: int) -> OnProgress:
        """Return what gets the progress of the prediction with the first `count` points."""
        is_last, before = count == self._points, self._done

        def report(stage: str, done: int, total: int) -> None:
            if stage == "inference":
                self._done = before + done
                following = 0 if is_last else total * (self._points - count - 1 + self._last_passes)
                self._report(stage, before + done, before + total + following)
            elif (stage == "preprocess" and count == self._first) or (stage == "postprocess" and is_last):
                self._report(stage, done, total)

        return report
