"""Makes, checks and writes report.json; its keys are stable.

The file holds one object for one lesion, and a list of such objects for several.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import CrlmError
from ..core.metrics import METRICS
from ..core.points import CorrectionPoint, points_to_json
from ..core.postprocessing import LesionMask
from ..core.volume import VolumeIdentity

TIMINGS = {
    "receive": "from the first to the last byte of the volume",
    "network": "to a segmentation server and back; null where this computer has segmented",
    "queue": "waiting on that server for others",
    "crop": "cutting out and resampling around the seed, or resampling the whole volume",
    "preprocess": "nnU-Net's normalisation and padding",
    "inference": "the network itself; what is kept of a whole volume from an earlier lesion counts as it did then",
    "postprocess": "from probabilities to one clean mask on the volume's grid",
    "overlay": "mask and surface into the scene",
    "seed_to_overlay": "from placing the seed to seeing the result; what the surgeon waits",
    "cold_start": "starting the worker and loading the model; once, before the first seed",
}
SERVER_TIMINGS = ("network", "queue")
"""Of `TIMINGS`, those of a segmentation server."""
KEYS = {
    "case_id": "name of the case, or of the volume's file",
    "engine": "what computed the probabilities, such as nnU-Net",
    "device": "processor or graphics card that did it",
    "model": "{name, sha256} of the model package",
    "seed_ras_mm": "the point that was clicked, [R, A, S]",
    "points": "[{kind, ras_mm}]: the points that correct the segmentation, in their order; kind is include or exclude; "
    "absent in reports of earlier versions",
    "crop_size_mm": "edge of the cube around the seed that the network saw; null where it saw the whole volume",
    "timings_s": "{" + ", ".join(TIMINGS) + "}, each seconds or null when it did not happen",
    "metrics": "{" + ", ".join(METRICS) + "}, or null where there is no truth",
    "volume_ml": "of the mask",
    "diameters_mm": "the three axes of the ellipsoid of equal inertia, longest first; see core/diameters.py",
    "warnings": "list of plain sentences; empty when there is nothing to say",
    "versions": "name to version of everything that took part",
}
FURTHER_KEYS = {
    "lesion": "name of the lesion",
    "confidence": "mean probability inside the mask, null when nothing was found",
    "created": "date and time of the report, ISO 8601",
    "simulated": "whether the volume comes from the phantom and not from a patient; null when that is not known",
    "metrics_region": "the voxels over which the two ROC areas were taken",
    "volume_identity": "{device, timestamp_s, geometry_sha256, content_sha256} of the volume, or null",
    "navigation": "see NAVIGATION_KEYS; null where no instrument was tracked",
    "stability": "see STABILITY_KEYS; null where the network has looked at the lesion only once",
}
NAVIGATION_KEYS = {
    "instrument": "frame of the tool whose tip came nearest, such as Stylus; it, and all of that moment, is null where "
    "no distance was trusted",
    "kind": "of that tool: pointer, dissector or probe",
    "distance_mm": "smallest distance from its tip to the segmentation, negative inside, of all moments at which a "
    "distance "
    "was shown",
    "low_mm": "lower end of what that distance may be in 95 of 100 cases, see tracking/interval.py",
    "high_mm": "upper end",
    "time_s": "when, by the sender's clock, seconds since 1970; null where it does not say",
    "pose": "4x4 from the tool to the Reference frame at that moment, mm, rows",
    "tip_ras_mm": "where the tip was, [R, A, S]",
    "point_ras_mm": "the nearest point of the segmentation, [R, A, S]",
    "margin_mm": "the narrowest margin that a tip was in while a distance was shown; null outside all",
    "margins_mm": "the margins that were shown and warned of",
    "doubts": "[{instrument, doubt, code, seconds}]: why a distance was withheld and for how long, by this machine's "
    "clock; instrument is empty where a segmentation was in doubt; code is a value of core.reasons.ReasonCode",
    "cautions": "what had to be known beside any distance, such as that the liver sensor was not watched; absent in "
    "reports of earlier versions",
}
LATER_KEYS = ("cautions", "network", "points", "queue")
"""Absent in reports of earlier versions, which stay readable."""
STABILITY_KEYS = {
    "runs": "how often the lesion was outlined, from seeds around the first and mirrored; null while refined only",
    "agreement": "volume that was tumour every time by the volume that was at any time, 0 to 1",
    "spread_mm": "mean distance between those two",
    "confidence": "expected Dice at this agreement, by the calibration of the model; null without one",
    "calibration": "{lesions, patients, simulated} that this was measured on; null without a confidence",
    "change": "{mean_mm, largest_mm}: how far the refined segmentation lies from the first; null where not refined",
}


def lesion_report(
    *,
    case_id: str,
    engine: str,
    device: str,
    model_name: str,
    model_sha256: str,
    seed_ras_mm: Sequence[float],
    crop_size_mm: float | None,
    timings_s: Mapping[str, float | None],
    metrics: Mapping[str, float | None] | None,
    result: LesionMask,
    versions: Mapping[str, str],
    created: str,
    lesion: str = "Lesion 1",
    simulated: bool | None = None,
    metrics_region: str = "the crop",
    volume_identity: VolumeIdentity | None = None,
    navigation: Mapping[str, Any] | None = None,
    stability: Mapping[str, Any] | None = None,
    points: Sequence[CorrectionPoint] = (),
) -> dict[str, Any]:
    """Make the report of one lesion, for `write_json` and `write_report`.

    Args:
        timings_s: seconds by the names of `TIMINGS`; those left out become null.
        metrics: as `core.metrics.compare` gives them, or None where there is no truth.
        created: ISO 8601.
        navigation, stability: see `navigation_entry.navigation_entry` and `navigation_entry.stability_entry`.

    Raises:
        CrlmError: a timing or metric that this version does not know, or one that is missing.
    """
    if set(timings_s) - set(TIMINGS):
        raise CrlmError(f"unknown timings {sorted(set(timings_s) - set(TIMINGS))}; expected some of {list(TIMINGS)}")
    report = {
        "case_id": case_id,
        "lesion": lesion,
        "engine": engine,
        "device": device,
        "model": {"name": model_name, "sha256": model_sha256},
        "seed_ras_mm": [float(x) for x in seed_ras_mm],
        "points": points_to_json(points),
        "crop_size_mm": crop_size_mm,
        "timings_s": {name: timings_s.get(name) for name in TIMINGS},
        "metrics": None if metrics is None else dict(metrics),
        "metrics_region": metrics_region,
        "volume_ml": result.volume_ml,
        "diameters_mm": list(result.diameters_mm),
        "confidence": None if result.is_empty else result.mean_probability,
        "warnings": list(result.warnings),
        "versions": dict(versions),
        "created": created,
        "simulated": simulated,
        "volume_identity": None if volume_identity is None else vars(volume_identity).copy(),
        "navigation": None if navigation is None else dict(navigation),
        "stability": None if stability is None else dict(stability),
    }
    check_report(report)
    return report


def check_report(report: Mapping[str, Any]) -> None:
    """Refuse a report that lacks one of the documented keys.

    Raises:
        CrlmError: names what is missing.
    """
    expected: list[tuple[Mapping[str, Any], Iterable[str], str]] = [(report, KEYS, "report")]
    expected.append((report.get("timings_s") or {}, TIMINGS, "timings_s"))
    if report.get("metrics") is not None:
        expected.append((report["metrics"], METRICS, "metrics"))
    further = (("navigation", NAVIGATION_KEYS), ("stability", STABILITY_KEYS))
    expected += [(report[where], names, where) for where, names in further if report.get(where) is not None]
    for part, names, where in expected:
        missing = [name for name in names if name not in part and name not in LATER_KEYS]
        if missing:
            raise CrlmError(f"{where} lacks {', '.join(missing)}; see the keys in reports/schema.py")


def write_json(path: Path | str, reports: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
    """Write report.json: one object for one lesion, a list for several; what is not a number becomes null."""
    reports = as_list(reports)
    for report in reports:
        check_report(report)
    content = reports[0] if len(reports) == 1 else reports
    text = json.dumps(_plain(content), indent=1, allow_nan=False, ensure_ascii=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def as_list(reports: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the reports of all lesions as a list, whether one was given or several.

    Raises:
        CrlmError: none came.
    """
    reports = [reports] if isinstance(reports, Mapping) else list(reports)
    if not reports:
        raise CrlmError("a report needs at least one lesion; place a seed")
    return reports


def _plain(value: Any) -> Any:
    """Return a value as JSON's own types; NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
