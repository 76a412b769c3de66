"""evaluation.json and lesions.csv: their stable keys, and how they are computed from the rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...core.environment import versions
from ...core.errors import CrlmError
from ...core.metrics import ROC_FALSE_POSITIVES, THOROUGH_METRICS
from ...recording.dataset import CaseProblem, CheckedCase
from . import statistics
from .click_series import TARGET_DICE, click_figures, clicks_to
from .data_leakage import trained_on
from .methods import ABOUT_KEYS, SEMIAUTOMATIC, Method
from .result_cache import Row
from .rows import COMPARED_MM, DETECTED_DICE, ROW_KEYS
from .settings import AS_RECORDED, GAIN_DB, GREY_FACTOR, SEED_MM, SEED_SHARE, EvaluationSettings

SCHEMA_VERSION = 2
SHOWN = 5
"""Number of warnings about reference segmentations that are printed."""
KEYS = {
    "schema_version": f"of this file, {SCHEMA_VERSION}",
    "created": "date and time, ISO 8601",
    "not_for_clinical_use": "what the model says of itself",
    "simulated": "'all', 'some' or 'none' of the cases are simulated, 'unknown' where one does not say",
    "model": "what was evaluated: {" + ", ".join(ABOUT_KEYS) + "}; kind is 'model' or 'semi-automatic'; strokes says "
    "who has painted them, parameters on what a semi-automatic method depends",
    "devices": "that computed the rows",
    "versions": "name to version of everything that took part",
    "settings": "as in research/evaluation/settings.py",
    "data": "{cases: [{case_id, patient, sha256, simulated, lesions}], left_out: [{case, lesion, text}], failed: "
    "[{case, lesion, text}], remarks: [{case, lesion, text}] about the reference segmentations, "
    "trained_on: [case_id] that the model was trained on, null where it does not say on which "
    "cases it was, held_out_of: {dataset, listed: number of its held-out cases} or null}",
    "regions": "what the names of the ROC areas stand for",
    "roc_false_positives": "the rates at which the curves `roc` of the lesions are kept",
    "figures": "{all, echogenicity, size}: name of the group to {lesions, patients, each metric and seconds: {count, "
    "mean, median, quartiles, range, interval}, detection_rate and share_under_0.3: {count, share, interval}}",
    "clicks": "null without --clicks, else {target: of Dice, most: clicks, shown: [clicks], groups: {all, "
    "echogenicity, size: name to {lesions, dice, share_under_0.3, reached: each a list for `shown`, of values as in "
    "figures; reached: share with the target by then, clicks_to_target: median, null where it is above most, seconds, "
    "changed_far: of each correction, see the rows}}}",
    "calibration": "{bins: [{low, high, lesions, confidence, dice_mean, dice_median, detected}], nothing_found, gap, "
    "rank_correlation}",
    "robustness": "{sample: number of lesions, 'seed share', 'seed mm', 'gain dB', 'grey factor'}: [{amount, measured, "
    "lesions, refused, no_place, dice, detection_rate, away_mm}]",
    "worst": "[[case_id, lesion]], the lowest Dice first",
    "lesions": "the rows as recorded: {" + ", ".join(ROW_KEYS) + "}",
    "variations": "the rows of the robustness sample, with the same keys",
}
REGIONS = {
    "auc_hard_crop": "the mask, yes or no, over the voxels of the crop; of what sees the whole volume, over a cube of "
    f"{COMPARED_MM:.0f} mm around the click",
    "auc_probability_crop": "the network's probabilities over the same voxels",
    "auc_hard_volume": "the mask, yes or no, over all voxels of the volume",
    "auc_probability_volume": "the network's probabilities over all voxels of the volume, 0 where it did not look",
}
CSV_ABOUT = ("echogenicity", "pattern")
CSV_ROW = ("diameter_mm", "truth_ml", "volume_ml")
CSV_CLICKS = ("dice_by_click", "clicks_to_target")
CSV_LAST = ("detected", "confidence", "seconds", "device", "strokes", "trained_on", "warnings", "mask", "error")
CSV_COLUMNS = (
    "case_id",
    "patient",
    "lesion",
    "simulated",
    *CSV_ABOUT,
    *CSV_ROW,
    *THOROUGH_METRICS,
    *CSV_CLICKS,
    *CSV_LAST,
)


def document_of(
    method: Method,
    cases: Sequence[CheckedCase],
    problems: Sequence[CaseProblem],
    settings: EvaluationSettings,
    rows: Sequence[Row],
    other_versions: Mapping[str, str],
    held_out_of: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of evaluation.json.

    Args:
        other_versions: of what took part beside this program.
        held_out_of: see `KEYS`, data.

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
        "not_for_clinical_use": method.not_for_clinical_use,
        "simulated": simulated_of(cases),
        "model": method.about(),
        "devices": sorted({row["device"] for row in rows if row["device"]}),
        "versions": {**versions(), "scikit-learn": version("scikit-learn"), **other_versions},
        "settings": asdict(settings),
        "data": {
            **_data(cases, problems, rows),
            "trained_on": trained_on(method.about(), cases),
            "held_out_of": held_out_of,
        },
        "regions": REGIONS,
        "roc_false_positives": ROC_FALSE_POSITIVES,
        "figures": statistics.summarise(measured, settings.seed, settings.bootstrap_draws),
        "clicks": click_figures(measured, settings.clicks, settings.seed, settings.bootstrap_draws),
        "calibration": statistics.calibration(measured),
        "robustness": _robustness(measured, varied, settings),
        "worst": [[row["case_id"], row["lesion"]] for row in ranked[: settings.worst]],
        "lesions": recorded,
        "variations": varied,
    }


def simulated_of(cases: Sequence[CheckedCase]) -> str:
    """Return whether all, some or none of the cases are simulated, or "unknown"."""
    kinds = {checked.simulated for checked in cases}
    if True in kinds:
        return "all" if kinds == {True} else "some"
    return "unknown" if None in kinds else "none"


def _data(cases: Sequence[CheckedCase], problems: Sequence[CaseProblem], rows: Sequence[Row]) -> dict[str, Any]:
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
        "remarks": [asdict(warning) for checked in cases for warning in checked.warnings],
    }


def _robustness(measured: Sequence[Row], varied: Sequence[Row], settings: EvaluationSettings) -> dict[str, Any]:
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


def write_csv(path: Path, document: Mapping[str, Any]) -> None:
    """Write lesions.csv: one line per lesion with `CSV_COLUMNS`, empty where a value is unknown."""
    leaked = document["data"]["trained_on"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, CSV_COLUMNS)
        writer.writeheader()
        for row in document["lesions"]:
            known = {**{name: row["about"].get(name) for name in CSV_ABOUT}, **row, **(row["metrics"] or {})}
            known.update(_clicks_of(row, document["settings"]["clicks"]))
            known["warnings"] = "; ".join(row["warnings"] or ())
            known["trained_on"] = None if leaked is None else row["case_id"] in leaked
            writer.writerow({name: _plain(known.get(name)) for name in CSV_COLUMNS})


def _clicks_of(row: Row, most: int) -> dict[str, Any]:
    if row["clicks"] is None:
        return {}
    dice = "; ".join(f"{entry['dice']:.3f}" for entry in row["clicks"])
    return {"dice_by_click": dice, "clicks_to_target": clicks_to(row, TARGET_DICE, most)}


def _plain(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def summary_of(document: Mapping[str, Any]) -> list[str]:
    """Return the summary of an evaluation as lines for a terminal."""
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
    lines += _click_lines(document["clicks"])
    lines.append(f"  {seconds['median']:.2g} s of computing for each lesion on {', '.join(document['devices'])}")
    return lines + [f"  ! {warning}" for warning in warnings_of(document)]


def _click_lines(clicks: Mapping[str, Any] | None) -> list[str]:
    if clicks is None:
        return []
    figures = clicks["groups"]["all"]["all"]
    after = ", ".join(f"{n}: {dice['median']:.3f}" for n, dice in zip(clicks["shown"], figures["dice"]))
    share = 100 * figures["reached"][-1]["share"]
    return [
        f"  Dice after clicks, median: {after}",
        f"  {share:.0f} % reach {clicks['target']} within {clicks['most']} clicks",
    ]


def warnings_of(document: Mapping[str, Any]) -> list[str]:
    """Return the warnings that must stand wherever the figures are shown."""
    model, data = document["model"], document["data"]
    warnings = []
    if data["trained_on"]:
        warnings.append(
            f"trained on {len(data['trained_on'])} of these {len(data['cases'])} cases "
            f"({', '.join(data['trained_on'])}): figures that hold them are too good"
        )
    if model["strokes"]:
        warnings.append(
            f"strokes painted by {model['strokes']}, which favours the method"
            + ("" if document["clicks"] else "; the user makes no corrections")
        )
    if document["clicks"]:
        warnings.append("the clicks that correct are made by a simulated user who sees the reference segmentation")
    if model["kind"] == SEMIAUTOMATIC:
        warnings.append("the working time of a user is not simulated, and is in no figure")
    if data["held_out_of"] and len(data["cases"]) < data["held_out_of"]["listed"]:
        warnings.append(
            f"{len(data['cases'])} of the {data['held_out_of']['listed']} held-out cases of "
            f"{data['held_out_of']['dataset']} were measured"
        )
    warnings += [": ".join(filter(None, (r["case"], r["lesion"], r["text"]))) for r in data.get("remarks", ())[:SHOWN]]
    if len(data.get("remarks", ())) > SHOWN:
        warnings.append(
            f"{len(data['remarks']) - SHOWN} more warnings about reference segmentations, see evaluation.json"
        )
    if data["failed"]:
        warnings.append(f"{len(data['failed'])} measurements failed, see evaluation.json")
    return warnings
