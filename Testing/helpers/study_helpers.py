"""Rows such as a study would give, drawn: Dice falls with smaller and isoechoic lesions, methods differ a little."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from CRLMSegmentationLib.core.metrics import ROC_FALSE_POSITIVES, THOROUGH_METRICS
from CRLMSegmentationLib.core.volume import Volume, write_volume
from CRLMSegmentationLib.recording.case import Case, CaseLesion, save_case, save_volume_into_case
from CRLMSegmentationLib.recording.dataset import check_cases
from CRLMSegmentationLib.research.evaluation.click_series import click_figures
from CRLMSegmentationLib.research.study.results import Network, results_of
from CRLMSegmentationLib.research.study.settings import BASELINES, METHODS, study_named
from CRLMSegmentationLib.research.study.steps import Steps
from CRLMSegmentationLib.research.training.preparation import Preparation

SKILL = {"full": -0.9, "crop": 0.6, "crop+seed": 1.2, "crop+clicks": 1.3, "grow-cut": 0.9, "region-growing": -0.2}
SECONDS = {"full": 6.0, "crop": 1.1, "crop+seed": 1.2, "crop+clicks": 1.3, "grow-cut": 3.0, "region-growing": 0.6}
FIGURE_NAMES = ("dice-by-method", "distance-by-method", "dice-by-echogenicity", "roc", "volumes")
ECHO_SKILL = {"hypoechoic": 0.6, "isoechoic": -0.8, "hyperechoic": 0.3}


def draw_lesions(patients: int, seed: int = 0) -> list[dict]:
    """One to three lesions of each patient, with what their rows share."""
    rng = np.random.default_rng(seed)
    lesions = []
    for patient in range(patients):
        echo = str(rng.choice(list(ECHO_SKILL), p=[0.52, 0.357, 0.123]))
        for number in range(1, 1 + int(rng.integers(1, 4))):
            diameter_mm = float(np.clip(rng.lognormal(2.8, 0.5), 6, 46))
            name = f"phantom-0-{patient:03d}"
            about = {"echogenicity": echo, "pattern": "homogeneous", "diameter_mm": round(diameter_mm, 1)}
            truth_ml = np.pi / 6 * diameter_mm**3 / 1000
            ease = ECHO_SKILL[echo] + 0.9 * np.log(diameter_mm / 18) + rng.normal(0, 0.5)
            place = {"case_id": name, "patient": name, "lesion": f"Tumour {number}", "about": about}
            lesions.append({**place, "diameter_mm": about["diameter_mm"], "truth_ml": truth_ml, "ease": ease})
    return lesions


def draw_rows(method: str, lesions: list[dict], seed: int = 0) -> list[dict]:
    """The rows of a method; a few lesions are not found at all."""
    rng = np.random.default_rng([seed, METHODS.index(method)])
    return [_draw_row(method, {**lesion}, rng) for lesion in lesions]


def _draw_row(method: str, lesion: dict, rng: np.random.Generator) -> dict:
    ease = lesion.pop("ease") + SKILL[method] + rng.normal(0, 0.6)
    found = ease > -1.6
    dice = float(0.95 / (1 + np.exp(-1.6 * ease - 0.6))) if found else 0.0
    ratio = float(np.exp(rng.normal(-0.1, 0.9 * (1.02 - dice)))) if found else 0.0
    metrics = {**dict.fromkeys(THOROUGH_METRICS), "dice": dice, "rvd": ratio - 1}
    metrics["recall"] = float(np.clip(dice * (1 + rng.normal(0, 0.08)), 0, 1)) if found else 0.0
    curves = None
    if found:
        away_mm = float(lesion["diameter_mm"] * (1.05 - dice) * rng.uniform(0.4, 0.9))
        metrics |= {"hausdorff_mm": away_mm, "hausdorff95_mm": 0.7 * away_mm, "mean_surface_mm": 0.2 * away_mm}
        metrics["precision"] = float(np.clip(dice * (1 + rng.normal(0, 0.08)), 0, 1))
    for region, false in (("crop", 4e-3), ("volume", 4e-4)):
        metrics[f"auc_hard_{region}"] = (metrics["recall"] + 1 - false * (1.1 - dice)) / 2
        if method not in BASELINES:
            metrics[f"auc_probability_{region}"] = 0.7 + 0.3 * dice
    if method not in BASELINES:
        grid = np.array(ROC_FALSE_POSITIVES)
        curves = {
            name: ((grid / scale) / (1 + grid / scale)) ** (1.05 - dice)
            for name, scale in (("crop", 1e-3), ("volume", 1e-4))
        }
        curves = {name: [round(float(x), 4) for x in curve] for name, curve in curves.items()}
    return {
        **lesion,
        "kind": "as recorded",
        "metrics": metrics,
        "roc": curves,
        "detected": dice > 0.1,
        "volume_ml": lesion["truth_ml"] * ratio,
        "confidence": 0.9 if found and method not in BASELINES else None,
        "seconds": float(SECONDS[method] * rng.uniform(0.8, 1.3)),
        "device": "cpu (2 threads)",
        "warnings": [],
        "mask": None,
        "error": None,
    }


def draw_curve(method: str, epochs: int, seed: int = 0) -> list[dict]:
    """The lines of a training's progress."""
    rng = np.random.default_rng([seed, METHODS.index(method)])
    lines = []
    for epoch in range(epochs):
        share = (epoch + 1) / epochs
        dice = 0.75 * (1 - np.exp(-4 * share)) + rng.normal(0, 0.02) + 0.05 * SKILL[method]
        train = -dice + 0.15 + rng.normal(0, 0.02)
        line = {"epoch": epoch, "train_loss": train, "val_loss": train + 0.05 + abs(rng.normal(0, 0.03))}
        lines.append({**line, "dice": float(np.clip(dice, 0, 1)), "lr": 1e-3 * (1 - share), "seconds": 31.0})
    return lines


def draw_document(method: str, lesions: list[dict], cases: list, sha256: str = "0" * 64) -> dict:
    """What of evaluation.json a study reads."""
    rows = [{**row, "clicks": draw_clicks(method, row)} for row in draw_rows(method, lesions)]
    places = [{"case_id": c.case_id, "patient": c.patient, "sha256": c.sha256, "simulated": True} for c in cases]
    return {
        "model": {"name": method, "sha256": sha256, "strokes": "an oracle" if method == "grow-cut" else None},
        "devices": ["cpu (2 threads)"],
        "versions": {"crlm-seg": "0.1.0", "torch": "2.13.0+cpu"},
        "regions": {"auc_hard_crop": "the mask, over the crop"},
        "data": {"cases": places, "left_out": [], "failed": []},
        "clicks": click_figures(rows, 5, 0, 20),
        "lesions": rows,
    }


def draw_clicks(method: str, row: dict) -> list[dict] | None:
    """Clicks that each take away a third of what is missing to a Dice of 1; None of a method that takes none."""
    if method not in ("crop+clicks", "grow-cut"):
        return None
    missing = 1 - row["metrics"]["dice"]
    later = [
        {"kind": "include", "dice": 1 - missing * (2 / 3) ** n, "seconds": 1.0, "changed_far": 0.0} for n in range(5)
    ]
    return [{**later[0], "kind": "seed", "changed_far": None}, *later[1:]]


class Killed(BaseException):
    """As if the process were killed: nothing may catch it."""


class StubSteps:
    """Strict stand-ins for the steps of a study; `calls` names those that were called.

    Args:
        dies_in: name of a call, such as "train crop", in which the process ends, after half of the work.
        kills: whether it ends at once, without a chance to tidy up.
        leaks: whether networks claim to have been trained on held-out patients as well.
        draws: whether figures are stand-ins too.
    """

    def __init__(
        self, dies_in: str | None = None, leaks: bool = False, draws: bool = True, kills: bool = False
    ) -> None:
        self.calls: list[str] = []
        self.dies_in, self.leaks, self.draws, self.kills = dies_in, leaks, draws, kills

    def steps(self) -> Steps:
        names = (field.name for field in fields(Steps))
        return Steps(**{name: getattr(self, name) for name in names if self.draws or name != "draw"})

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self._may_die(name)

    def _may_die(self, name: str) -> None:
        if name == self.dies_in and self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == self.dies_in:
            raise Killed(name)

    def simulate(self, folder, study, numbers, runner, on_progress):
        for number in numbers:
            if number == numbers[len(numbers) // 2]:
                self._called(f"simulate {folder.name}")
            if not (folder / f"phantom-{number:03d}" / "case.json").is_file():
                write_tiny_case(folder / f"phantom-{number:03d}", number)
        return check_cases(folder)[0]

    def prepare(self, variant, cases, dataset, study, runner, on_progress):
        assert dataset.parent.is_dir()
        if (dataset / "manifest.json").is_file():
            return
        dataset.mkdir(exist_ok=True)
        (dataset / "splits.json").write_text(json.dumps([{"train": ["a", "b"], "val": ["c"]}]))
        self._called(f"prepare {variant}")
        hashes = [case.sha256[:16] for case in cases]
        folds = [[case.patient for case in cases[:1]], [case.patient for case in cases[1:]]]
        manifest = {"cases": hashes, "folds": folds, "left_out": [["x", "Tumour 1", "tiny"]]}
        (dataset / "manifest.json").write_text(json.dumps(manifest))

    def train(self, dataset, study, device, runner, on_progress):
        assert (dataset / "manifest.json").is_file()
        results = dataset / "results" / "Dataset511" / "Trainer__Plans__3d_fullres"
        fold = results / "fold_0"
        fold.mkdir(parents=True, exist_ok=True)
        done = len((fold / "progress.jsonl").read_text().splitlines()) if (fold / "progress.jsonl").is_file() else 0
        for line in draw_curve(dataset.name.replace("-", "+"), study.epochs)[done:]:
            if line["epoch"] == study.epochs // 2 and not done:
                self._called(f"train {dataset.name}")
            with (fold / "progress.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
        return results

    def pack(self, results, out, variant):
        self._called(f"pack {variant}")
        dataset = results.parents[2]
        cases = json.loads((dataset / "manifest.json").read_text())["cases"]
        if self.leaks:
            held_out = dataset.parents[1] / "patients" / "held-out"
            cases.append(check_cases(held_out)[0][0].sha256[:16])
        out.mkdir(exist_ok=True)
        (out / "model.json").write_text(json.dumps({"variant": variant, "cases": cases}))

    def load(self, folder):
        known = json.loads((folder / "model.json").read_text())
        return SimpleNamespace(
            name=f"study-{folder.name}",
            version="1",
            sha256=hashlib.sha256((folder / "model.json").read_bytes()).hexdigest(),
            region="volume" if known["variant"] == "full" else "crop",
            channels=Preparation(known["variant"]).channels,
            crop_size_mm=80.0,
            spacing_mm=2.0,
            trained_on={"simulated": True, "cases": known["cases"]},
        )

    def evaluate_network(self, model, cases, out, study, runner, on_progress):
        assert out.is_dir()
        self._evaluate(out.name.replace("crop-", "crop+"), cases, out, self.load(model).sha256)

    def evaluate_baseline(self, method, cases, out, study, runner, on_progress):
        assert out.is_dir()
        self._evaluate(method, cases, out, "1" * 64)

    def draw(self, results, documents, held_out, folders):
        assert set(documents) == set(folders) == set(results["methods"])
        self._may_die("draw")
        return dict.fromkeys(FIGURE_NAMES, b"PNG")

    def _evaluate(self, method, cases, out, sha256):
        self._called(f"evaluate {method}")
        checked = check_cases(cases)[0]
        lesions = []
        for number, case in enumerate(checked):
            (lesion,) = case.lesions
            place = {"case_id": case.case_id, "patient": case.patient, "lesion": lesion.name, "about": lesion.about}
            size = {"diameter_mm": lesion.about["diameter_mm"], "truth_ml": 0.5}
            lesions.append({**place, **size, "ease": 0.2 * number})
        document = draw_document(method, lesions, checked, sha256)
        for row, case in zip(document["lesions"], checked):
            write_mask(out, row, case)
        (out / "evaluation.json").write_text(json.dumps(document))


def write_tiny_case(folder: Path, number: int) -> None:
    """A dark ball in speckle, in 2 mm voxels, of 30 mm or less."""
    rng = np.random.default_rng(number)
    k, j, i = np.indices((24, 24, 24))
    ball = (k - 12) ** 2 + (j - 12) ** 2 + (i - 12) ** 2 < (4 + number % 4) ** 2
    matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    array = (np.where(ball, 60, 120) + rng.normal(0, 15, ball.shape)).clip(0, 255).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    entry = save_volume_into_case(folder, "volume", Volume(array, matrix, "recvol_Reference", 100.0))
    write_volume(Volume(ball.astype(np.uint8), matrix), folder / "truth.nrrd")
    about = {"echogenicity": list(ECHO_SKILL)[number % 3], "pattern": "homogeneous", "diameter_mm": 16.0 + number % 4}
    lesions = (CaseLesion("Tumour 1", (24.0, 24.0, 24.0), 1, about),)
    save_case(Case(folder, folder.name, (entry,), lesions, "truth.nrrd", source={"kind": "simulated"}))


def write_mask(out: Path, row: dict, case) -> None:
    """The truth itself as the mask of a row."""
    volume = case.read_volume()
    path = Path("masks") / row["case_id"] / "Tumour-1.nrrd"
    (out / path).parent.mkdir(parents=True, exist_ok=True)
    truth = case.case.truth_of(case.lesions[0], volume)
    write_volume(Volume(truth.astype(np.uint8), volume.ijk_to_ras), out / path)
    row["mask"] = path.as_posix()


def draw_results(out: Path, patients: int = 8, methods: tuple = METHODS, change=lambda rows: rows) -> dict:
    """results.json of drawn rows.

    Args:
        change: of the rows of each method, before anything is counted.
    """
    lesions = draw_lesions(patients)
    about: dict[str, list] = {}
    for lesion in lesions:
        about.setdefault(lesion["case_id"], []).append(SimpleNamespace(about=lesion["about"]))
    cases = [SimpleNamespace(case_id=k, patient=k, sha256=k * 3, lesions=v) for k, v in about.items()]
    model = {"name": "n", "version": "1", "sha256": "a" * 64, "region": "crop", "channels": ("ultrasound",)}
    package = SimpleNamespace(
        **model, crop_size_mm=80.0, spacing_mm=2.0, trained_on={"simulated": True, "cases": ["a"]}
    )
    counts = {"train": 21, "val": 3}
    trainings = {m: Network(package, draw_curve(m, 10), counts, counts) for m in methods if m not in BASELINES}
    documents = {method: draw_document(method, lesions, cases) for method in methods}
    for document in documents.values():
        document["lesions"] = change(document["lesions"])
    study = study_named("demo", {"bootstrap_draws": 50})
    return json.loads(json.dumps(results_of(study, out, cases, cases, trainings, documents)))
