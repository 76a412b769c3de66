"""A stand-in for a GPU: a worker whose network takes a fixed time without using the processor.

`python -m benchmarks.steady_worker serve ...` is `crlm-seg serve` with such workers; CRLM_STEADY_S is the time.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np
from CRLMSegmentationLib.core.progress import OnProgress
from CRLMSegmentationLib.segmentation.engine import worker, worker_engine
from CRLMSegmentationLib.segmentation.inference.prediction import IsCancelled, Prediction, never, no_progress
from CRLMSegmentationLib.segmentation.results import DEFAULT_OPTIONS, Options
from helpers.dark_worker import DARK, DarkNetwork

STEADY = "CRLM_STEADY_S"


class SteadyNetwork(DarkNetwork):
    def predict(
        self,
        array: np.ndarray,
        spacing_mm: float,
        options: Options = DEFAULT_OPTIONS,
        on_progress: OnProgress = no_progress,
        is_cancelled: IsCancelled = never,
    ) -> Prediction:
        seconds = float(os.environ[STEADY])
        time.sleep(seconds)
        timings_s = {"preprocess": 0.0, "inference": seconds, "postprocess": 0.0}
        return Prediction((array[0] < DARK).astype(np.float32), timings_s, "stand-in for a GPU", ())


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        from CRLMSegmentationLib.cli.main import main as cli

        worker_engine.WORKER_MODULE = "benchmarks.steady_worker"
        cli()
    else:
        worker.load = lambda package, wish, cpu_threads: (SteadyNetwork(package), ())
        worker.main()


if __name__ == "__main__":
    main()
