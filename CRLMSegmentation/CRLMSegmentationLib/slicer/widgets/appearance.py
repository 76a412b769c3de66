"""How the widgets of the panel look where the .ui file cannot say it: tables, icons, cells."""

from __future__ import annotations

from typing import Any

import qt

from ..panel.lesion_table import TOUCH_PX

SWATCH_PX = 16


def prepare_tables(ui: Any) -> None:
    """Set headers, widths and heights of the tables of lesions and of checks."""
    for table in (ui.lesionTable, ui.preflightTable):
        table.verticalHeader().setVisible(False)
    ui.preflightTable.horizontalHeader().setStretchLastSection(True)
    ui.preflightTable.setWordWrap(True)
    header = ui.lesionTable.horizontalHeader()
    header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
    header.setHighlightSections(False)
    ui.lesionTable.setWordWrap(False)
    ui.lesionTable.verticalHeader().setDefaultSectionSize(TOUCH_PX)


def set_icons(ui: Any, style: Any) -> None:
    """Set Qt's own icons beside the words of the buttons.

    Args:
        style: QStyle of the panel.
    """
    for button, icon in (
        (ui.applyButton, qt.QStyle.SP_DialogApplyButton),
        (ui.againButton, qt.QStyle.SP_BrowserReload),
        (ui.removeButton, qt.QStyle.SP_TrashIcon),
        (ui.playButton, qt.QStyle.SP_MediaPlay),
        (ui.saveButton, qt.QStyle.SP_DialogSaveButton),
        (ui.sessionReportButton, qt.QStyle.SP_FileIcon),
        (ui.importFileButton, qt.QStyle.SP_DirOpenIcon),
        (ui.importFolderButton, qt.QStyle.SP_DirOpenIcon),
    ):
        button.setIcon(style.standardIcon(icon))


def segment_icon(style: Any, is_busy: bool) -> Any:
    """Return the icon of the button that segments, or cancels while that is going on."""
    return style.standardIcon(qt.QStyle.SP_DialogCancelButton if is_busy else qt.QStyle.SP_DialogApplyButton)


def make_swatch(colour: str) -> Any:
    """Return a square icon of a lesion's colour, the same in the chosen line, where Qt would tint it."""
    pixmap = qt.QPixmap(SWATCH_PX, SWATCH_PX)
    pixmap.fill(qt.QColor(colour))
    icon = qt.QIcon(pixmap)
    icon.addPixmap(pixmap, qt.QIcon.Selected)
    return icon


def make_item(text: str, colour: str, is_editable: bool = False) -> Any:
    """Return a cell of a table with its text, also as its tooltip."""
    item = qt.QTableWidgetItem(text)
    item.setToolTip(text)
    item.setForeground(qt.QBrush(qt.QColor(colour)))
    if not is_editable:
        item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
    return item
