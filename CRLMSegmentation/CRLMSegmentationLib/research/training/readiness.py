"""Checks of cases before training, beyond those of `recording.dataset`, made before anything is written.

An error excludes a case, or one of its lesions, from training; a warning does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import isfinite

import numpy as np

from ...core.box import Box
from ...core.crop import whole_volume_grid
from ...core.errors import VolumeError
from ...core.parallel import local_runner
from ...core.progress import OnProgress
from ...core.tasks import Outcome, TaskNeeds, TaskRunner, results_of, run_tasks
from ...core.volume import Volume
from ...recording.case import CaseLesion
from ...recording.dataset import CaseProblem, CheckedCase
from ..evaluation.statistics import UNKNOWN
from ..evaluation.variations import equivalent_radius_mm
from .preparation import FULL, Preparation
from .samples import image_name
from .split import Patient, held_out_count, too_few

MIN_TRUTH_VOXELS = 20
"""Of the network; a lesion with fewer has no shape."""
SPACING_LIMITS_MM = (0.02, 10.0)
"""Of a recorded voxel: no probe resolves less, and whoever says more has mistaken the unit."""
LEAST_INSONIFIED_SHARE = 0.5
ALL_CASES = "all"
"""In place of the name of a case."""
NEEDS = TaskNeeds(memory_gb=1.0)
"""Of checking one case."""


@dataclass(frozen=True)
class Findings:
    """Result of checking one case.

    Attributes:
        lesions: those that can be trained on.
        facts: echogenicity and diameter in mm of each of them.
        content_sha256: of the voxels.
    """

    bad: tuple[CaseProblem, ...]
    warnings: tuple[CaseProblem, ...]
    lesions: tuple[CaseLesion, ...]
    facts: tuple[tuple[str, float], ...]
    content_sha256: str


@dataclass(frozen=True)
class Readiness:
    """The cases to train on, their patients, and the problems that were found.

    Attributes:
        unsolvable: problems that leaving out cases cannot solve.
    """

    cases: tuple[tuple[CheckedCase, Findings], ...]
    patients: tuple[Patient, ...]
    bad: tuple[CaseProblem, ...]
    warnings: tuple[CaseProblem, ...]
    unsolvable: tuple[CaseProblem, ...]


def check_for_training(
    cases: Sequence[CheckedCase],
    preparation: Preparation,
    on_progress: OnProgress = lambda *_: None,
    runner: TaskRunner | None = None,
) -> Readiness:
    """Check every volume and every lesion, and the cases against each other.

    Args:
        runner: carries out the tasks; None for a pool of `preparation.processes` on this machine.
    """
    done = count(1)

    def tell(_: int, outcome: Outcome[Findings]) -> None:
        on_progress("Checking for training", next(done), len(cases))

    ordered = sorted(cases, key=lambda checked: checked.case_id)
    jobs = [(checked, preparation) for checked in ordered]
    outcomes = run_tasks(runner or local_runner(preparation.processes), check_case, jobs, NEEDS, tell)
    seen = results_of(outcomes, [checked.case_id for checked in ordered])
    pairs = list(zip(ordered, seen))
    usable = [(checked, findings) for checked, findings in pairs if findings.lesions]
    conflicts, of_one_patient = _conflicts(usable)
    left_out = {problem.case for problem in conflicts}
    usable = [(checked, findings) for checked, findings in usable if checked.case_id not in left_out]
    return Readiness(
        cases=tuple(usable),
        patients=(patients := _patients(usable)),
        bad=(*(problem for findings in seen for problem in findings.bad), *conflicts),
        warnings=(*(problem for findings in seen for problem in findings.warnings), *of_one_patient),
        unsolvable=tuple(_against_the_split(patients, preparation)),
    )


def check_case(job: tuple[CheckedCase, Preparation]) -> Findings:
    """Check one case by itself, as a task."""
    with job[0].at_hand() as checked:
        return _check_case(checked, job[1])


def _check_case(checked: CheckedCase, preparation: Preparation) -> Findings:
    volume, labels = checked.read_volume(), checked.truth_labels().array
    unmatched = list(_unmatched_labels(checked, labels, preparation))
    whole = list(_of_volume(volume, preparation)) + ([] if preparation.has_seed else unmatched)
    warnings = unmatched if preparation.has_seed else []
    checks = [_check_lesion(checked, lesion, volume, labels, preparation) for lesion in checked.lesions]
    good = [check for check in checks if check.is_usable and not whole]
    bad = [CaseProblem(checked.case_id, "", text) for text in whole]
    bad += [CaseProblem(checked.case_id, check.lesion.name, check.bad) for check in checks if check.bad]
    if not good and not bad:
        bad = [CaseProblem(checked.case_id, "", "has no lesion that is large enough to train on")]
    warned = [*checked.warnings, *(CaseProblem(checked.case_id, "", text) for text in warnings)]
    warned += [CaseProblem(checked.case_id, check.lesion.name, text) for check in checks for text in check.warnings]
    lesions, facts = (
        tuple(check.lesion for check in good),
        tuple((check.echogenicity, check.diameter_mm) for check in good),
    )
    return Findings(tuple(bad), tuple(warned), lesions, facts, volume.identity.content_sha256)


@dataclass(frozen=True)
class _Lesion:
    """Result of checking one lesion."""

    lesion: CaseLesion
    bad: str = ""
    warnings: list[str] = field(default_factory=list)
    is_usable: bool = False
    diameter_mm: float = 0.0

    @property
    def echogenicity(self) -> str:
        return str(self.lesion.about.get("echogenicity", UNKNOWN))


def _check_lesion(
    checked: CheckedCase, lesion: CaseLesion, volume: Volume, labels: np.ndarray, preparation: Preparation
) -> _Lesion:
    if lesion.label is None or lesion.label < 1:
        return _Lesion(lesion, f"has the label {lesion.label}, which is background; number lesions from 1 on")
    namesakes = [other.name for other in checked.case.lesions if other.label == lesion.label and other is not lesion]
    if namesakes:
        return _Lesion(lesion, f"has the label {lesion.label} as well as {namesakes[0]}; give each lesion its own")
    mask = labels == lesion.label
    box = Box.of_nonempty_mask(mask)
    voxels = np.count_nonzero(mask[box.slices])
    insonified_share = np.count_nonzero(mask[box.slices] & volume.insonified_in(box)) / voxels
    if not insonified_share:
        return _Lesion(
            lesion, "has no reference voxel in the field of view; check that reference and volume belong together"
        )
    network_voxels = voxels * np.prod(volume.spacing_mm) / preparation.spacing_mm**3
    width_mm = max(count * mm for count, mm in zip(box.shape, volume.spacing_mm[::-1]))
    warnings = list(_warnings_on(network_voxels, insonified_share, width_mm, preparation))
    is_usable = preparation.variant == FULL or network_voxels >= MIN_TRUTH_VOXELS
    return _Lesion(lesion, "", warnings, is_usable, _diameter_mm(lesion, mask, volume))


def _warnings_on(
    network_voxels: float, insonified_share: float, width_mm: float, preparation: Preparation
) -> Iterator[str]:
    has_crops = preparation.variant != FULL
    if network_voxels < MIN_TRUTH_VOXELS:
        few = f"has {network_voxels:.0f} voxels at {preparation.spacing_mm:g} mm, fewer than {MIN_TRUTH_VOXELS}"
        yield few + (", so that no crop is cut around it" if has_crops else "")
    if insonified_share < LEAST_INSONIFIED_SHARE:
        yield f"lies in the field of view by {insonified_share:.0%} only"
    if has_crops and width_mm > preparation.crop_size_mm:
        yield f"is {width_mm:.0f} mm wide, more than a crop of {preparation.crop_size_mm:g} mm"


def _diameter_mm(lesion: CaseLesion, mask: np.ndarray, volume: Volume) -> float:
    """Return the diameter that the case states, else that of the sphere with the volume of the ground truth."""
    stated = lesion.about.get("diameter_mm")
    if isinstance(stated, (int, float)) and isfinite(stated) and stated > 0:
        return float(stated)
    return 2 * equivalent_radius_mm(mask, volume)


def _of_volume(volume: Volume, preparation: Preparation) -> Iterator[str]:
    low, high = SPACING_LIMITS_MM
    if volume.spacing_mm.min() < low or volume.spacing_mm.max() > high:
        given = " x ".join(f"{mm:g}" for mm in volume.spacing_mm)
        yield f"has voxels of {given} mm, expected {low:g} to {high:g} mm; check the unit of the spacing"
    elif volume.array.min() == volume.array.max():
        yield f"has the same grey value {volume.array.flat[0]:g} everywhere; export the volume again"
    elif preparation.variant == FULL:
        try:
            whole_volume_grid(volume, preparation.spacing_mm)
        except VolumeError as error:
            yield str(error)


def _unmatched_labels(checked: CheckedCase, labels: np.ndarray, preparation: Preparation) -> Iterator[str]:
    """Yield lesions that are only in the list of the case or only in its ground truth."""
    there = {float(number) for number in np.unique(labels[labels != 0])}
    unlisted = sorted(there - {lesion.label for lesion in checked.case.lesions})
    untrue = [lesion.name for lesion in checked.case.lesions if lesion.label not in there]
    taught = "no crop is cut around" if preparation.has_seed else "the network would be taught that"
    end = "it" if preparation.has_seed else "it is background"
    if unlisted:
        numbers = ", ".join(f"{number:g}" for number in unlisted)
        yield f"has the label {numbers} in its reference, which no lesion has; {taught} {end}; list it, or remove it"
    if untrue:
        yield f"has no reference of {', '.join(untrue)}; {taught} {end}; segment it, or leave the case out"


def _conflicts(pairs: Sequence[tuple[CheckedCase, Findings]]) -> tuple[list[CaseProblem], list[CaseProblem]]:
    """Return the conflicts of cases with earlier ones, as errors and as warnings."""
    bad, warnings = [], []
    first_with: dict[str, CheckedCase] = {}
    first_named: dict[str, CheckedCase] = {}
    for checked, findings in pairs:
        other = first_with.setdefault(findings.content_sha256, checked)
        namesake = first_named.setdefault(image_name(checked.case_id).lower(), checked)
        if namesake is not checked:
            text = f"has the name of {namesake.case_id} but for upper and lower case; give each case its own case_id"
            bad.append(CaseProblem(checked.case_id, "", text))
        if other is checked:
            continue
        if other.patient == checked.patient:
            warnings.append(
                CaseProblem(checked.case_id, "", f"has the same voxels as {other.case_id}, and counts twice")
            )
        else:
            text = (
                f"has the same voxels as {other.case_id}, of another patient; would be in training and validation: "
                "leave one out, or name one patient in both as source.patient"
            )
            bad.append(CaseProblem(checked.case_id, "", text))
    return bad, warnings


def _patients(cases: Sequence[tuple[CheckedCase, Findings]]) -> tuple[Patient, ...]:
    lesions_of: dict[str, list[tuple[str, float]]] = {}
    for checked, findings in cases:
        lesions_of.setdefault(checked.patient, []).extend(findings.facts)
    return tuple(Patient(name, tuple(lesions)) for name, lesions in sorted(lesions_of.items()))


def _against_the_split(patients: Sequence[Patient], preparation: Preparation) -> Iterator[CaseProblem]:
    apart = held_out_count(len(patients), preparation.held_out_share)
    if len(patients) - apart < preparation.folds:
        yield CaseProblem(ALL_CASES, "", too_few(len(patients), preparation.folds, apart))
