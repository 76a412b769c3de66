"""A request is written as JSON and read back, as between processes and in recordings of any version."""

from __future__ import annotations

import json

import pytest
from CRLMSegmentationLib.core.points import CorrectionPoint, PointKind
from CRLMSegmentationLib.core.volume import VolumeIdentity
from CRLMSegmentationLib.segmentation.results import (
    Options,
    Purpose,
    Request,
    request_from_json,
    request_to_json,
)

POINTS = (
    CorrectionPoint(PointKind.INCLUDE, (4.0, 2.5, -3.0)),
    CorrectionPoint(PointKind.EXCLUDE, (-9.0, 2.5, -3.0)),
)
VOLUME = VolumeIdentity("Probe", 12.5, "a" * 64, "b" * 64)
RECORDED = {
    "lesion": "Tumour 1",
    "seed_ras_mm": [1, 2.5, -3],
    "crop_size_mm": 80.0,
    "mirroring": False,
    "quick": True,
    "flip": [0, 2],
    "sliding_window": False,
    "purpose": "repeated",
    "points": [{"kind": "include", "ras_mm": [4, 2.5, -3]}, {"kind": "exclude", "ras_mm": [-9, 2.5, -3]}],
}
"""A line of events.jsonl, whose keys stay as they are."""


def test_request_of_a_recording_is_read():
    request = request_from_json(RECORDED, VOLUME)
    options = Options(80.0, mirroring=False, first_fold_only=True, flip=(0, 2), sliding_window=False)
    assert request == Request("Tumour 1", (1.0, 2.5, -3.0), VOLUME, options, Purpose.REPEATED, POINTS)


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("crop_size_mm", [None, 42.5])
def test_request_comes_back_from_json(purpose, crop_size_mm):
    request = Request(
        "Tumour 1", (0.1, -2.0, 1e-9), VOLUME, Options(crop_size_mm, mirroring=True), purpose, POINTS[::-1]
    )
    about = json.loads(json.dumps(request_to_json(request)))
    assert about.keys() == RECORDED.keys()
    assert request_from_json(about, VOLUME) == request


@pytest.mark.parametrize("purpose", ["of a later version", None, 3])
def test_purpose_of_another_version_counts_as_an_answer(purpose):
    assert request_from_json({**RECORDED, "purpose": purpose}, VOLUME).purpose is Purpose.ANSWER
    without = {key: value for key, value in RECORDED.items() if key != "purpose"}
    assert request_from_json(without, VOLUME).purpose is Purpose.ANSWER


def test_request_of_an_earlier_version_was_answered_over_sliding_windows():
    without = {key: value for key, value in RECORDED.items() if key != "sliding_window"}
    assert request_from_json(without, VOLUME).options.sliding_window
    assert request_from_json({**without, "sliding_window": True}, VOLUME).options.sliding_window


def test_request_of_an_earlier_version_has_no_points():
    assert request_from_json({key: value for key, value in RECORDED.items() if key != "points"}, VOLUME).points == ()


@pytest.mark.parametrize(
    "point", [{"kind": "maybe", "ras_mm": [1, 2, 3]}, {"kind": "include", "ras_mm": [1, 2]}, {"kind": "include"}, 7]
)
def test_points_that_are_not_understood_are_refused(point):
    with pytest.raises((KeyError, TypeError, ValueError)):
        request_from_json({**RECORDED, "points": [point]}, VOLUME)


@pytest.mark.parametrize("key", [key for key in RECORDED if key not in ("purpose", "sliding_window", "points")])
def test_request_that_is_not_whole_is_refused(key):
    with pytest.raises((KeyError, TypeError, ValueError)):
        request_from_json({name: value for name, value in RECORDED.items() if name != key}, VOLUME)


def test_only_all_folds_with_mirroring_are_the_full_ensemble():
    full = [
        (mirroring, first)
        for mirroring in (False, True)
        for first in (False, True)
        if Options(mirroring=mirroring, first_fold_only=first).is_full_ensemble
    ]
    assert full == [(True, False)]
