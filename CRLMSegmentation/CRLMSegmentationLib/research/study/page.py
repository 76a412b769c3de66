"""The page of a study, and its figures as files: everything inside, nothing fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from ...reports.metric_names import METRIC_NAMES, RATES
from ...reports.templates import plot, render, stylesheet
from .curves import agreement_figure, learning_figure, roc_figure
from .examples import Example, examples_figure
from .plots import box_figure, difference_figure, echogenicity_figure
from .style import colour_of, label_of, png_of, styled

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
STYLES = ("page.css", "evaluation.css", "study.css")


def study_figures(results: Mapping[str, Any], examples: list[Example]) -> dict[str, bytes]:
    """All figures as PNG, by name."""
    paper = results["reference"]["figures"]["crop"]
    classes = list(results["figures"][results["methods"][0]]["echogenicity"])
    distance = METRIC_NAMES["hausdorff_mm"]
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
        figures = {name: png_of(draw()) for name, draw in drawn.items()}
        if examples:
            figure = examples_figure(examples, results["methods"], results["examples_by"])
            figures["examples"] = png_of(figure, palette=False)
    return figures


def write_study_page(path: Path, results: Mapping[str, Any], figures: Mapping[str, bytes]) -> None:
    """Write study.html from the content of results.json.

    Args:
        figures: see `study_figures`.
    """
    page = render(
        "study.html",
        results=results,
        study=results["study"],
        methods=results["methods"],
        held_out=results["patients"]["held_out"],
        trained_on=results["patients"]["trained_on"],
        overall={method: results["figures"][method]["all"]["all"] for method in results["methods"]},
        names=METRIC_NAMES,
        shown_metrics=SHOWN_METRICS,
        rates=RATES,
        clicked={method: clicks for method, clicks in results["clicks"].items() if clicks},
        groups=_groups(results),
        every=_every_lesion(results),
        claim=[c for c in results["comparisons"] if {c["one"], c["other"]} == {"crop", "full"}],
        figures={name: plot(image, f"{name.replace('-', ' ')}, simulated data") for name, image in figures.items()},
        style=stylesheet(*STYLES),
        label=label_of,
        colour=colour_of,
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


def _figure(name: str, image: bytes) -> Markup:
    return plot(image, f"{name.replace('-', ' ')}, simulated data")
