"""Prepare an nnU-Net dataset of cases, split by patient: whole volumes, or crops around jittered seeds.

The same cases and `Preparation` give the same files, whatever the number of processes. See `manifest` for where
they lie. A dataset is there when its manifest is; what a killed run has left is removed by the next one.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from ...core.environment import versions
from ...core.errors import CaseError, CrlmError
from ...core.hashing import sha256_of
from ...core.json_files import read_json
from ...core.output_files import make_folder
from ...core.parallel import local_runner
from ...core.progress import OnProgress
from ...core.tasks import Outcome, TaskNeeds, TaskRunner, results_of, run_tasks
from ...recording.dataset import CaseProblem, CheckedCase
from .manifest import (
    DATASET_JSON,
    IMAGES,
    LABELS,
    MANIFEST,
    RAW,
    SPLITS,
    UNDER_WAY,
    CaseEntry,
    ImageEntry,
    Manifest,
    raw_folder,
    read_manifest,
    write_json,
    write_manifest,
)
from .nnunet_raw import dataset_json, write_case_images
from .preparation import DATASET_NAME, Preparation
from .readiness import Readiness, check_for_training
from .split import Split, split_patients

OnProblems = Callable[[Sequence[CaseProblem]], None]
NEEDS = TaskNeeds(memory_gb=1.0)
"""Of writing the images of one case."""


def prepare_dataset(
    cases: Sequence[CheckedCase],
    out: Path,
    preparation: Preparation,
    on_progress: OnProgress = lambda *_: None,
    *,
    problems: Sequence[CaseProblem] = (),
    skip_bad: bool = False,
    on_problems: OnProblems = lambda problems: None,
    on_warnings: OnProblems = lambda warnings: None,
    runner: TaskRunner | None = None,
) -> Manifest:
    """Write a dataset, unless the same one exists already.

    Args:
        cases, problems: as `recording.dataset.check_cases` gives them.
        skip_bad: leave out the cases and lesions that cannot be trained on.
        on_problems: told all that is bad, once, before anything is written; see `dataset.table_of`.
        on_warnings: receives the problems that exclude nothing.
        runner: carries out the tasks; None for a pool of `preparation.processes` on this machine.

    Raises:
        CaseError: a case cannot be trained on, or there are too few patients.
        CrlmError: the folder holds another dataset, or something else.
    """
    if skip_bad or not problems:
        there = prepared_before(cases, out, preparation)
        if there is not None:
            return there
    _check_place(out)
    runner = runner or local_runner(preparation.processes)
    readiness = check_for_training(cases, preparation, on_progress, runner)
    bad = [*problems, *readiness.bad, *readiness.unsolvable]
    if bad:
        on_problems(bad)
    if readiness.warnings:
        on_warnings(readiness.warnings)
    if readiness.unsolvable or (bad and not skip_bad):
        raise CaseError(_refusal(bad, skip_bad, bool(readiness.unsolvable)))
    split = split_patients(readiness.patients, preparation.folds, preparation.held_out_share, preparation.seed)
    _begin(out, preparation)
    images = _write_images(readiness, split, out, preparation, on_progress, runner)
    manifest = _manifest(readiness, split, images, sorted(checked.sha256 for checked in cases), bad, preparation)
    return _finish(manifest, out, preparation)


def prepared_before(cases: Sequence[CheckedCase], out: Path, preparation: Preparation) -> Manifest | None:
    """Return the manifest of the same cases and settings in a folder, None if there is none.

    Raises:
        CrlmError: it is another one; says in what.
    """
    if not (out / MANIFEST).is_file():
        return None
    manifest = read_manifest(out)
    wanted = preparation.result_settings
    known = {**dict.fromkeys(wanted), **manifest.preparation, "labels_together": manifest.labels_together}
    differences = [
        f"{name} {was} instead of {wanted.get(name)}" for name, was in known.items() if was != wanted.get(name)
    ]
    given, now = Counter(manifest.given), Counter(checked.sha256 for checked in cases)
    if given != now:
        gone, new = (given - now).total(), (now - given).total()
        differences.append(f"cases: {gone} of it are not among these, {new} of these not in it")
    if differences:
        raise CrlmError(f"{out} holds another dataset ({'; '.join(differences)}); choose another folder with --out")
    return manifest


def _refusal(bad: Sequence[CaseProblem], skip_bad: bool, is_unsolvable: bool) -> str:
    """Return the reasons for a refusal in one line, those that leaving out cases cannot solve last."""
    if is_unsolvable and (skip_bad or len(bad) == 1):
        return bad[-1].text
    place = " ".join(filter(None, (bad[0].case, bad[0].lesion)))
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    end = "correct them" if is_unsolvable else "correct them, or leave them out with --skip-bad"
    return f"some cases cannot be trained on: {place}: {bad[0].text}{more}; {end}"


def _check_place(out: Path) -> None:
    """Raise if a folder contains files other than those of an unfinished preparation."""
    taken = [name for name in (RAW, SPLITS) if (out / name).exists()]
    if taken and not any((out / name).is_file() for name in (UNDER_WAY, MANIFEST)):
        raise CrlmError(f"{out} holds {taken[0]}, which is of no dataset; choose another folder with --out")


def _begin(out: Path, preparation: Preparation) -> None:
    """Remove an unfinished preparation, and mark that a new one has started."""
    make_folder(out)
    mark = out / UNDER_WAY
    if mark.is_file():
        begun = read_json(mark, advice=f"remove {mark.name} and {RAW}, or choose another folder with --out")
        for name in begun if isinstance(begun, list) else ():
            if isinstance(name, str) and DATASET_NAME.fullmatch(name):
                shutil.rmtree(raw_folder(out, name), ignore_errors=True)
        (out / SPLITS).unlink(missing_ok=True)
    write_json(mark, [preparation.dataset_name])
    for name in (IMAGES, LABELS):
        (raw_folder(out, preparation.dataset_name) / name).mkdir(parents=True)


def _write_images(
    readiness: Readiness,
    split: Split,
    out: Path,
    preparation: Preparation,
    on_progress: OnProgress,
    runner: TaskRunner,
) -> list[ImageEntry]:
    raw = raw_folder(out, preparation.dataset_name)
    learned = [(c, found.lesions, preparation, raw) for c, found in readiness.cases if c.patient not in split.held_out]
    done = count(1)

    def tell(_: int, outcome: Outcome[list[ImageEntry]]) -> None:
        on_progress("Writing images", next(done), len(learned))

    runner.check_folder(raw)
    outcomes = run_tasks(runner, write_case_images, learned, NEEDS, tell)
    written = results_of(outcomes, [checked.case_id for checked, *_ in learned])
    return [entry for entries in written for entry in entries]


def _manifest(
    readiness: Readiness,
    split: Split,
    images: Sequence[ImageEntry],
    given: Sequence[str],
    bad: Sequence[CaseProblem],
    preparation: Preparation,
) -> Manifest:
    patients = {patient.name: patient for patient in readiness.patients}
    names: dict[str, list[str]] = {}
    for image in images:
        names.setdefault(image.case_id, []).append(image.name)
    entries = [
        CaseEntry(
            case_id=checked.case_id,
            patient=checked.patient,
            sha256=checked.sha256,
            simulated=checked.simulated,
            echogenicity=patients[checked.patient].echogenicity,
            size=patients[checked.patient].size,
            fold=split.fold_of(checked.patient),
            lesions=tuple(lesion.name for lesion in found.lesions),
            images=tuple(names.get(checked.case_id, ())),
        )
        for checked, found in readiness.cases
    ]
    return Manifest(
        preparation=preparation.result_settings,
        versions=versions(),
        given=given,
        cases=[entry for entry in entries if entry.fold is not None],
        held_out=[entry for entry in entries if entry.fold is None],
        images=images,
        folds=split.folds,
        left_out=[(p.case, p.lesion, p.text) for p in bad],
        remarks=[(p.case, p.lesion, p.text) for p in readiness.warnings],
        files={},
    )


def _finish(manifest: Manifest, out: Path, preparation: Preparation) -> Manifest:
    """Write the files that belong to no image, and the manifest at the end."""
    described = raw_folder(out, preparation.dataset_name) / DATASET_JSON
    write_json(described, dataset_json(manifest, preparation))
    write_json(out / SPLITS, manifest.splits)
    files = {path.relative_to(out).as_posix(): sha256_of(path) for path in (described, out / SPLITS)}
    write_manifest(replace(manifest, files=files), out)
    (out / UNDER_WAY).unlink()
    return read_manifest(out)
