"""The page of a study, and its figures as files: everything inside, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from matplotlib.figure import Figure

from ...reports.metric_names import DOWN, METRIC_NAMES, MISSING, MetricName
from ...reports.templates import stylesheet, templates
from .curves import agreement_figure, learning_figure, roc_figure
from .examples import Example, examples_figure
from .plots import box_figure, difference_figure, echogenicity_figure, p_text, signed
from .style import colour_of, label_of, png_of, styled

NAMES = {
    **METRIC_NAMES,
    "rvd_absolute": MetricName(
        "Relative volume, absolute", "", "{:.1%}", DOWN, "the same without its sign: 0 is right", "|Volume|"
    ),
}
SHOWN_METRICS = (
    "dice",
    "hausdorff_mm",
    "hausdorff95_mm",
    "mean_surface_mm",
    "rvd",
    "rvd_absolute",
    "recall",
    "precision",
    "auc_hard_crop",
    "auc_probability_crop",
    "auc_hard_volume",
    "auc_probability_volume",
    "seconds",
)
RATES = {
    "detection_rate": ("Detected", "share of lesions with Dice above 0.1"),
    "share_under_0.3": ("Dice under 0.3", "share of lesions that would have to be drawn by hand"),
}
PERCENT = ("rvd", "rvd_absolute")
STYLES = ("style.css", "evaluation.css", "study.css")


def study_figures(results: Mapping[str, Any], examples: list[Example]) -> dict[str, bytes]:
    """All figures as PNG, by name."""
    paper = results["reference"]["figures"]["crop"]
    classes = list(results["figures"][results["methods"][0]]["echogenicity"])
    distance = NAMES["hausdorff_mm"]
    drawn: dict[str, Callable[[], Figure]] = {
        "dice-by-method": lambda: box_figure(
            results, "dice", "Dice by method", "Dice", (-0.03, 1.03), paper["dice_median"]
        ),
        "distance-by-method": lambda: box_figure(
            results,
            "hausdorff_mm",
            "Largest distance of the surfaces by method",
            distance.label_with_unit,
            reference=paper["hausdorff_mm"],
        ),
        "dice-by-echogenicity": lambda: echogenicity_figure(results, classes),
        "roc": lambda: roc_figure(results),
        "volumes": lambda: agreement_figure(results),
    }
    if results["comparisons"]:
        drawn["differences"] = lambda: difference_figure(results)
    if any(found["curve"] for found in results["trainings"].values()):
        drawn["learning-curves"] = lambda: learning_figure(results)
    with styled():
        pictures = {name: png_of(draw()) for name, draw in drawn.items()}
        if examples:
            figure = examples_figure(examples, results["methods"], results["examples_by"])
            pictures["examples"] = png_of(figure, palette=False)
    return pictures


def write_study_page(path: Path, results: Mapping[str, Any], pictures: Mapping[str, bytes]) -> None:
    """Write study.html from the content of results.json.

    Args:
        pictures: see `study_figures`.
    """
    page = (
        _environment()
        .get_template("study.html")
        .render(
            results=results,
            study=results["study"],
            methods=results["methods"],
            held_out=results["patients"]["held_out"],
            trained_on=results["patients"]["trained_on"],
            overall={method: results["figures"][method]["all"]["all"] for method in results["methods"]},
            names=NAMES,
            shown_metrics=SHOWN_METRICS,
            rates=RATES,
            groups=_groups(results),
            every=_every_lesion(results),
            claim=[c for c in results["comparisons"] if {c["one"], c["other"]} == {"crop", "full"}],
            figures={name: _image(name, picture) for name, picture in pictures.items()},
            styles=stylesheet(*STYLES),
        )
    )
    path.write_text(page, encoding="utf-8")


def _groups(results: Mapping[str, Any]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """For "echogenicity" and "size": name of the group and figures of each method there."""
    kinds: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for kind in ("echogenicity", "size"):
        of_methods = {method: results["figures"][method][kind] for method in results["methods"]}
        names = dict.fromkeys(name for groups in of_methods.values() for name in groups)
        kinds[kind] = [(name, {m: groups.get(name) for m, groups in of_methods.items()}) for name in names]
    return kinds


def _every_lesion(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each lesion with what each method has made of it."""
    table: dict[tuple[str, str], dict[str, Any]] = {}
    for method in results["methods"]:
        for row in results["lesions"][method]:
            entry = table.setdefault((row["case_id"], row["lesion"]), {"row": row, "dice": {}})
            entry["dice"][method] = row["metrics"] and row["metrics"]["dice"]
    return list(table.values())


def _image(name: str, picture: bytes) -> Markup:
    data = base64.b64encode(picture).decode("ascii")
    return Markup('<img class="plot" alt="{}, simulated data" src="data:image/png;base64,{}">').format(
        name.replace("-", " "), data
    )


def _environment() -> Environment:
    return templates(
        label=label_of,
        colour=colour_of,
        number=_number,
        span=_span,
        difference=_difference,
        percent=_percent,
        percents=_percents,
        p=p_text,
        effect=signed,
        date=_date,
        ratio=_ratio,
    )


def _number(value: float | None, metric: str) -> str:
    return NAMES[metric].number(value)


def _span(values: Sequence[float] | None, metric: str) -> str:
    return MISSING if values is None else " to ".join(_number(value, metric) for value in values)


def _difference(value: float | None, metric: str) -> str:
    """In the unit of the metric; of what is shown in percent, in percentage points."""
    if value is None:
        return MISSING
    if metric in PERCENT:
        return f"{signed(100 * value, 1)} points"
    unit = NAMES[metric].unit
    return f"{signed(value, 1 if unit == 'mm' else 3)} {unit}".strip()


def _percent(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.0f} %"


def _percents(values: Sequence[float] | None) -> str:
    return MISSING if values is None else f"{100 * values[0]:.0f} to {100 * values[1]:.0f} %"


def _ratio(value: float) -> str:
    return "< 0.01" if value < 0.01 else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _date(created: str) -> str:
    return datetime.fromisoformat(created).strftime("%d %B %Y, %H:%M")
