"""One HTML page of an evaluation: tables, plots, worst lesions; everything inside, nothing fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from ...core.metrics import FAR_FROM_CLICK_MM, THOROUGH_METRICS
from ...reports.metric_names import METRIC_NAMES, RATES
from ...reports.templates import data_uri, plot, render, stylesheet
from .document import warnings_of
from .methods import SEMIAUTOMATIC
from .plots import box_plot, calibration_plot, clicks_plot, curve_plot

if TYPE_CHECKING:
    from ...recording.dataset import CheckedCase

FIGURE_DPI = 100
METRICS = {key: METRIC_NAMES[key] for key in (*THOROUGH_METRICS, "seconds")}
STYLES = ("page.css", "evaluation.css")
GROUP_METRICS = ("dice", "hausdorff95_mm", "mean_surface_mm", "rvd", "recall", "precision")
LESION_METRICS = {
    "dice": "{:.2f}",
    "hausdorff95_mm": "{:.1f}",
    "hausdorff_mm": "{:.1f}",
    "mean_surface_mm": "{:.1f}",
    "rvd": "{:+.0%}",
    "recall": "{:.2f}",
    "precision": "{:.2f}",
}
"""Of the table of every lesion, with patterns for narrow columns."""
CURVES = {
    "seed share": ("Seed moved, radii", "seed away from the centre, in radii of the lesion"),
    "seed mm": ("Seed moved, mm", "seed away from the centre, mm"),
    "gain dB": ("Gain, dB", "gain added to the grey values, dB"),
    "grey factor": ("Grey factor", "grey values multiplied by"),
}
DATA_NOTES = {
    "all": "simulated data",
    "some": "some of it simulated data",
    "none": "recorded data",
    "unknown": "origin of the data not stated",
}


def worst_figures(
    document: Mapping[str, Any],
    cases: Mapping[str, CheckedCase],
    out: Path,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[bytes | None]:
    """Three slices of each of the worst lesions, as PNG; None where its mask is not there.

    Args:
        out: folder of the evaluation, in which the masks lie.
    """
    from ...reports.planes import DrawnLesion
    from ...reports.slices import three_slices
    from .lesions import read_mask

    rows = {(row["case_id"], row["lesion"]): row for row in document["lesions"]}
    figures: list[bytes | None] = []
    for number, key in enumerate(map(tuple, document["worst"]), 1):
        row, checked = rows[key], cases[key[0]]
        on_progress("Drawing the worst", number, len(document["worst"]))
        if not row["mask"] or not (out / row["mask"]).is_file():
            figures.append(None)
            continue
        lesion = next(lesion for lesion in checked.lesions if lesion.name == key[1])
        seed = np.array(row["seed_ras_mm"])
        mask = read_mask(out / row["mask"])
        with checked.at_hand() as local:
            volume = local.case.volume()
            shown = DrawnLesion(volume, mask, seed, row["crop_size_mm"], local.truth_of(lesion, volume))
        figures.append(three_slices(shown, FIGURE_DPI))
    return figures


def write_evaluation_page(path: Path, document: Mapping[str, Any], figures: Sequence[bytes | None]) -> None:
    """Write evaluation.html from the content of evaluation.json.

    Args:
        figures: PNG of the worst lesions, in the order of `document["worst"]`.
    """
    rows = {(row["case_id"], row["lesion"]): row for row in document["lesions"]}
    trained_on = document["data"]["trained_on"] or ()
    worst = [{"row": rows[tuple(key)], "image": p and data_uri(p)} for key, p in zip(document["worst"], figures)]
    page = render(
        "evaluation.html",
        document=document,
        overall=document["figures"]["all"]["all"],
        note=DATA_NOTES[document["simulated"]] + (", in part trained on" if trained_on else ""),
        trained_on=trained_on,
        warnings=warnings_of(document),
        method="method" if document["model"]["kind"] == SEMIAUTOMATIC else "model",
        metrics=METRICS,
        rates=RATES,
        group_metrics=GROUP_METRICS,
        lesion_metrics=LESION_METRICS,
        curves={kind: texts for kind, texts in CURVES.items() if document["robustness"][kind]},
        plots=_plots(document),
        worst=worst,
        far_mm=FAR_FROM_CLICK_MM,
        style=stylesheet(*STYLES),
    )
    path.write_text(page, encoding="utf-8")


def _plots(document: Mapping[str, Any]) -> dict[str, Markup]:
    rows = [row for row in document["lesions"] if row["metrics"]]
    plots = {
        "dice": _svg_plot(box_plot(_groups(document, rows, "dice"), "Dice", (-0.02, 1.02)), "Dice by group"),
        "surface": _svg_plot(
            box_plot(_groups(document, rows, "hausdorff95_mm"), METRICS["hausdorff95_mm"].label_with_unit),
            "HD95 by group",
        ),
    }
    if document["clicks"]:
        plots["clicks"] = _svg_plot(clicks_plot(document["clicks"]), "Dice against the number of clicks")
    for kind, (_, label) in CURVES.items():
        if document["robustness"][kind]:
            plots[kind] = _svg_plot(curve_plot(document["robustness"][kind], label), f"Dice against: {label}")
    found = [row for row in rows if row["confidence"] is not None]
    if found:
        pairs = [row["confidence"] for row in found], [row["metrics"]["dice"] for row in found]
        plots["calibration"] = _svg_plot(
            calibration_plot(*pairs, document["calibration"]["bins"]), "Confidence against Dice"
        )
    return plots


def _groups(
    document: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], metric: str
) -> list[tuple[str, list[float]]]:
    """All lesions, then each echogenicity and size class."""
    from .statistics import UNKNOWN, size_class

    def values(members: Sequence[Mapping[str, Any]]) -> list[float]:
        return [row["metrics"][metric] for row in members if row["metrics"][metric] is not None]

    groups = [("all lesions", values(rows))]
    for name in document["figures"]["echogenicity"]:
        members = [row for row in rows if str(row["about"].get("echogenicity", UNKNOWN)) == name]
        groups.append(("echogenicity unknown" if name == UNKNOWN else name, values(members)))
    for name in document["figures"]["size"]:
        groups.append((name, values([row for row in rows if size_class(row["diameter_mm"]) == name])))
    return groups


def _svg_plot(text: str, about: str) -> Markup:
    return plot(text.encode(), about, "svg+xml")
