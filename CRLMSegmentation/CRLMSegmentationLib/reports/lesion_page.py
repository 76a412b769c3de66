"""Writes report.html: one page with its images and style inside, which loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.metrics import METRICS
from ..tracking.interval import Interval
from .filters import is_missing
from .metric_names import METRIC_NAMES
from .schema import SERVER_TIMINGS, TIMINGS, as_list, check_report
from .templates import figure, render, stylesheet

SLICES = "slices"
VIEW_3D = "view3d"
APPROACH, MARGINS = "approach", "margins"
"""Of the moment at which an instrument was nearest, in space and in slices."""
STABILITY = "stability"
NOT_DRAWN = "it was not drawn"
TIMING_NAMES = {"seed_to_overlay": "seed to overlay", "cold_start": "cold start, once"}


def write_report(
    path: Path | str,
    report: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    figures: Mapping[str, bytes | str],
    model_card: Mapping[str, Any],
) -> None:
    """Write report.html from what report.json holds.

    Args:
        report: one object of `schema.lesion_report`, or a list of them.
        figures: PNG by "<lesion>/slices", "<lesion>/view3d" and, where the report tells of such, "<lesion>/approach",
            "<lesion>/margins" and "<lesion>/stability"; for a single lesion also by "slices" and so on. A text
            instead of a PNG says why there is none.
        model_card: shown as it is, entries within entries.

    Raises:
        CrlmError: the report lacks a documented key.
    """
    reports = as_list(report)
    for entry in reports:
        check_report(entry)
    if len(reports) == 1:
        figures = {**{f"{_name(reports[0], 1)}/{kind}": image for kind, image in figures.items()}, **figures}
    page = render(
        "lesion.html",
        case_id=reports[0]["case_id"],
        first={"created": "", **reports[0]},
        lesions=[_lesion(entry, figures, number) for number, entry in enumerate(reports, 1)],
        simulated=any(entry.get("simulated") for entry in reports),
        any_truth=any(entry["metrics"] for entry in reports),
        models={entry["model"]["sha256"]: entry["model"] for entry in reports}.values(),
        model_card=model_card,
        style=stylesheet("page.css"),
    )
    Path(path).write_text(page, encoding="utf-8")


def _lesion(report: Mapping[str, Any], figures: Mapping[str, bytes | str], number: int) -> dict[str, Any]:
    name = _name(report, number)
    return {
        "confidence": None,
        "volume_identity": None,
        "simulated": None,
        **report,
        "name": name,
        "slices": figure(figures.get(f"{name}/{SLICES}", NOT_DRAWN), f"Three slices through {name}"),
        "view3d": figure(figures.get(f"{name}/{VIEW_3D}", NOT_DRAWN), f"{name} in space"),
        "times": _times(report["timings_s"]),
        "agreement": _agreement(report["metrics"], report.get("metrics_region", "the volume")),
        "navigation": _navigation(report.get("navigation"), figures, name),
        "stability": _stability(report.get("stability"), figures, name),
    }


def _navigation(
    entry: Mapping[str, Any] | None, figures: Mapping[str, bytes | str], name: str
) -> dict[str, Any] | None:
    if entry is None:
        return None
    near = entry["distance_mm"] is not None
    return {
        "cautions": [],
        **entry,
        "distance": str(Interval(*(entry[key] for key in ("distance_mm", "low_mm", "high_mm")))) if near else None,
        "view": figure(figures.get(f"{name}/{APPROACH}", NOT_DRAWN), f"{name} and the nearest instrument in space"),
        "slices": figure(figures.get(f"{name}/{MARGINS}", NOT_DRAWN), f"Slices where the tip was nearest to {name}"),
    }


def _stability(entry: Mapping[str, Any] | None, figures: Mapping[str, bytes | str], name: str) -> dict[str, Any] | None:
    if entry is None:
        return None
    image = figure(figures.get(f"{name}/{STABILITY}", NOT_DRAWN), f"consensus surfaces of {name}")
    return {**entry, "slices": image}


def _name(report: Mapping[str, Any], number: int) -> str:
    return report.get("lesion") or f"Lesion {number}"


def _agreement(metrics: Mapping[str, float | None] | None, region: str) -> list[dict[str, str]]:
    if not metrics:
        return []
    names = [(METRIC_NAMES[key], metrics[key]) for key in METRICS]
    return [
        {"name": name.label, "text": name.text(value), "about": name.about.format(region=region)}
        for name, value in names
    ]


def _times(timings_s: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Return the rows of the bar chart of timings; the cold start, which would dwarf the others, has no bar.

    The steps of a segmentation server are left out where there was none.
    """
    steps = [s for name, s in timings_s.items() if name != "cold_start" and s is not None and not is_missing(s)]
    longest = max(steps, default=0.0) or 1.0
    rows = []
    for key, about in TIMINGS.items():
        seconds = None if is_missing(timings_s.get(key)) else timings_s[key]
        if seconds is None and key in SERVER_TIMINGS:
            continue
        percent = None if seconds is None or key == "cold_start" else round(100 * seconds / longest, 1)
        kind = {"seed_to_overlay": "total", "cold_start": "once"}.get(key, "step")
        rows.append(
            {"name": TIMING_NAMES.get(key, key), "about": about, "seconds": seconds, "percent": percent, "kind": kind}
        )
    return rows
