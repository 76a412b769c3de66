"""Names and units of the metrics, and which way is better: the same words on every page."""

from __future__ import annotations

import math
from dataclasses import dataclass

MISSING = "—"
UP, DOWN, ZERO = "higher", "lower", "nearer to 0"


@dataclass(frozen=True)
class MetricName:
    """The name of a metric, its unit and its number format.

    Attributes:
        unit: "" where it has none; a share that is shown in percent has none either.
        pattern: of the bare number.
        better: which way is better.
        about: what it is, in a few words; may hold `{region}`, the voxels over which it is taken.
        short: for narrow columns.
    """

    label: str
    unit: str
    pattern: str
    better: str
    about: str
    short: str

    @property
    def label_with_unit(self) -> str:
        """The label with its unit, such as "Hausdorff distance, mm"."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    def number(self, value: float | None) -> str:
        """Return the value without unit; a dash where there is none."""
        return MISSING if value is None or not math.isfinite(value) else self.pattern.format(value)

    def text(self, value: float | None) -> str:
        """Return the value with its unit."""
        number = self.number(value)
        return f"{number} {self.unit}" if self.unit and number != MISSING else number


_ROC = "area under the ROC curve of the {of}, over {where}"
_MASK, _PROBABILITY = "yes-or-no mask", "network's probabilities"
METRIC_NAMES: dict[str, MetricName] = {
    "dice": MetricName("Dice", "", "{:.3f}", UP, "overlap of mask and ground truth: 1 identical, 0 apart", "Dice"),
    "hausdorff_mm": MetricName(
        "Hausdorff distance", "mm", "{:.1f}", DOWN, "the largest distance between the two surfaces", "HD"
    ),
    "hausdorff95_mm": MetricName(
        "Hausdorff 95 %", "mm", "{:.1f}", DOWN, "95 % of the surfaces lie closer than this", "HD95"
    ),
    "mean_surface_mm": MetricName(
        "Mean surface distance", "mm", "{:.2f}", DOWN, "from each surface to the other", "Surface"
    ),
    "rvd": MetricName(
        "Relative volume", "", "{:+.1%}", ZERO, "volume of the mask against the true one: minus is too small", "Volume"
    ),
    "rvd_absolute": MetricName(
        "Relative volume, absolute", "", "{:.1%}", DOWN, "the same without its sign: 0 is right", "|Volume|"
    ),
    "recall": MetricName("Recall", "", "{:.3f}", UP, "share of the true tumour that was found", "Recall"),
    "precision": MetricName("Precision", "", "{:.3f}", UP, "share of the mask that is tumour", "Precision"),
    "auc_hard": MetricName("ROC area, mask", "", "{:.3f}", UP, _ROC.format(of=_MASK, where="{region}"), "AUC, mask"),
    "auc_probability": MetricName(
        "ROC area, probability", "", "{:.3f}", UP, _ROC.format(of=_PROBABILITY, where="{region}"), "AUC"
    ),
    "auc_hard_crop": MetricName(
        "ROC area, mask, crop", "", "{:.3f}", UP, _ROC.format(of=_MASK, where="the crop"), "AUC, mask, crop"
    ),
    "auc_probability_crop": MetricName(
        "ROC area, probability, crop", "", "{:.3f}", UP, _ROC.format(of=_PROBABILITY, where="the crop"), "AUC, crop"
    ),
    "auc_hard_volume": MetricName(
        "ROC area, mask, volume", "", "{:.3f}", UP, _ROC.format(of=_MASK, where="the full volume"), "AUC, mask, volume"
    ),
    "auc_probability_volume": MetricName(
        "ROC area, probability, volume",
        "",
        "{:.3f}",
        UP,
        _ROC.format(of=_PROBABILITY, where="the full volume, 0 where it did not look"),
        "AUC, volume",
    ),
    "seconds": MetricName("Time", "s", "{:.2f}", DOWN, "of computing, a model being loaded", "Time"),
}
"""By the keys of `core.metrics.METRICS` and `THOROUGH_METRICS`, "rvd_absolute" and "seconds"."""
RATES = {
    "detection_rate": ("Detected", "share of lesions with Dice above 0.1"),
    "share_under_0.3": ("Dice under 0.3", "share of lesions that would have to be drawn by hand"),
}
"""Names and meanings of shares of lesions."""
