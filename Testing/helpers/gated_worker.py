"""The worker process with a stub in place of a model, which computes, waits or dies as a file says.

The file that CRLM_TEST_GATE names holds a word: "wait" holds predictions until another word is there (or they are
cancelled), "die" ends the process in the midst of one; nothing, or no file, lets them go on. The number of predictions
is appended to the file beside it, with the suffix .log, a line for each: the size of its crop, its begin, its end.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

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
from CRLMSegmentationLib.segmentation.results import DEFAULT_OPTIONS, Options

from .dark_worker import DarkNetwork

GATE = "CRLM_TEST_GATE"
WAIT, DIE = "wait", "die"


class GatedNetwork(DarkNetwork):
    def predict(
        self,
        array: np.ndarray,
        spacing_mm: float,
        options: Options = DEFAULT_OPTIONS,
        on_progress: OnProgress = no_progress,
        is_cancelled: IsCancelled = never,
    ) -> Prediction:
        gate = Path(os.environ[GATE])
        _append(gate, f"size {array.shape[-1]}\nbegin")
        on_progress("inference", 0, 2)
        while word := _word_in(gate):
            if word == DIE:
                gate.unlink(missing_ok=True)
                os._exit(9)
            if is_cancelled():
                _append(gate, "cancelled")
                raise CancelledError
            time.sleep(0.005)
        answer = super().predict(array, spacing_mm, options, on_progress, is_cancelled)
        _append(gate, "end")
        return answer


def _word_in(gate: Path) -> str:
    try:
        return gate.read_text()
    except OSError:
        return ""


def _append(gate: Path, line: str) -> None:
    with gate.with_suffix(".log").open("a") as file:
        file.write(line + "\n")


def main() -> None:
    worker.load = lambda package, wish, cpu_threads: (GatedNetwork(package), ())
    worker.main()


if __name__ == "__main__":
    main()
