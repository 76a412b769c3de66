"""Random acts upon a workspace, and what must hold after each of them.

In a normal run a few hundred acts over several seeds. For more, set

    CRLM_STRESS_ACTS=3000 CRLM_STRESS_SEEDS=1,2,3 pytest Testing/slicer/workspace/test_workspace_stress.py

A failure names the seed and a shortened list of acts. To see these again, give them in CRLM_STRESS_LIST, as printed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import pytest
from CRLMSegmentationLib.segmentation import incoming
from CRLMSegmentationLib.slicer.workspace import save as saving
from helpers.stress_acts import KNOWN_TOOLS, Act, StressedWorkspace, random_acts
from helpers.stress_checks import MAX_LIVE_VOLUMES, live_volumes, violations

ACTS = int(os.environ.get("CRLM_STRESS_ACTS", "120"))
SEEDS = [int(seed) for seed in os.environ.get("CRLM_STRESS_SEEDS", "1,2,3").split(",")]
LISTED = os.environ.get("CRLM_STRESS_LIST", "")
MAX_RUNS = 60
"""To shorten a list of acts; each leaves some of them out."""


@pytest.fixture(autouse=True)
def without_pages(monkeypatch):
    """No page of a report is written: it takes a process of its own, and seconds."""
    monkeypatch.setattr(saving, "missing", lambda *_: ["left out"])


@pytest.fixture(autouse=True)
def few_tools_are_known(monkeypatch):
    """So that transforms are forgotten, which takes more than a hundred others otherwise."""
    monkeypatch.setattr(incoming, "MAX_TOOLS", KNOWN_TOOLS)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_looks_current_is_current_whatever_is_done(seed, tmp_path):
    before = live_volumes()
    acts = random_acts(seed, ACTS)
    failed = first_violation(acts, tmp_path)
    if failed is not None:
        number, what = failed
        shortest = shortened(acts[: number + 1], what, tmp_path)
        listed = " ".join(map(str, shortest))
        pytest.fail(f"seed {seed}, act {number} of {ACTS}: {what}\nCRLM_STRESS_LIST='{listed}'")
    assert live_volumes() - before <= MAX_LIVE_VOLUMES


@pytest.mark.skipif(not LISTED, reason="CRLM_STRESS_LIST names no acts")
def test_listed_acts(tmp_path):
    failed = first_violation(parsed(LISTED), tmp_path)
    assert failed is None, failed


def test_acts_of_a_seed_are_always_the_same_and_read_back():
    acts = random_acts(5, 50)
    assert acts == random_acts(5, 50) != random_acts(6, 50)
    assert parsed(" ".join(map(str, acts))) == acts


def test_a_violation_is_found_and_shortened(tmp_path, monkeypatch):
    """Where the check of seeds is broken, the stress finds it, and needs three acts to show it."""
    from CRLMSegmentationLib.slicer.scene import staleness

    monkeypatch.setattr(staleness, "_is_clicked_there", lambda segment, seed, points: True)
    acts = [Act(name, 4) for name in ("pause", "next_volume_of_the_current_device", "new_volume", "pause")]
    acts += [Act(name, 4) for name in ("place_seed", "rename", "segment_and_answer", "pause", "unplace_seed")]
    number, what = first_violation(acts, tmp_path)
    assert "its seed is not placed" in what
    names = [act.name for act in shortened(acts[: number + 1], what, tmp_path)]
    assert names == ["new_volume", "place_seed", "segment_and_answer", "unplace_seed"]


def first_violation(acts: Sequence[Act], folder) -> tuple[int, str] | None:
    """Number of the first act after which something is wrong, and what; None where nothing is."""
    workspace = StressedWorkspace(folder)
    try:
        for number, act in enumerate(acts):
            workspace.do(act)
            found = violations(workspace)
            if found:
                return number, f"{act}: {found[0]}"
    finally:
        workspace.close()
    return None


def shortened(acts: Sequence[Act], what: str, folder) -> list[Act]:
    """As few of the acts as still lead to a violation of the same kind; parts are left out by halves, then smaller."""
    kept, size, runs = list(acts), max(1, len(acts) // 2), 0
    while size and runs < MAX_RUNS:
        start = 0
        while start < len(kept) and runs < MAX_RUNS:
            fewer, runs = kept[:start] + kept[start + size :], runs + 1
            failed = first_violation(fewer, folder)
            if failed is not None and kind_of(failed[1]) == kind_of(what):
                kept = fewer[: failed[0] + 1]
            else:
                start += size
        size //= 2
    return kept


def kind_of(what: str) -> str:
    """A violation without the act, the names and the numbers in it."""
    return re.sub(r"[\d.\[\]-]+|Tumour \d+", "#", what.partition(": ")[2])


def parsed(listed: str) -> list[Act]:
    pairs = (item.rpartition(":") for item in listed.split())
    return [Act(name, int(draw)) for name, _colon, draw in pairs]
