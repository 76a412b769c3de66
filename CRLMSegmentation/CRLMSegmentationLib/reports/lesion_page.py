"""One HTML page of a result: pictures and style inside, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ..core.metrics import METRICS
from ..tracking.interval import Interval
from .metric_names import METRIC_NAMES, MISSING
from .schema import TIMINGS, as_list, check_report
from .templates import stylesheet, templates

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
    pictures: Mapping[str, bytes | str],
    model_card: Mapping[str, Any],
) -> None:
    """Write report.html from what report.json holds.

    Args:
        report: one object of `schema.lesion_report`, or a list of them.
        pictures: PNG by "<lesion>/slices", "<lesion>/view3d" and, where the report tells of such, "<lesion>/approach",
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
        pictures = {**{f"{_name(reports[0], 1)}/{kind}": picture for kind, picture in pictures.items()}, **pictures}
    page = (
        _environment()
        .get_template("template.html")
        .render(
            case_id=reports[0]["case_id"],
            first={"created": "", **reports[0]},
            lesions=[_lesion(entry, pictures, number) for number, entry in enumerate(reports, 1)],
            simulated=any(entry.get("simulated") for entry in reports),
            any_truth=any(entry["metrics"] for entry in reports),
            models={entry["model"]["sha256"]: entry["model"] for entry in reports}.values(),
            model_card=model_card,
            style=stylesheet("style.css"),
        )
    )
    Path(path).write_text(page, encoding="utf-8")


def _environment() -> Environment:
    return templates(
        number=_number,
        sizes=_sizes,
        point=_point,
        words=_words,
        sentence=_sentence,
        date=_date,
        moment=_moment,
        flat=_flat,
        widths=_widths,
        width=_width,
    )


def _lesion(report: Mapping[str, Any], pictures: Mapping[str, bytes | str], number: int) -> dict[str, Any]:
    name = _name(report, number)
    return {
        "confidence": None,
        "volume_identity": None,
        "simulated": None,
        **report,
        "name": name,
        "slices": _image(pictures.get(f"{name}/{SLICES}", NOT_DRAWN), f"Three slices through {name}"),
        "view3d": _image(pictures.get(f"{name}/{VIEW_3D}", NOT_DRAWN), f"{name} in space"),
        "times": _times(report["timings_s"]),
        "agreement": _agreement(report["metrics"], report.get("metrics_region", "the volume")),
        "navigation": _navigation(report.get("navigation"), pictures, name),
        "stability": _stability(report.get("stability"), pictures, name),
    }


def _navigation(
    entry: Mapping[str, Any] | None, pictures: Mapping[str, bytes | str], name: str
) -> dict[str, Any] | None:
    if entry is None:
        return None
    near = entry["distance_mm"] is not None
    return {
        "cautions": [],
        **entry,
        "distance": str(Interval(*(entry[key] for key in ("distance_mm", "low_mm", "high_mm")))) if near else None,
        "view": _image(pictures.get(f"{name}/{APPROACH}", NOT_DRAWN), f"{name} and the nearest instrument in space"),
        "slices": _image(pictures.get(f"{name}/{MARGINS}", NOT_DRAWN), f"Slices where the tip was nearest to {name}"),
    }


def _stability(
    entry: Mapping[str, Any] | None, pictures: Mapping[str, bytes | str], name: str
) -> dict[str, Any] | None:
    if entry is None:
        return None
    picture = _image(pictures.get(f"{name}/{STABILITY}", NOT_DRAWN), f"consensus surfaces of {name}")
    return {**entry, "slices": picture}


def _name(report: Mapping[str, Any], number: int) -> str:
    return report.get("lesion") or f"Lesion {number}"


def _image(picture: bytes | str, about: str) -> dict[str, Any]:
    if isinstance(picture, str):
        text = Markup('<div class="no-picture"><strong>No picture</strong>{}</div>').format(picture)
        return {"html": text, "drawn": False}
    data = base64.b64encode(picture).decode("ascii")
    return {"html": Markup('<img alt="{}" src="data:image/png;base64,{}">').format(about, data), "drawn": True}


def _agreement(metrics: Mapping[str, float | None] | None, region: str) -> list[dict[str, str]]:
    if not metrics:
        return []
    names = [(METRIC_NAMES[key], metrics[key]) for key in METRICS]
    return [
        {"name": name.label, "text": name.text(value), "about": name.about.format(region=region)}
        for name, value in names
    ]


def _times(timings_s: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Rows of the bar chart; the cold start happens once and would dwarf the others, so it has no bar."""
    steps = [s for name, s in timings_s.items() if name != "cold_start" and not _is_missing(s)]
    longest = max(steps, default=0.0) or 1.0
    rows = []
    for key, about in TIMINGS.items():
        seconds = None if _is_missing(timings_s[key]) else timings_s[key]
        percent = None if seconds is None or key == "cold_start" else round(100 * seconds / longest, 1)
        kind = {"seed_to_overlay": "total", "cold_start": "once"}.get(key, "step")
        rows.append(
            {"name": TIMING_NAMES.get(key, key), "about": about, "seconds": seconds, "percent": percent, "kind": kind}
        )
    return rows


def _is_missing(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def _number(value: float | None, digits: int) -> str:
    return MISSING if _is_missing(value) else f"{value:.{digits}f}"


def _sizes(diameters_mm: Sequence[float]) -> str:
    return " × ".join(f"{d:.0f}" for d in diameters_mm) if any(diameters_mm) else MISSING


def _point(point: Sequence[float]) -> str:
    return "  ".join(f"{x:.1f}" for x in point)


def _words(key: str) -> str:
    text = str(key).replace("_", " ")
    return text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _date(created: str) -> str:
    try:
        return datetime.fromisoformat(created).strftime("%d %B %Y, %H:%M")
    except ValueError:
        return created or MISSING


def _moment(timestamp_s: float) -> str:
    return datetime.fromtimestamp(timestamp_s, timezone.utc).strftime("%d %B %Y, %H:%M:%S UTC")


def _flat(values: Sequence[Any]) -> bool:
    return all(isinstance(v, (int, float)) for v in values)


def _widths(margins_mm: Sequence[float]) -> str:
    return " and ".join(map(_width, margins_mm)) or "none"


def _width(margin_mm: float) -> str:
    return f"{margin_mm:g} mm"
