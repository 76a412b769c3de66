"""Summary of a dataset as a table for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..evaluation.statistics import ECHOGENICITIES, UNKNOWN
from .manifest import CaseEntry, Manifest


def summary_of(manifest: Manifest) -> list[str]:
    """Return lines with patients by echogenicity, lesions and images, of each fold and in all."""
    groups = {f"fold {n}": [c for c in manifest.cases if c.fold == n] for n in range(len(manifest.folds))}
    groups |= {"held out": list(manifest.held_out)} if manifest.held_out else {}
    groups["all"] = [case for group in groups.values() for case in group]
    kinds = sorted({case.echogenicity for case in groups["all"]}, key=_place_of)
    rows = [
        ("", "patients", *kinds, "lesions", "images"),
        *(_row(name, cases, kinds) for name, cases in groups.items()),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]


def _place_of(echogenicity: str) -> tuple[bool, int, str]:
    known = echogenicity in ECHOGENICITIES
    return echogenicity == UNKNOWN, ECHOGENICITIES.index(echogenicity) if known else len(ECHOGENICITIES), echogenicity


def _row(name: str, cases: Sequence[CaseEntry], kinds: Sequence[str]) -> tuple[str, ...]:
    of_patient = {case.patient: case.echogenicity for case in cases}
    counts = Counter(of_patient.values())
    lesions, images = (sum(len(getattr(case, part)) for case in cases) for part in ("lesions", "images"))
    return name, *(str(n) for n in (len(of_patient), *(counts[kind] for kind in kinds), lesions, images))
