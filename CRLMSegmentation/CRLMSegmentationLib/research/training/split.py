"""Split of patients into folds and a held-out set; a patient is never divided.

A patient has one echogenicity and one size, whatever number of lesions: the echogenicity of most of them (of the
rarer class where two are as many, in the order of `HARDEST_FIRST`), and the size class of the largest. Patients
are put in order by echogenicity, then size, then number of lesions, then by lot; and dealt to the folds like
cards. So each class of echogenicity, and each of size in it, falls to every fold as often as to any other, give
or take one patient; and so do all patients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...core.errors import CaseError
from ..evaluation.statistics import UNKNOWN, size_class
from ..evaluation.variations import generator_of

HARDEST_FIRST = ("isoechoic", "hyperechoic", "hypoechoic")


@dataclass(frozen=True)
class Patient:
    """A patient for the split; `lesions` are pairs of echogenicity and diameter in mm."""

    name: str
    lesions: tuple[tuple[str, float], ...]

    @property
    def echogenicity(self) -> str:
        """The echogenicity of the patient's lesions, unknown only if no lesion states one."""
        known = Counter(echogenicity for echogenicity, _ in self.lesions if echogenicity != UNKNOWN)
        return min(known, key=lambda name: (-known[name], _hardness(name))) if known else UNKNOWN

    @property
    def size(self) -> str:
        return size_class(self.largest_mm)

    @property
    def largest_mm(self) -> float:
        return max(diameter_mm for _, diameter_mm in self.lesions)


@dataclass(frozen=True)
class Split:
    """Sorted names of the patients on whom each fold validates, and of the held-out ones."""

    folds: tuple[tuple[str, ...], ...]
    held_out: tuple[str, ...]

    def fold_of(self, patient: str) -> int | None:
        return next((number for number, names in enumerate(self.folds) if patient in names), None)


def held_out_count(patients: int, share: float) -> int:
    """Return the number of held-out patients, at least one if the share is above 0."""
    return max(1, round(share * patients)) if share else 0


def split_patients(patients: Sequence[Patient], folds: int, held_out_share: float, seed: int) -> Split:
    """Assign patients to folds; the same patients and seed give the same folds in any order.

    Raises:
        CaseError: there are fewer patients than folds.
    """
    count = held_out_count(len(patients), held_out_share)
    if len(patients) - count < folds:
        raise CaseError(too_few(len(patients), folds, count))
    lot = generator_of(seed, "split").permutation(len(patients))
    drawn = {patient.name: lot[n] for n, patient in enumerate(sorted(patients, key=lambda patient: patient.name))}
    ordered = sorted(patients, key=lambda p: (_hardness(p.echogenicity), p.size, len(p.lesions), drawn[p.name]))
    names = [patient.name for patient in ordered]
    held_out = {names[(2 * n + 1) * len(names) // (2 * count)] for n in range(count)}
    dealt = [name for name in names if name not in held_out]
    return Split(tuple(tuple(sorted(dealt[fold::folds])) for fold in range(folds)), tuple(sorted(held_out)))


def too_few(patients: int, folds: int, held_out: int) -> str:
    """Return why a split is impossible, and what to do."""
    apart = f", {held_out} of them held out," if held_out else ""
    s = "" if patients == 1 else "s"
    return f"{patients} patient{s}{apart} cannot fill {folds} folds; take fewer with --folds, or more patients"


def _hardness(echogenicity: str) -> tuple[int, str]:
    known = echogenicity in HARDEST_FIRST
    return HARDEST_FIRST.index(echogenicity) if known else len(HARDEST_FIRST), echogenicity
