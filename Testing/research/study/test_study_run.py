"""A study from nothing to its page, killed at every step, with steps that take no time."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.research.study.results import KEYS
from CRLMSegmentationLib.research.study.run import run_study
from CRLMSegmentationLib.research.study.settings import METHODS, NETWORKS
from CRLMSegmentationLib.research.study.step_log import read_step_log
from helpers.paths import TESTING
from helpers.study_helpers import FIGURE_NAMES, Killed, StubSteps

SMALL = {"patients": 4, "held_out": 2, "epochs": 6, "bootstrap_draws": 50}
ALL_CALLS = [
    "simulate trained-on",
    "simulate held-out",
    *(f"{step} {method}" for method in NETWORKS for step in ("prepare", "train", "pack")),
    *(f"evaluate {method}" for method in METHODS),
]
ALL_CALLS = [call.replace("train crop+", "train crop-") for call in ALL_CALLS]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run(tmp_path_factory.mktemp("undisturbed") / "s", StubSteps())


def run(out, stubs, **keywords):
    return run_study("demo", out, SMALL, steps=stubs.steps(), **keywords)


def without_times(results):
    """What must be the same for the same seed."""
    kept = {key: value for key, value in results.items() if key not in ("created", "steps")}
    return json.loads(json.dumps(kept))


def test_study_does_each_step_once_and_writes_all_it_promises(tmp_path, stubs):
    told = []
    results = run(tmp_path / "s", stubs, on_progress=lambda *now: told.append(now))
    assert stubs.calls == ALL_CALLS
    assert set(results) == set(KEYS)
    assert json.loads((tmp_path / "s" / "results.json").read_text()) == json.loads(json.dumps(results))
    names = {path.name for path in (tmp_path / "s").iterdir()}
    assert {"study.json", "steps.jsonl", "results.json", "tables.csv", "study.html", "figures"} <= names
    assert results["trainings"]["full"]["patients"] == {"train": 3, "val": 1}
    assert told[-1] == ("Writing the report", 1, 1)


def test_second_run_does_no_step_again_and_finds_the_same(tmp_path, stubs):
    first = run(tmp_path / "s", stubs)
    stubs.calls.clear()
    again = run(tmp_path / "s", stubs)
    # simulating is called to read the patients; it writes none
    assert stubs.calls == ALL_CALLS[:2]
    assert without_times(again) == without_times(first)
    assert again["steps"] == first["steps"]


@pytest.mark.parametrize("call", ALL_CALLS)
def test_killed_study_goes_on_and_ends_like_one_that_was_not(call, tmp_path, undisturbed):
    with pytest.raises(Killed):
        run(tmp_path / "killed", StubSteps(dies_in=call))
    assert not (tmp_path / "killed" / "results.json").exists()
    second = StubSteps()
    resumed = run(tmp_path / "killed", second)
    place = ALL_CALLS.index(call)
    assert second.calls[2:] == ALL_CALLS[max(2, place + (call.startswith("train"))) :]
    assert without_times(resumed) == without_times(undisturbed)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("call", ["simulate held-out", "train crop", "evaluate full", "draw"])
def test_study_ended_by_kill_9_goes_on_as_if_nothing_had_been(call, tmp_path, undisturbed):
    code = (
        "import sys; from pathlib import Path\n"
        "from helpers.study_helpers import StubSteps; from CRLMSegmentationLib.research.study.run import run_study\n"
        f"run_study('demo', Path(sys.argv[1]), {SMALL}, steps=StubSteps(dies_in={call!r}, kills=True).steps())"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], cwd=TESTING, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "s" / "results.json").exists()
    assert without_times(run(tmp_path / "s", StubSteps())) == without_times(undisturbed)


def test_other_settings_are_refused_and_nothing_is_touched(tmp_path, stubs):
    run(tmp_path / "s", stubs)
    before = (tmp_path / "s" / "results.json").read_bytes()
    with pytest.raises(CrlmError, match=r"another study \(seed 0 instead of 3\)"):
        run_study("demo", tmp_path / "s", {**SMALL, "seed": 3}, steps=stubs.steps())
    assert (tmp_path / "s" / "results.json").read_bytes() == before


def test_folder_with_other_things_is_refused(tmp_path, stubs):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CrlmError, match=r"no study\.json"):
        run(tmp_path, stubs)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_damaged_settings_are_told_as_such(tmp_path, stubs):
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(CrlmError, match="damaged"):
        run(tmp_path, stubs)


@pytest.mark.parametrize(
    ("preset", "changes", "methods", "message"),
    [
        ("other", {}, METHODS, "choose one of demo, paper"),
        ("demo", {"patients": 1}, METHODS, "patients must be 2 or more"),
        ("demo", {"held_out": 0}, METHODS, "held out must be 1 or more"),
        ("demo", {}, ["crop", "magic"], "no method magic"),
        ("demo", {}, [], "no method named"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(preset, changes, methods, message, tmp_path):
    with pytest.raises(CrlmError, match=message):
        run_study(preset, tmp_path / "s", changes, methods, steps=StubSteps().steps())
    assert not (tmp_path / "s").exists()


def test_network_that_has_seen_a_held_out_patient_is_refused(tmp_path):
    stubs = StubSteps(leaks=True)
    with pytest.raises(CrlmError, match=r"full was trained on phantom-004, which is held out"):
        run(tmp_path / "s", stubs)
    assert not any(call.startswith("evaluate") for call in stubs.calls)


def test_network_that_does_not_say_on_whom_it_was_trained_is_refused(tmp_path, stubs):
    run(tmp_path / "s", stubs, methods=["crop"])
    (tmp_path / "s" / "models" / "crop" / "model.json").write_text(json.dumps({"variant": "crop", "cases": []}))
    with pytest.raises(CrlmError, match="does not say on which cases"):
        run(tmp_path / "s", stubs, methods=["crop"])


def test_network_of_other_patients_is_refused(tmp_path, stubs):
    run(tmp_path / "s", stubs, methods=["crop"])
    path = tmp_path / "s" / "models" / "crop" / "model.json"
    path.write_text(json.dumps({"variant": "crop", "cases": ["0123456789abcdef"]}))
    with pytest.raises(CrlmError, match="other patients than those of this study"):
        run(tmp_path / "s", stubs, methods=["crop"])


def test_network_that_was_made_anew_is_measured_anew(tmp_path, stubs):
    run(tmp_path / "s", stubs, methods=["crop", "grow-cut"])
    stubs.calls.clear()
    (tmp_path / "s" / "models" / "crop" / "model.json").unlink()
    old = tmp_path / "s" / "evaluations" / "crop" / "lesions.jsonl"
    old.write_text("of the model before")
    run(tmp_path / "s", stubs, methods=["crop", "grow-cut"])
    assert stubs.calls[2:] == ["pack crop", "evaluate crop"]
    assert not old.exists()


def test_evaluation_with_a_failed_lesion_is_tried_again(tmp_path, stubs):
    run(tmp_path / "s", stubs, methods=["grow-cut"])
    path = tmp_path / "s" / "evaluations" / "grow-cut" / "evaluation.json"
    document = json.loads(path.read_text())
    document["data"]["failed"] = [{"case": "phantom-004", "lesion": "Tumour 1", "text": "died"}]
    path.write_text(json.dumps(document))
    stubs.calls.clear()
    run(tmp_path / "s", stubs, methods=["grow-cut"])
    assert stubs.calls[2:] == ["evaluate grow-cut"]


def test_evaluation_of_other_patients_is_refused(tmp_path, stubs):
    run(tmp_path / "s", stubs, methods=["grow-cut"])
    path = tmp_path / "s" / "evaluations" / "grow-cut" / "evaluation.json"
    path.write_text(path.read_text().replace("phantom-004", "phantom-999"))
    with pytest.raises(CrlmError, match="an evaluation of other patients"):
        run(tmp_path / "s", stubs, methods=["grow-cut"])


def test_method_can_be_added_later(tmp_path, stubs):
    run(tmp_path / "s", stubs, methods=["crop"])
    stubs.calls.clear()
    results = run(tmp_path / "s", stubs, methods=["region-growing", "crop"])
    assert stubs.calls[2:] == ["evaluate region-growing"]
    assert results["methods"] == ["crop", "region-growing"]
    assert [(c["one"], c["other"]) for c in results["comparisons"]] == [("crop", "region-growing")]


def test_time_of_each_step_is_summed_over_its_runs(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path / "s", StubSteps(dies_in="train crop"))
    steps = {step["step"]: step for step in run(tmp_path / "s", StubSteps())["steps"]}
    assert steps["train crop"]["runs"] == 2
    assert steps["train full"]["runs"] == 1
    assert all(step["minutes"] >= 0 and step["machines"] and step["versions"] for step in steps.values())


def test_nothing_that_is_written_names_a_place_on_this_machine(tmp_path, stubs):
    run(tmp_path / "s", stubs)
    for name in ("results.json", "tables.csv", "study.html", "study.json", "steps.jsonl"):
        text = (tmp_path / "s" / name).read_text()
        assert str(tmp_path) not in text, name
        assert not re.search(r"[\"'> ](/home|/tmp|/root|/work|[A-Z]:\\)", text), name


def test_step_noted_only_by_half_is_left_out(tmp_path):
    (tmp_path / "steps.jsonl").write_text('{"step": "train crop", "sec')
    assert read_step_log(tmp_path) == []


def test_small_set_with_real_figures_is_published(tmp_path):
    stubs = StubSteps(draws=False)
    run(tmp_path / "s", stubs, publish=tmp_path / "published")
    files = [path for path in (tmp_path / "published").rglob("*") if path.is_file()]
    figures = {f"{name}.png" for name in (*FIGURE_NAMES, "differences", "learning-curves", "examples")}
    assert {path.name for path in files} == {"results.json", "tables.csv", "study.html", *figures}
    assert sum(path.stat().st_size for path in files) < 2e6
