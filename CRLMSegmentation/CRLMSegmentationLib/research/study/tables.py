"""results.json and tables.csv as files, and the summary of a study for a terminal."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...core.errors import CrlmError
from ..evaluation.statistics import RATES
from .results import KEYS

COLUMNS = (
    *("method", "by", "group", "patients", "lesions", "measure", "count", "median", "mean"),
    *("lower_quartile", "upper_quartile", "lowest", "highest", "interval_low", "interval_high"),
)
"""Of a share, such as the detection rate, `mean` is the share."""


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write results.json.

    Raises:
        CrlmError: it lacks a documented key, or has another.
    """
    if set(results) != set(KEYS):
        raise CrlmError(f"results.json must have the keys {', '.join(KEYS)}, got {', '.join(results)}")
    path.write_text(json.dumps(results, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def write_tables(path: Path, results: Mapping[str, Any]) -> None:
    """Write tables.csv: a line per method, group and measure; empty where a value is unknown."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        for line in _lines(results["figures"]):
            writer.writerow({name: _rounded(value) for name, value in line.items()})


def _lines(figures: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for method, kinds in figures.items():
        for kind, groups in kinds.items():
            for group, found in groups.items():
                place = {"method": method, "by": kind, "group": group}
                place |= {name: found[name] for name in ("patients", "lesions")}
                for measure, values in found.items():
                    if isinstance(values, dict):
                        yield {**place, "measure": measure, **_columns(measure, values)}


def _columns(measure: str, values: Mapping[str, Any]) -> dict[str, Any]:
    low, high = values["interval"] or (None, None)
    found = {"count": values["count"], "interval_low": low, "interval_high": high}
    if measure in RATES:
        return {**found, "mean": values["share"]}
    lower, upper = values["quartiles"] or (None, None)
    lowest, highest = values["range"] or (None, None)
    found |= {"median": values["median"], "mean": values["mean"], "lower_quartile": lower, "upper_quartile": upper}
    return {**found, "lowest": lowest, "highest": highest}


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def summary_of(results: Mapping[str, Any]) -> list[str]:
    """Return the summary of a study as lines for a terminal."""
    held_out = results["patients"]["held_out"]
    lines = [
        f"{held_out['lesions']} lesions of {held_out['patients']} simulated patients, none of them trained on:",
        f"  {'method':<15}{'Dice':>6}  {'quartiles':<14}{'detected':>9}{'HD mm':>8}{'s':>7}",
    ]
    for method in results["methods"]:
        figures = results["figures"][method]["all"]["all"]
        low, high = figures["dice"]["quartiles"]
        distance = figures["hausdorff_mm"]["median"]
        lines.append(
            f"  {method:<15}{figures['dice']['median']:>6.3f}  {f'{low:.3f} to {high:.3f}':<14}"
            f"{100 * figures['detection_rate']['share']:>7.0f} %{'—' if distance is None else f'{distance:.1f}':>8}"
            f"{figures['seconds']['median']:>7.1f}"
        )
    lines.append(f"  {sum(step['minutes'] for step in results['steps']):.0f} minutes in all")
    failed = sum(map(len, results["failed"].values()))
    if failed:
        lines.append(f"  ! {failed} lesions got no answer, see results.json; run again to try them once more")
    return [*lines, results["statement"]]
