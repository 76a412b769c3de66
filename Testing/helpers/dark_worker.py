"""The worker process with a stub in place of a model, so that it starts at once: dark voxels are tumour.

`cli_with_dark_worker` starts it in place of the real one. Pipes, frames, queue and end are those of the real worker.
"""

from __future__ import annotations

import os
import time

import numpy as np
from CRLMSegmentationLib.core.progress import OnProgress
from CRLMSegmentationLib.segmentation.engine import worker
from CRLMSegmentationLib.segmentation.inference.prediction import (
    CancelledError,
    IsCancelled,
    Prediction,
    never,
    no_progress,
)
from CRLMSegmentationLib.segmentation.models.package import ModelPackage
from CRLMSegmentationLib.segmentation.results import DEFAULT_OPTIONS, Options

WAITS = "CRLM_TEST_WORKER_WAITS"
"""Where this is set in the environment, a prediction begins and goes on until it is cancelled or its process ends."""
DARK = 80


class DarkNetwork:
    """A `prediction.LoadedModel`."""

    device_text = "stub"

    def __init__(self, package: ModelPackage) -> None:
        self.package = package

    def measured_pass_s(self) -> float:
        return 0.01

    def predict(
        self,
        array: np.ndarray,
        spacing_mm: float,
        options: Options = DEFAULT_OPTIONS,
        on_progress: OnProgress = no_progress,
        is_cancelled: IsCancelled = never,
    ) -> Prediction:
        on_progress("inference", 1, 2)
        while WAITS in os.environ:
            if is_cancelled():
                raise CancelledError
            time.sleep(0.01)
        on_progress("inference", 2, 2)
        timings_s = {"preprocess": 0.1, "inference": 0.2, "postprocess": 0.3}
        return Prediction((array[0] < DARK).astype(np.float32), timings_s, "stub", ())


def main() -> None:
    worker.load = lambda package, wish, cpu_threads: (DarkNetwork(package), ())
    worker.main()


if __name__ == "__main__":
    main()
