"""Boxes that are dark, an engine that finds what is dark, and rows as the tables want them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from CRLMSegmentationLib.core.crop import extract_crop, resample_labels, whole_volume
from CRLMSegmentationLib.core.errors import WorkerError
from CRLMSegmentationLib.core.metrics import THOROUGH_METRICS
from CRLMSegmentationLib.core.postprocessing import lesion_from_probability
from CRLMSegmentationLib.core.volume import Volume, write_volume
from CRLMSegmentationLib.recording.case import Case, CaseLesion, save_case, save_volume_into_case
from CRLMSegmentationLib.research.evaluation.rows import ROW_KEYS
from CRLMSegmentationLib.segmentation.engine.engine import EngineState, Failed, Finished, LesionJob, Ready

SIZE, OTHERS = 40, slice(16, 24)
SEED = (19.0, 19.0, 17.0)
DARK, BRIGHT = 40, 120


@dataclass(frozen=True)
class StubModel:
    name: str = "stub"
    version: str = "0"
    sha256: str = "0" * 64
    region: str = "crop"
    crop_size_mm: float = 31.0
    spacing_mm: float = 1.0
    channels: tuple = ("ultrasound", "seed")
    simulated_only: bool = True
    intended_use: str = "Tests."
    not_for_clinical_use: str = "A stub."
    trained_on: dict = field(default_factory=lambda: {"simulated": True})
    card: dict = field(default_factory=dict)


class DarkEngine:
    """Calls dark voxels tumour, exactly so around seeds in the middle of a voxel, and answers at the next poll.

    Args:
        dies_after: number of answers after which it raises, as if the program were killed.
        refuses: names the jobs, counted from 1, that end without an answer.
        gives_up: at the first job.
    """

    def __init__(self, dies_after: int | None = None, refuses: tuple[int, ...] = (), gives_up: bool = False):
        self.jobs, self.events, self.closed = [], [], False
        self.state = EngineState.STOPPED
        self._dies_after, self._refuses, self._gives_up = dies_after, refuses, gives_up

    def start(self):
        self.state = EngineState.READY
        self.events.append(Ready("stub", 0.0, "stub", "0" * 64, {"torch": "stub"}))

    def submit(self, job: LesionJob) -> int:
        if self._dies_after is not None and len(self.jobs) == self._dies_after:
            raise KeyboardInterrupt
        self.jobs.append(job)
        number = len(self.jobs)
        if self._gives_up:
            self.state = EngineState.FAILED
            self.events.append(Failed(None, "given up"))
        elif number in self._refuses:
            self.events.append(Failed(number, "refused by the stub"))
        else:
            self.events.append(self._answer(number, job))
        return number

    def _answer(self, number, job):
        seed, size_mm = np.array(job.request.seed_ras_mm), job.request.options.crop_size_mm
        crop = whole_volume(job.volume, seed, 1.0) if size_mm is None else extract_crop(job.volume, seed, size_mm, 1.0)
        dark = job.volume.array < (DARK + BRIGHT) / 2
        probability = resample_labels(dark, job.volume.ijk_to_ras, crop).astype(np.float32)
        lesion = lesion_from_probability(probability, crop, job.volume, job.request.points)
        timings_s = {"crop": 0.1, "preprocess": 0.1, "inference": 0.2, "postprocess": 0.1}
        return Finished(number, probability, timings_s, "stub", lesion=lesion)

    def poll(self):
        events, self.events = self.events, []
        return events

    def cancel(self):
        raise WorkerError("nothing is cancelled in an evaluation")

    def close(self):
        self.closed = True


def box(k: tuple[int, int] | None) -> np.ndarray:
    """8 x 8 voxels along i and j, from one k to another; empty for None."""
    mask = np.zeros((SIZE, SIZE, SIZE), bool)
    if k:
        mask[k[0] : k[1], OTHERS, OTHERS] = True
    return mask


def tiny_volume(dark: tuple[int, int] | None, ijk_to_ras: np.ndarray | None = None) -> Volume:
    array = np.where(box(dark), DARK, BRIGHT).astype(np.uint8)
    array[-1, -1, -1] = BRIGHT + 1  # a volume of a single value is no image
    return Volume(array, np.eye(4) if ijk_to_ras is None else ijk_to_ras, "recvol_Reference", 100.0)


def write_case(
    folder: Path,
    dark: tuple[int, int] | None = (16, 24),
    truth: tuple[int, int] | None = (16, 24),
    about: dict | None = None,
    seed: tuple[float, float, float] = SEED,
    label: int | None = 1,
    source: dict | None = None,
    case_id: str | None = None,
) -> Case:
    """A case of one lesion in 1 mm voxels, the dark box in it and what is said to be the truth."""
    folder.mkdir(parents=True)
    entry = save_volume_into_case(folder, "volume", tiny_volume(dark))
    if truth:
        write_volume(Volume(box(truth).astype(np.uint8), np.eye(4)), folder / "truth.nrrd")
    lesions = (CaseLesion("Tumour 1", seed, label, about or {}),)
    name = case_id or folder.name
    source = {"kind": "simulated"} if source is None else source
    case = Case(folder, name, (entry,), lesions, "truth.nrrd" if truth else None, source=source)
    save_case(case)
    return case


def row_of(patient: str, dice: float, about: dict | None = None, **metrics) -> dict:
    """A row as `measure` makes it, of a lesion of which only Dice and some metrics are known."""
    about = about or {}
    return {
        **dict.fromkeys(ROW_KEYS),
        "kind": "as recorded",
        "amount": 0.0,
        "draw": 0,
        "case_id": patient,
        "lesion": "Tumour 1",
        "patient": patient,
        "about": about,
        "diameter_mm": about.get("diameter_mm", 15.0),
        "metrics": {**dict.fromkeys(THOROUGH_METRICS), "recall": dice, "dice": dice, **metrics},
        "detected": dice > 0.1,
        "confidence": 0.9,
        "seconds": 1.0,
    }
