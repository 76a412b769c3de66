"""An evaluation whose measurements are tasks: a pool measures the same, and what fails stops nothing else."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from CRLMSegmentationLib.core.errors import WorkerError
from CRLMSegmentationLib.core.parallel import InProcess, LocalPool
from CRLMSegmentationLib.core.tasks import TaskNeeds
from CRLMSegmentationLib.research.evaluation import lesions
from CRLMSegmentationLib.research.evaluation.evaluate import evaluate_method, run_method
from CRLMSegmentationLib.research.evaluation.methods import ABOUT_KEYS, header_of
from CRLMSegmentationLib.research.evaluation.settings import EvaluationSettings
from helpers.evaluation_helpers import write_case

PLAIN = EvaluationSettings(robustness_lesions=0, bootstrap_draws=100, worst=1)
VARIED = EvaluationSettings(robustness_lesions=2, seed_shares=(0, 0.5), gains_db=(10,), grey_factors=(), worst=1)
TIMED = ("seconds", "timings_s", "created")

pytestmark = pytest.mark.usefixtures("undrawn")


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMED}
    return [without_times(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["region-growing", "grow-cut"])
def test_pool_measures_what_one_process_measures(cases_folder, tmp_path, name):
    runners = {"one": InProcess(), "pool": LocalPool(2)}
    for how, runner in runners.items():
        evaluate_method(name, cases_folder, tmp_path / how, VARIED, runner=runner)
    texts = [(tmp_path / how / "evaluation.json").read_text() for how in runners]
    one, pool = (json.dumps(without_times(json.loads(text))) for text in texts)
    assert one == pool
    masks = [sorted((tmp_path / how / "masks").rglob("*.nrrd")) for how in runners]
    assert len(masks[0]) == 3
    assert [mask.read_bytes() for mask in masks[0]] == [mask.read_bytes() for mask in masks[1]]


class BrittleMethod:
    """A method of an evaluation that finds the dark voxels, and fails on cases of some names."""

    takes_points = False
    not_for_clinical_use = "A stub."
    needs = TaskNeeds()

    def __init__(self, *bad):
        self.bad, self.starts, self.versions = bad, 0, {}

    def about(self):
        return {**dict.fromkeys(ABOUT_KEYS), "kind": "model", "name": "stub", "version": "0", "sha256": "0" * 64}

    def header(self, settings):
        return header_of("0" * 64, None, settings)

    @contextmanager
    def opened(self, settings, on_progress):
        self.starts += 1
        yield self

    def answer(self, click):
        for name, error in self.bad:
            if click.lesion == name:
                raise error
        return lesions_answer(click)


def lesions_answer(click):
    from CRLMSegmentationLib.research.evaluation.methods import Answer

    mask = click.volume.array < 80
    return Answer(mask, float(mask.sum()) / 1000, {"grow": 0.1}, "stub")


def evaluated(method, cases, out, skip_bad=False):
    told = []
    try:
        run_method(method, cases, out, PLAIN, skip_bad, lambda *_: None, told.extend)
    except WorkerError as error:
        return str(error), told
    return "", told


@pytest.fixture
def three(tmp_path):
    """Three cases whose lesions have names of their own."""
    for name in ("first", "second", "third"):
        case = write_case(tmp_path / "cases" / name)
        text = (case.folder / "case.json").read_text().replace("Tumour 1", f"lesion of {name}")
        (case.folder / "case.json").write_text(text)
    return tmp_path / "cases"


def test_lesion_that_fails_is_named_and_the_others_are_kept(three, tmp_path):
    method = BrittleMethod(("lesion of second", IndexError("out of range")))
    message, told = evaluated(method, three, tmp_path / "out")
    assert "could not be measured: second lesion of second: a fault of this program" in message
    assert "run the same command again, or leave them out with --skip-bad" in message
    assert [(problem.case, problem.lesion) for problem in told] == [("second", "lesion of second")]
    assert len((tmp_path / "out" / "lesions.jsonl").read_text().splitlines()) == 1 + 2
    assert not (tmp_path / "out" / "evaluation.json").exists()
    assert evaluated(BrittleMethod(), three, tmp_path / "out") == ("", [])
    assert len(json.loads((tmp_path / "out" / "evaluation.json").read_text())["lesions"]) == 3


def test_tables_can_be_had_without_what_fails_but_not_in_silence(three, tmp_path):
    method = BrittleMethod(("lesion of second", IndexError("out of range")))
    message, _ = evaluated(method, three, tmp_path / "out", skip_bad=True)
    assert "the tables leave them out" in message
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert len(document["lesions"]) == 2
    assert document["data"]["left_out"][0]["case"] == "second"


def test_method_whose_worker_has_given_up_is_started_anew_for_the_next(three, tmp_path):
    method = BrittleMethod(("lesion of first", WorkerError("the worker died")))
    message, _ = evaluated(method, three, tmp_path / "out")
    assert "first lesion of first: the worker died" in message
    assert method.starts == 2
    assert len((tmp_path / "out" / "lesions.jsonl").read_text().splitlines()) == 1 + 2


def test_what_fails_everywhere_is_not_tried_a_thousand_times(three, tmp_path, monkeypatch):
    monkeypatch.setattr(lesions, "FAILURES_IN_VAIN", 2)
    names = ("first", "second", "third")
    method = BrittleMethod(*((f"lesion of {name}", WorkerError("no driver")) for name in names))
    message, _ = evaluated(method, three, tmp_path / "out")
    assert message == "nothing could be measured: first: no driver"
    assert method.starts == 2
