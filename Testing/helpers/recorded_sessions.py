"""Recorded sessions with results, as a module records them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from CRLMSegmentationLib.core.points import CorrectionPoint
from CRLMSegmentationLib.recording.case import Case
from CRLMSegmentationLib.recording.session_recorder import SessionRecorder
from CRLMSegmentationLib.segmentation.models.package import ModelPackage
from CRLMSegmentationLib.segmentation.results import LesionSegmented, Options
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.segmentation.wait import wait_for_lesion, wait_for_model


def recorded_session(
    folder: Path,
    case: Case,
    engine,
    model: ModelPackage,
    crop_size_mm: float = 70.0,
    corrects: bool = False,
    points: Sequence[CorrectionPoint] = (),
) -> Path:
    """What a module records of a case whose seeds are placed one after another."""
    recorder = SessionRecorder(folder)
    recorder.use_model(model)
    volume = case.volume()
    with Session(engine, model) as session:
        session.use_volume(volume)
        recorder.take(wait_for_model(session))
        for lesion in case.lesions:
            recorder.seed(lesion.name, lesion.seed_ras_mm, volume)
            options = Options(crop_size_mm, first_fold_only=True, flip=(1,))
            session.segment(lesion.name, np.array(lesion.seed_ras_mm), options, points=points)
            result = wait_for_lesion(session, lesion.name)
            recorder.take(LesionSegmented(result))
    if corrects:
        recorder.corrected(lesion.name, result.mask.mask & np.roll(result.mask.mask, 2, axis=0), volume)
    assert recorder.finish().results == len(case.lesions)
    return folder
