"""The worker process with a stub in place of nnU-Net, so that it starts at once: dark voxels are tumour.

`cli_with_dark_worker` starts it in place of the real one. Pipes, frames, queue and end are those of the real worker.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import numpy as np
from CRLMSegmentationLib.segmentation.engine import worker
from CRLMSegmentationLib.segmentation.models.package import ModelPackage

WAITS = "CRLM_TEST_WORKER_WAITS"
"""Where this is set in the environment, a prediction begins and goes on until it is cancelled or its process ends."""
DARK = 80
NNUNET = "CRLMSegmentationLib.segmentation.inference.nnunet"


class CancelledError(Exception):
    """As in `nnunet`, which imports torch."""


class DarkNetwork:
    """In place of `nnunet.NnUNet`."""

    device_text = "stub"

    def __init__(self, package: ModelPackage) -> None:
        self.package = package

    def predict(
        self,
        array: np.ndarray,
        spacing_mm: float,
        mirroring: bool,
        on_progress: Callable[[str, int, int], None],
        is_cancelled: Callable[[], bool],
        first_fold_only: bool = False,
    ) -> SimpleNamespace:
        on_progress("inference", 1, 2)
        while WAITS in os.environ:
            if is_cancelled():
                raise CancelledError
            time.sleep(0.01)
        on_progress("inference", 2, 2)
        timings_s = {"preprocess": 0.1, "inference": 0.2, "postprocess": 0.3}
        return SimpleNamespace(
            probability=(array[0] < DARK).astype(np.float32), timings_s=timings_s, device="stub", warnings=()
        )


def main() -> None:
    nnunet = ModuleType(NNUNET)
    nnunet.CancelledError = CancelledError
    sys.modules[NNUNET] = nnunet
    worker.load = lambda package, device, cpu_threads: (DarkNetwork(package), ())
    worker.main()


if __name__ == "__main__":
    main()
