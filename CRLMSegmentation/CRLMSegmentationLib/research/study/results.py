"""results.json: all results of a study, computed from the evaluations of its methods; its keys are stable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ...core.environment import devices, versions
from ...core.json_fields import is_number
from ...recording.dataset import CheckedCase
from ..evaluation import statistics
from ..evaluation.comparison import ABSOLUTE, compare, planned
from ..evaluation.result_cache import Row
from .agreement import volume_agreement
from .reference import PAPER
from .roc import roc_of
from .settings import Study
from .step_log import read_step_log

SCHEMA_VERSION = 1
KEYS = {
    "schema_version": "of this file, 1",
    "created": "date and time, ISO 8601",
    "simulated": "'all': every patient of a study is simulated",
    "statement": "what these figures are not",
    "study": "the settings, see `study.settings.Study`",
    "methods": "their names, in the order of all tables",
    "machine": "{devices: of this machine, computed_on: {method: devices}, versions}",
    "steps": "[{step, minutes, runs, machines, ended, versions}], see `study.step_log`",
    "patients": "{trained_on, held_out}: {patients, lesions, echogenicity: {name: lesions}, diameter_mm: {median, "
    "range}, truth_ml: {median, range} (held out only), cases: {case_id: sha256}}",
    "trainings": "network to {model: {name, version, sha256, region, channels, crop_size_mm, spacing_mm}, trained_on, "
    "images and patients: {train, val}, left_out: [[case, lesion, text]], curve: the lines of its progress}",
    "oracle": "what the semi-automatic baselines are given, and what not",
    "strokes": "method to who has painted its strokes; null of a method without",
    "regions": "what the names of the ROC areas stand for",
    "figures": "method to {all, echogenicity, size}: group to {lesions, patients, each metric and seconds: {count, "
    "mean, median, quartiles, range, interval}, detection_rate and share_under_0.3: {count, share, interval}}; "
    "all.all has rvd_absolute as well",
    "clicks": "method to `clicks` of its evaluation.json, see `evaluation.document.KEYS`; null of one that takes none",
    "failed": "method to [{case, lesion, text}]: lesions without an answer, in no figure",
    "plan": "{primary, claim, measures, correction, unit, test, effect}: the comparisons as they were planned",
    "comparisons": "[{measure, one, other, lesions, only_one, only_other, neither, patients, unequal, difference, "
    "interval, rank_biserial, statistic, exact, p, p_holm}], see `evaluation.comparison.Comparison`",
    "agreement": "method to {lesions, nothing_found, ratio, interval, limits}: volume of the mask divided by the true "
    "one, see `study.agreement`",
    "roc": "region to {false_positive_rate: [...], methods: method to {lesions, recall: mean [...], mask: {lesions, "
    "false_positive_rate, recall}}}, see `study.roc`",
    "examples": "[{rank, case_id, lesion, dice: {method: number or null}}] by the Dice of `examples_by`",
    "examples_by": "the method by whose Dice the examples were chosen",
    "reference": "what was published on real patients, see `study.reference`; not comparable",
    "lesions": "method to rows: {case_id, patient, lesion, echogenicity, pattern, diameter_mm, truth_ml, volume_ml, "
    "metrics, detected, confidence, seconds, device, warnings, error}",
}
STATEMENT = (
    "Simulated patients only. These figures say nothing about real ones, and cannot be compared with published ones. "
    "Research software, not for clinical use."
)
ORACLE = (
    "The strokes of grow-cut are painted by a simulated user who sees the reference segmentation, an oracle, which "
    "favours it; its seconds do not include the painting. Region growing starts from the seed alone."
)
PRIMARY = "dice"
CLAIM = ("crop", "full")
MEASURES = (
    "dice",
    "hausdorff_mm",
    "rvd" + ABSOLUTE,
    "recall",
    "auc_hard_crop",
    "auc_probability_crop",
    "auc_hard_volume",
    "auc_probability_volume",
)
PLAN = {
    "primary": "Dice, all pairs of methods",
    "claim": "what the paper claims: cropped against full volume, on each of its measures",
    "measures": list(MEASURES),
    "correction": "Holm, over all comparisons of the table together",
    "unit": "the patient: differences of lesions are averaged in each patient",
    "test": "Wilcoxon signed-rank, two-sided; patients without a difference are left out (zero_method 'wilcox')",
    "effect": "median difference (Hodges and Lehmann) with a 95 % bootstrap interval over patients; matched-pairs "
    "rank-biserial correlation",
}
DIGITS = 5
"""Of the rows of single lesions; figures and tests are computed from all digits."""
EXAMPLES = ("best", "median", "worst")
PLACE_KEYS = ("case_id", "patient", "lesion")
FOUND_KEYS = (
    "diameter_mm",
    "truth_ml",
    "volume_ml",
    "metrics",
    "detected",
    "confidence",
    "seconds",
    "device",
    "warnings",
    "error",
)


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network, with its learning curve and its data.

    Attributes:
        package: its model package.
        curve: the lines of its progress, see `training.progress.EPOCH_KEYS`.
        images, patients: {"train": number, "val": number}, of the fold that was trained.
        left_out: [case, lesion, text] of what could not be trained on.
    """

    package: Any
    curve: Sequence[Mapping[str, Any]]
    images: Mapping[str, int]
    patients: Mapping[str, int]
    left_out: Sequence[Sequence[str]] = ()


def results_of(
    study: Study,
    out: Path,
    trained_on: Sequence[CheckedCase],
    held_out: Sequence[CheckedCase],
    trainings: Mapping[str, Network],
    documents: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the content of results.json, with the keys of `KEYS`.

    Args:
        out: folder of the study, whose step log is read.
        documents: evaluation.json of each method.
    """
    rows = {method: [_slim(row) for row in document["lesions"]] for method, document in documents.items()}
    measured = {method: [row for row in doc["lesions"] if row["metrics"]] for method, doc in documents.items()}
    methods, seed, draws = list(documents), study.seed, study.bootstrap_draws
    by = "crop+seed" if "crop+seed" in methods else methods[0]
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "simulated": "all",
        "statement": STATEMENT,
        "study": asdict(study),
        "methods": methods,
        "machine": {
            "devices": devices(),
            "computed_on": {method: document["devices"] for method, document in documents.items()},
            "versions": {**versions(), **_all_versions(documents)},
        },
        "steps": read_step_log(out),
        "patients": {"trained_on": _cohort(trained_on), "held_out": _cohort(held_out, next(iter(rows.values())))},
        "trainings": {variant: _training(training) for variant, training in trainings.items()},
        "oracle": ORACLE,
        "strokes": {method: document["model"].get("strokes") for method, document in documents.items()},
        "regions": next(iter(documents.values()))["regions"],
        "figures": {method: _figures(measured[method], seed, draws) for method in methods},
        "clicks": {method: document["clicks"] for method, document in documents.items()},
        "failed": {method: document["data"]["failed"] for method, document in documents.items()},
        "plan": PLAN,
        "comparisons": compare(planned(methods, PRIMARY, CLAIM, MEASURES), measured, seed, draws),
        "agreement": {method: volume_agreement(measured[method], seed, draws) for method in methods},
        "roc": roc_of(measured),
        "examples": _examples(rows, by),
        "examples_by": by,
        "reference": PAPER,
        "lesions": rows,
    }


def _all_versions(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: version for document in documents.values() for name, version in document["versions"].items()}


def _slim(row: Row) -> Row:
    about = {name: row["about"].get(name) for name in ("echogenicity", "pattern")}
    place = {name: row[name] for name in PLACE_KEYS}
    return {**place, **about, **{name: _rounded(row[name]) for name in FOUND_KEYS}}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return round(value, DIGITS) if isinstance(value, float) else value


def _cohort(cases: Sequence[CheckedCase], rows: Sequence[Row] = ()) -> dict[str, Any]:
    about = [lesion.about for case in cases for lesion in case.lesions]
    found = {
        "patients": len({case.patient for case in cases}),
        "lesions": len(about),
        "echogenicity": dict(sorted(Counter(str(a.get("echogenicity", statistics.UNKNOWN)) for a in about).items())),
        "diameter_mm": _middle_and_range([a["diameter_mm"] for a in about if is_number(a.get("diameter_mm"))]),
        "cases": {case.case_id: case.sha256 for case in cases},
    }
    return {**found, "truth_ml": _middle_and_range([row["truth_ml"] for row in rows])} if rows else found


def _middle_and_range(values: Sequence[float]) -> dict[str, Any] | None:
    return {"median": float(np.median(values)), "range": [min(values), max(values)]} if values else None


def _training(training: Network) -> dict[str, Any]:
    package = training.package
    names = ("name", "version", "sha256", "region", "channels", "crop_size_mm", "spacing_mm")
    return {
        "model": {name: _plain(getattr(package, name, None)) for name in names},
        "trained_on": {name: value for name, value in package.trained_on.items() if name != "cases"},
        "images": dict(training.images),
        "patients": dict(training.patients),
        "left_out": [list(one) for one in training.left_out],
        "curve": [dict(line) for line in training.curve],
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _figures(rows: Sequence[Row], seed: int, draws: int) -> dict[str, Any]:
    figures = statistics.summarise(rows, seed, draws)
    sizes = [None if row["metrics"]["rvd"] is None else abs(row["metrics"]["rvd"]) for row in rows]
    patients = [row["patient"] for row in rows]
    figures["all"]["all"]["rvd" + ABSOLUTE] = statistics.spread_of(sizes, patients, seed, draws)
    return figures


def _examples(rows: Mapping[str, Sequence[Row]], by: str) -> list[dict[str, Any]]:
    """Return the lesions with the best, the median and the worst Dice; fewer if there are fewer lesions."""
    ranked = sorted(
        (row for row in rows[by] if row["metrics"]),
        key=lambda row: (-row["metrics"]["dice"], row["case_id"], row["lesion"]),
    )
    places = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
    dice = {
        (method, row["case_id"], row["lesion"]): row["metrics"] and row["metrics"]["dice"]
        for method in rows
        for row in rows[method]
    }
    examples, taken = [], set()
    for rank in EXAMPLES:
        if places[rank] in taken:
            continue
        taken.add(places[rank])
        key = ranked[places[rank]]["case_id"], ranked[places[rank]]["lesion"]
        of_methods = {method: dice.get((method, *key)) for method in rows}
        examples.append({"rank": rank, "case_id": key[0], "lesion": key[1], "dice": of_methods})
    return examples
