"""What the panel says about a model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from CRLMSegmentationLib.core.crop_format import CHANNELS, CLICK_CHANNELS
from CRLMSegmentationLib.segmentation.models.package import default_model_package
from CRLMSegmentationLib.slicer.panel.model_texts import _lines_of


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        (CHANNELS[:1], "and at the ultrasound alone."),
        (CHANNELS, "and at the map of the seed."),
        (CLICK_CHANNELS, "and at points that correct it."),
    ],
)
def test_what_a_model_is_shown_is_said(channels, said):
    assert _lines_of(replace(default_model_package(), channels=channels))[-1].endswith(said)
