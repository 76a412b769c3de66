"""The table of lesions and the details of the chosen one; the widgets are passed in, so without Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...core.i18n import tr as _
from ..rich_text import css
from ..workspace.lesion import LesionRow
from ..workspace.workspace import Workspace
from .lesion_texts import Cells, distance_details, lesion_cells, lesion_details

TOUCH_PX = 44
"""Height of a line, which is touched during an operation."""
MAX_LINES = 4
"""Lines that are seen without scrolling."""
NAME = 0
"""The column that the user may edit."""


class LesionTable:
    """Fills the table; only what has changed is set.

    Args:
        ui: the widgets of the panel, by their names.
        make_item: makes an item of a table of a text and a colour; the user may edit it or not.
        make_swatch: makes an icon of a colour.

    Attributes:
        lesions: key of the lesion in each line.
        is_filling: the table is being filled at this moment, and not edited by the user.
    """

    def __init__(self, ui: Any, make_item: Callable[[str, str, bool], Any], make_swatch: Callable[[str], Any]) -> None:
        self._table, self._button, self._label = ui.lesionTable, ui.detailsButton, ui.lesionDetailsLabel
        self._make_item, self._make_swatch = make_item, make_swatch
        self.lesions: list[str] = []
        self.is_filling = False
        self._cells: Cells = {}
        self._shown: tuple[Cells, list[str], list[str]] | None = None

    @property
    def chosen(self) -> str | None:
        """The lesion that is chosen; the first one while none is."""
        line = int(self._table.currentRow())
        if 0 <= line < len(self.lesions):
            return self.lesions[line]
        return self.lesions[0] if self.lesions else None

    def show(self, rows: Sequence[LesionRow], workspace: Workspace | None) -> None:
        """Show the lesions as they are now."""
        cells, details = lesion_cells(rows, workspace), lesion_details(rows, workspace)
        shown = cells, details, [css(row.colour) for row in rows]
        if shown != self._shown:
            before, self._shown = self._shown, shown
            self.lesions = [row.lesion for row in rows]
            self.is_filling = True
            self._fill(shown, before[2] if before is not None else [])
            self.is_filling = False
        self._select_active(workspace)
        self._show_details(rows, details, workspace)

    def set_again(self, line: int) -> None:
        """Set a name again at the next turn: what was typed may not be what the lesion is called now."""
        self._cells.pop((line, NAME), None)
        self._shown = None

    def _fill(self, shown: tuple[Cells, list[str], list[str]], colours_before: list[str]) -> None:
        cells, details, colours = shown
        self._table.setRowCount(len(details))
        for (line, column), (text, colour) in cells.items():
            is_name = column == NAME
            is_new = self._cells.get((line, column)) != (text, colour) or (is_name and colours != colours_before)
            if is_new:  # a name being typed is left alone
                self._table.setItem(line, column, self._make_item(text, colour, is_name))
            if not is_name:
                self._table.item(line, column).setToolTip(details[line])
            elif is_new:
                self._table.item(line, column).setIcon(self._make_swatch(colours[line]))
        self._cells = dict(cells)
        height = self._table.horizontalHeader().height + 2 * self._table.frameWidth
        self._table.setFixedHeight(height + TOUCH_PX * min(len(details), MAX_LINES))

    def _select_active(self, workspace: Workspace | None) -> None:
        """Select the lesion that was touched last: points go to it."""
        active = None if workspace is None else workspace.lesion_store.active_lesion
        if active in self.lesions and self._table.currentRow() != self.lesions.index(active):
            was_filling, self.is_filling = self.is_filling, True
            self._table.setCurrentCell(self.lesions.index(active), NAME)
            self.is_filling = was_filling

    def _show_details(self, rows: Sequence[LesionRow], details: list[str], workspace: Workspace | None) -> None:
        """Show all that is known of the chosen lesion."""
        chosen = self.chosen
        if chosen is None:
            return
        line = self.lesions.index(chosen)
        self._button.text = _("Details of {lesion}").format(lesion=rows[line].name)
        lines = (details[line], distance_details(chosen, workspace))
        self._label.setText("\n".join(text for text in lines if text))
