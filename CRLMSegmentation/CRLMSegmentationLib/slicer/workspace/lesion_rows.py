"""Rows of the table of lesions, with the results of refinement and the change since the volume before."""

from __future__ import annotations

from dataclasses import replace

from .background_refinement import BackgroundRefinement
from .lesion import LesionRow
from .lesion_store import LesionStore


def rows_of(lesion_store: LesionStore, background_refinement: BackgroundRefinement) -> list[LesionRow]:
    """Return a row for each lesion, in the order in which their seeds were made."""
    return [_completed(row, lesion_store, background_refinement) for row in lesion_store.rows()]


def _completed(row: LesionRow, lesion_store: LesionStore, background_refinement: BackgroundRefinement) -> LesionRow:
    lesion, entry = row.lesion, lesion_store.entries.get(row.lesion)
    if entry is None or entry.segmentation is None:
        return row
    row = replace(row, is_renewing=entry.is_renewing, unreliable_reason=entry.segmentation.unreliable_reason)
    seen = entry.history.sightings
    if seen and not entry.segmentation.corrected:
        row = replace(row, shift_mm=seen[-1].shift_mm, change=seen[-1].change)
    if not entry.refinement.is_about(entry.segmentation):
        return row
    return replace(
        row,
        refined=str(background_refinement.change_of(lesion) or ""),
        expected_dice=background_refinement.expected_dice_of(lesion),
    )
