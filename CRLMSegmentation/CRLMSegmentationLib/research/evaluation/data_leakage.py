"""Data leakage: whether a model is measured on cases that it was trained on.

A package says it by the first digits of the hashes of its cases: trained_on.cases, see `dataset.SHORT_HASH`. The hash
of a case changes with anything in it, so that a renamed case is found, and a changed one is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ...core.errors import CaseError
from ...recording.dataset import CheckedCase, short_hashes


def trained_on(about: Mapping[str, Any], cases: Sequence[CheckedCase]) -> list[str] | None:
    """Return the cases that a method was trained on; None if it does not state them.

    Args:
        about: see `methods.Method.about`.
    """
    known = (about["trained_on"] or {}).get("cases")
    if not isinstance(known, (list, tuple)):
        return None
    seen = set(short_hashes(map(str, known)))
    return [case.case_id for case, sha256 in zip(cases, short_hashes(c.sha256 for c in cases)) if sha256 in seen]


def check_held_out(cases: Sequence[CheckedCase], held_out: Collection[str], place: object, dataset: str) -> None:
    """Raise if no held-out case is left to measure.

    Args:
        cases: those that are held out.
        held_out: hashes of all that are.

    Raises:
        CaseError: the dataset holds nothing out, or none of that is there.
    """
    if not held_out:
        raise CaseError(
            f"{dataset} has no held-out cases; prepare it with --held-out SHARE, or leave --held-out-of away"
        )
    if not cases:
        raise CaseError(
            f"none of the {len(held_out)} held-out cases of {dataset} is in {place}; give the cases that it was made of"
        )
