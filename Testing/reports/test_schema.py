from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.metrics import METRICS
from CRLMSegmentationLib.core.points import CorrectionPoint, PointKind
from CRLMSegmentationLib.reports.schema import FURTHER_KEYS, KEYS, TIMINGS, check_report, write_json

STABLE_KEYS = [
    "case_id",
    "engine",
    "device",
    "model",
    "seed_ras_mm",
    "crop_size_mm",
    "timings_s",
    "metrics",
    "volume_ml",
    "diameters_mm",
    "warnings",
    "versions",
]
STABLE_TIMINGS = [
    "receive",
    "network",
    "queue",
    "crop",
    "preprocess",
    "inference",
    "postprocess",
    "overlay",
    "seed_to_overlay",
    "cold_start",
]
STABLE_METRICS = ["dice", "hausdorff_mm", "hausdorff95_mm", "rvd", "recall", "precision", "auc_hard", "auc_probability"]


def _written(tmp_path, reports):
    write_json(tmp_path / "report.json", reports)
    return json.loads((tmp_path / "report.json").read_text("utf-8"))


def test_one_lesion_is_one_object_with_all_documented_keys(lesion, report_of, tmp_path):
    written = _written(tmp_path, report_of(lesion))
    assert set(STABLE_KEYS) <= set(written)
    assert list(written["timings_s"]) == STABLE_TIMINGS
    assert list(written["metrics"]) == STABLE_METRICS
    assert set(written["model"]) == {"name", "sha256"}


def test_every_written_key_is_documented(lesion, report_of):
    assert set(report_of(lesion)) == set(KEYS) | set(FURTHER_KEYS)
    assert (list(TIMINGS), list(METRICS)) == (STABLE_TIMINGS, STABLE_METRICS)


def test_values_are_those_of_the_lesion(lesion, report_of, tmp_path):
    written = _written(tmp_path, report_of(lesion))
    voxel_ml = np.prod(lesion.volume.spacing_mm) / 1000
    assert written["volume_ml"] == pytest.approx(8 * 6 * 7 * voxel_ml)
    assert written["metrics"]["dice"] == pytest.approx(7 / 8)
    np.testing.assert_allclose(written["seed_ras_mm"], lesion.seed_ras_mm)
    assert written["volume_identity"]["content_sha256"] == lesion.volume.identity.content_sha256


def test_points_are_told_in_their_order_and_older_reports_have_none(lesion, report_of, tmp_path):
    exclude, include = (CorrectionPoint(kind, (1.0, 2.5, -3.0)) for kind in (PointKind.EXCLUDE, PointKind.INCLUDE))
    written = _written(tmp_path, report_of(lesion, points=(exclude, include)))
    assert written["points"] == [
        {"kind": "exclude", "ras_mm": [1.0, 2.5, -3.0]},
        {"kind": "include", "ras_mm": [1.0, 2.5, -3.0]},
    ]
    del written["points"]
    check_report(written)


def test_several_lesions_are_a_list_with_names(lesion, report_of, tmp_path):
    written = _written(tmp_path, [report_of(lesion), report_of(lesion, lesion="Lesion 2")])
    assert [entry["lesion"] for entry in written] == ["Lesion 1", "Lesion 2"]


def test_list_of_one_is_one_object(lesion, report_of, tmp_path):
    assert _written(tmp_path, [report_of(lesion)])["lesion"] == "Lesion 1"


def test_without_truth_metrics_are_null(lesion, report_of, tmp_path):
    assert _written(tmp_path, report_of(replace(lesion, truth=None)))["metrics"] is None


def test_nothing_found_has_no_confidence_and_says_so(lesion, report_of, tmp_path):
    written = _written(tmp_path, report_of(replace(lesion, mask=lesion.mask & False)))
    assert (written["volume_ml"], written["confidence"], written["diameters_mm"]) == (0.0, None, [0.0, 0.0, 0.0])
    assert written["warnings"] == ["nothing found: move the seed"]
    assert written["metrics"]["dice"] == 0.0
    assert written["metrics"]["hausdorff_mm"] is None


def test_unknown_origin_is_null(lesion, report_of, tmp_path):
    assert _written(tmp_path, report_of(lesion))["simulated"] is None


def test_step_that_did_not_happen_is_null(lesion, report_of, tmp_path):
    written = _written(tmp_path, report_of(lesion, timings_s={"inference": np.float32(1.5)}))
    assert written["timings_s"]["receive"] is None
    assert written["timings_s"]["inference"] == 1.5


def test_not_a_number_becomes_null_as_json_has_none(lesion, report_of, tmp_path):
    report = report_of(lesion)
    report["metrics"] = {**report["metrics"], "hausdorff_mm": float("inf"), "dice": np.float64("nan")}
    written = _written(tmp_path, report)
    assert (written["metrics"]["hausdorff_mm"], written["metrics"]["dice"]) == (None, None)


def test_unknown_timing_is_refused(lesion, report_of):
    with pytest.raises(CrlmError, match="unknown timings \\['inferrence'\\]"):
        report_of(lesion, timings_s={"inferrence": 1.0})


@pytest.mark.parametrize(("where", "key"), [(None, "volume_ml"), ("timings_s", "overlay"), ("metrics", "dice")])
def test_missing_key_is_named(lesion, report_of, where, key):
    report = report_of(lesion)
    del (report[where] if where else report)[key]
    with pytest.raises(CrlmError, match=f"{where or 'report'} lacks {key}"):
        check_report(report)


def test_report_of_no_lesion_is_refused(tmp_path):
    with pytest.raises(CrlmError, match="at least one lesion"):
        write_json(tmp_path / "report.json", [])
