"""Sections that fold away by themselves, once, when their work is done."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.slicer.panel.sections import Sections, checks_title
from CRLMSegmentationLib.slicer.panel.status_strip import MAX_LINES, status_strip
from CRLMSegmentationLib.slicer.state import State
from CRLMSegmentationLib.slicer.workspace.check import Check

WELL = [Check("packages", State.OK, ""), Check("model", State.WARNING, "")]


def test_sections_are_folded_once_and_again_after_another_beginning():
    folding = Sections()
    assert folding.to_fold(False, State.OK, WELL) == []
    assert folding.to_fold(True, State.OK, WELL) == ["sourceButton", "preflightButton"]
    assert folding.to_fold(True, State.OK, WELL) == []
    assert folding.to_fold(False, State.OK, WELL) == []
    assert folding.to_fold(True, State.OK, WELL) == ["sourceButton", "preflightButton"]


def test_source_stays_open_while_its_link_has_failed():
    folding = Sections()
    assert folding.to_fold(True, State.ERROR, ()) == []
    assert folding.to_fold(True, State.OK, ()) == ["sourceButton"]


@pytest.mark.parametrize("state", [State.ERROR, State.PENDING])
def test_checks_stay_open_until_none_has_failed_or_is_at_work(state):
    folding = Sections()
    assert folding.to_fold(True, State.OK, [*WELL, Check("disk", state, "")]) == ["sourceButton"]
    assert folding.to_fold(True, State.OK, WELL) == ["preflightButton"]


@pytest.mark.parametrize(
    ("states", "title"),
    [
        ((), "Checks before the incision"),
        ((State.OK, State.PENDING), "Checks before the incision: at work"),
        ((State.OK, State.OK), "Checks before the incision: ● all well"),
        ((State.OK, State.WARNING), "Checks before the incision: ▲ warnings: 1"),
        ((State.ERROR, State.WARNING, State.ERROR), "Checks before the incision: ■ 2 failed"),
    ],
)
def test_title_of_the_checks_says_what_has_come_of_them(states, title):
    assert checks_title([Check("one", state, "") for state in states]) == title


def test_strip_tells_failed_checks_and_the_most_urgent_first():
    failed = [Check("disk", State.ERROR, ""), Check("memory", State.WARNING, ""), Check("link", State.ERROR, "")]
    strip = status_strip(None, None, None, failed)
    assert strip.label == '<span style="color:#ff7b72">■</span> Checks before the incision: disk, link'
    assert strip.label.count("<br>") < MAX_LINES
    assert set(strip.button_texts().values()) == {"○ Link", "○ Computer", "○ Model", "○ Recording"}
