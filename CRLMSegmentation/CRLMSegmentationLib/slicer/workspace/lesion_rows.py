"""The lesions as a table shows them, with what looking again and earlier volumes tell of them."""

from __future__ import annotations

from dataclasses import replace

from ...segmentation.history import LesionHistory
from .background_refinement import SecondLooks
from .lesion import LesionRow
from .lesion_store import LesionStore


def rows_of(lesion_store: LesionStore, second_looks: SecondLooks, history: LesionHistory) -> list[LesionRow]:
    """In the order in which their seeds were made."""
    return [_completed(row, lesion_store, second_looks, history) for row in lesion_store.rows()]


def _completed(
    row: LesionRow, lesion_store: LesionStore, second_looks: SecondLooks, history: LesionHistory
) -> LesionRow:
    lesion, entry = row.lesion, lesion_store.entries.get(row.lesion)
    if entry is None or entry.found is None:
        return row
    row = replace(row, is_renewing=lesion in lesion_store.renewed, doubt=entry.found.doubt)
    seen = history.of(lesion)
    if seen and not entry.found.corrected:
        row = replace(row, shift_mm=seen[-1].shift_mm, change=seen[-1].change)
    if not second_looks.knows(entry.found):
        return row
    return replace(
        row,
        refined=str(second_looks.change_of(lesion) or ""),
        confidence=second_looks.confidence_of(lesion),
    )
