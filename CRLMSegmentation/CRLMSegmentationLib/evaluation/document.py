"""evaluation.json and lesions.csv: their keys, which are stable, and how they come from the rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..core.errors import CrlmError
from ..core.metrics import THOROUGH_METRICS
from ..environment import versions
from ..inference.model_package import ModelPackage
from ..session import ModelReady
from . import statistics
from .inputs import CheckedCase, Problem
from .ledger import Row
from .lesions import DETECTED_DICE, ROW_KEYS
from .settings import AS_RECORDED, GAIN_DB, GREY_FACTOR, SEED_MM, SEED_SHARE, Settings

SCHEMA_VERSION = 1
KEYS = {
    "schema_version": "of this file, 1",
    "created": "date and time, ISO 8601",
    "not_for_clinical_use": "what the model says of itself",
    "simulated": "'all', 'some' or 'none' of the cases are simulated, 'unknown' where one does not say",
    "model": "{name, version, sha256, simulated_only, crop_size_mm, spacing_mm, intended_use, trained_on}",
    "devices": "that computed the rows",
    "versions": "name to version of everything that took part",
    "settings": "as in evaluation/settings.py",
    "data": "{cases: [{case_id, patient, sha256, simulated, lesions}], left_out: [{case, lesion, text}], failed: "
    "[{case, lesion, text}]}",
    "regions": "what the names of the ROC areas stand for",
    "figures": "{all, echogenicity, size}: name of the group to {lesions, patients, each metric and seconds: {count, "
    "mean, median, quartiles, range, interval}, detection_rate and share_under_0.3: {count, share, interval}}",
    "calibration": "{bins: [{low, high, lesions, confidence, dice_mean, dice_median, detected}], nothing_found, gap, "
    "rank_correlation}",
    "robustness": "{sample: number of lesions, 'seed share', 'seed mm', 'gain dB', 'grey factor'}: [{amount, measured, "
    "lesions, refused, no_place, dice, detection_rate, away_mm}]",
    "worst": "[[case_id, lesion]], the lowest Dice first",
    "lesions": "the rows as recorded: {" + ", ".join(ROW_KEYS) + "}",
    "variations": "the rows of the robustness sample, with the same keys",
}
REGIONS = {
    "auc_hard_crop": "the mask, yes or no, over the voxels of the crop",
    "auc_probability_crop": "the network's probabilities over the voxels of the crop",
    "auc_hard_volume": "the mask, yes or no, over all voxels of the volume",
    "auc_probability_volume": "the network's probabilities over all voxels of the volume, 0 outside the crop",
}
CSV_ABOUT = ("echogenicity", "pattern")
CSV_ROW = ("diameter_mm", "truth_ml", "volume_ml")
CSV_LAST = ("detected", "confidence", "seconds", "device", "warnings", "mask", "error")
CSV_COLUMNS = ("case_id", "patient", "lesion", "simulated", *CSV_ABOUT, *CSV_ROW, *THOROUGH_METRICS, *CSV_LAST)


def document_of(
    model: ModelPackage,
    cases: Sequence[CheckedCase],
    problems: Sequence[Problem],
    settings: Settings,
    rows: Sequence[Row],
    ready: ModelReady | None,
) -> dict[str, Any]:
    """The content of evaluation.json.

    Raises:
        CrlmError: no lesion was answered.
    """
    recorded = [row for row in rows if row["kind"] == AS_RECORDED]
    varied = [row for row in rows if row["kind"] != AS_RECORDED]
    measured = [row for row in recorded if row["metrics"]]
    if not measured:
        reasons = "; ".join(dict.fromkeys(str(row["error"]) for row in recorded))
        raise CrlmError(f"no lesion was segmented: {reasons}")
    ranked = sorted(measured, key=lambda row: (row["metrics"]["dice"], row["case_id"], row["lesion"]))
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "not_for_clinical_use": model.not_for_clinical_use,
        "simulated": simulated_of(cases),
        "model": _model(model),
        "devices": sorted({row["device"] for row in rows if row["device"]}),
        "versions": {**versions(), "scikit-learn": version("scikit-learn"), **(ready.versions if ready else {})},
        "settings": asdict(settings),
        "data": _data(cases, problems, rows),
        "regions": REGIONS,
        "figures": statistics.summarise(measured, settings.seed, settings.bootstrap_draws),
        "calibration": statistics.calibration(measured),
        "robustness": _robustness(measured, varied, settings),
        "worst": [[row["case_id"], row["lesion"]] for row in ranked[: settings.worst]],
        "lesions": recorded,
        "variations": varied,
    }


def simulated_of(cases: Sequence[CheckedCase]) -> str:
    kinds = {checked.simulated for checked in cases}
    if True in kinds:
        return "all" if kinds == {True} else "some"
    return "unknown" if None in kinds else "none"


def _model(model: ModelPackage) -> dict[str, Any]:
    names = ("name", "version", "sha256", "simulated_only", "crop_size_mm", "spacing_mm", "intended_use", "trained_on")
    return {name: getattr(model, name, None) for name in names}


def _data(cases: Sequence[CheckedCase], problems: Sequence[Problem], rows: Sequence[Row]) -> dict[str, Any]:
    failed = [
        {"case": row["case_id"], "lesion": row["lesion"], "text": f"{row['kind']}: {row['error']}"}
        for row in rows
        if row["error"]
    ]
    return {
        "cases": [
            {
                "case_id": checked.case_id,
                "patient": checked.patient,
                "sha256": checked.sha256,
                "simulated": checked.simulated,
                "lesions": [lesion.name for lesion in checked.lesions],
            }
            for checked in cases
        ],
        "left_out": [asdict(problem) for problem in problems],
        "failed": failed,
    }


def _robustness(measured: Sequence[Row], varied: Sequence[Row], settings: Settings) -> dict[str, Any]:
    names = {(row["case_id"], row["lesion"]) for row in varied}
    sample = [row for row in measured if (row["case_id"], row["lesion"]) in names]
    unchanged = {
        GAIN_DB: [{**row, "amount": 0.0} for row in sample],
        GREY_FACTOR: [{**r, "amount": 1.0} for r in sample],
    }
    curves = {
        kind: statistics.curve_of(varied, kind, settings.seed, settings.bootstrap_draws, unchanged.get(kind, ()))
        for kind in (SEED_SHARE, SEED_MM, GAIN_DB, GREY_FACTOR)
    }
    return {"sample": len(names), **curves}


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write evaluation.json.

    Raises:
        CrlmError: it lacks a documented key, or has another.
    """
    if set(document) != set(KEYS):
        raise CrlmError(f"evaluation.json must have the keys {', '.join(KEYS)}, got {', '.join(document)}")
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write lesions.csv: one line for each row, `CSV_COLUMNS`, empty where nothing is known."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, CSV_COLUMNS)
        writer.writeheader()
        for row in rows:
            known = {**{name: row["about"].get(name) for name in CSV_ABOUT}, **row, **(row["metrics"] or {})}
            known["warnings"] = "; ".join(row["warnings"] or ())
            writer.writerow({name: _plain(known.get(name)) for name in CSV_COLUMNS})


def _plain(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def summary_of(document: Mapping[str, Any]) -> list[str]:
    """What a terminal shows."""
    figures = document["figures"]["all"]["all"]
    kind = {"all": "simulated ", "some": "partly simulated "}.get(document["simulated"], "")
    dice, rate = figures["dice"], figures["detection_rate"]
    lines = [
        f"{document['model']['name']} on {figures['lesions']} lesions of {figures['patients']} {kind}patients:",
        f"  Dice {dice['median']:.3f}, quartiles {dice['quartiles'][0]:.3f} to {dice['quartiles'][1]:.3f}"
        + (f", 95 % interval {dice['interval'][0]:.3f} to {dice['interval'][1]:.3f}" if dice["interval"] else ""),
        f"  detected (Dice above {DETECTED_DICE}) {100 * rate['share']:.0f} %",
    ]
    distance, seconds = figures["hausdorff95_mm"], figures["seconds"]
    if distance["count"]:
        lines.append(
            f"  Hausdorff 95 % {distance['median']:.1f} mm, largest {figures['hausdorff_mm']['median']:.1f} mm"
        )
    lines.append(f"  {seconds['median']:.1f} s for each lesion on {', '.join(document['devices'])}")
    if document["data"]["failed"]:
        lines.append(f"  ! {len(document['data']['failed'])} measurements failed, see evaluation.json")
    return lines
