"""Sections that fold away by themselves, once, when their work is done."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.slicer.panel.sections import Sections, checks_title
from CRLMSegmentationLib.slicer.panel.status_strip import MAX_LINES, status_strip
from CRLMSegmentationLib.slicer.rich_text import GREEN, RED
from CRLMSegmentationLib.slicer.workspace.preflight import Check, Level

WELL = [Check("packages", Level.GREEN, ""), Check("model", Level.AMBER, "")]


def test_sections_are_folded_once_and_again_after_another_beginning():
    folding = Sections()
    assert folding.to_fold(False, GREEN, WELL) == []
    assert folding.to_fold(True, GREEN, WELL) == ["sourceButton", "preflightButton"]
    assert folding.to_fold(True, GREEN, WELL) == []
    assert folding.to_fold(False, GREEN, WELL) == []
    assert folding.to_fold(True, GREEN, WELL) == ["sourceButton", "preflightButton"]


def test_source_stays_open_while_its_link_has_failed():
    folding = Sections()
    assert folding.to_fold(True, RED, ()) == []
    assert folding.to_fold(True, GREEN, ()) == ["sourceButton"]


@pytest.mark.parametrize("level", [Level.RED, Level.PENDING])
def test_checks_stay_open_until_none_is_red_or_at_work(level):
    folding = Sections()
    assert folding.to_fold(True, GREEN, [*WELL, Check("disk", level, "")]) == ["sourceButton"]
    assert folding.to_fold(True, GREEN, WELL) == ["preflightButton"]


@pytest.mark.parametrize(
    ("levels", "title"),
    [
        ((), "Checks before the incision"),
        ((Level.GREEN, Level.PENDING), "Checks before the incision: at work"),
        ((Level.GREEN, Level.GREEN), "Checks before the incision: ● all well"),
        ((Level.GREEN, Level.AMBER), "Checks before the incision: ▲ warnings: 1"),
        ((Level.RED, Level.AMBER, Level.RED), "Checks before the incision: ■ 2 failed"),
    ],
)
def test_title_of_the_checks_says_what_has_come_of_them(levels, title):
    assert checks_title([Check("one", level, "") for level in levels]) == title


def test_strip_tells_failed_checks_and_the_most_urgent_first():
    failed = [Check("disk", Level.RED, ""), Check("memory", Level.AMBER, ""), Check("link", Level.RED, "")]
    strip = status_strip(None, None, None, failed)
    assert strip.label == '<span style="color:#ff7b72">■</span> Checks before the incision: disk, link'
    assert strip.label.count("<br>") < MAX_LINES
    assert set(strip.button_texts().values()) == {"○ Link", "○ GPU", "○ Model", "○ Recording"}
