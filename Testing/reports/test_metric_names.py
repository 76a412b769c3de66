"""One name for each measure, on every page."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.core.metrics import METRICS, THOROUGH_METRICS
from CRLMSegmentationLib.reports.metric_names import METRIC_NAMES, MISSING


def test_every_measure_has_a_name_and_no_two_the_same():
    assert set(METRIC_NAMES) == {*METRICS, *THOROUGH_METRICS, "rvd_absolute", "seconds"}
    assert len({name.label for name in METRIC_NAMES.values()}) == len(METRIC_NAMES)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("dice", 0.87654, "0.877"),
        ("hausdorff_mm", 17.06, "17.1 mm"),
        ("rvd", -0.125, "-12.5%"),
        ("seconds", 0.0381, "0.04 s"),
        ("hausdorff95_mm", None, MISSING),
        ("hausdorff95_mm", float("nan"), MISSING),
    ],
)
def test_value_is_shown_with_its_unit(key, value, text):
    assert METRIC_NAMES[key].text(value) == text


def test_column_heads_hold_the_unit():
    assert METRIC_NAMES["mean_surface_mm"].label_with_unit == "Mean surface distance, mm"
    assert METRIC_NAMES["dice"].label_with_unit == "Dice"
