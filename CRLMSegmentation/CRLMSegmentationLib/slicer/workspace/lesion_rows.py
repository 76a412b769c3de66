"""The lesions as a table shows them, with what refinement and earlier volumes tell of them."""

from __future__ import annotations

from dataclasses import replace

from ...segmentation.history import LesionHistory
from .background_refinement import BackgroundRefinement
from .lesion import LesionRow
from .lesion_store import LesionStore


def rows_of(
    lesion_store: LesionStore, background_refinement: BackgroundRefinement, history: LesionHistory
) -> list[LesionRow]:
    """In the order in which their seeds were made."""
    return [_completed(row, lesion_store, background_refinement, history) for row in lesion_store.rows()]


def _completed(
    row: LesionRow, lesion_store: LesionStore, background_refinement: BackgroundRefinement, history: LesionHistory
) -> LesionRow:
    lesion, entry = row.lesion, lesion_store.entries.get(row.lesion)
    if entry is None or entry.found is None:
        return row
    row = replace(row, is_renewing=lesion in lesion_store.renewed, unreliable_reason=entry.found.unreliable_reason)
    seen = history.of(lesion)
    if seen and not entry.found.corrected:
        row = replace(row, shift_mm=seen[-1].shift_mm, change=seen[-1].change)
    if not background_refinement.knows(entry.found):
        return row
    return replace(
        row,
        refined=str(background_refinement.change_of(lesion) or ""),
        confidence=background_refinement.confidence_of(lesion),
    )
