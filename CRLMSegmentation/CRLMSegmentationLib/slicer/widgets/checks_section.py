"""The section with the checks before the incision, and the installation of missing packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import slicer

from ...core.i18n import tr as _
from ..dependencies import lacks_needed_package, missing
from ..panel.install import install_missing
from ..panel.lesion_texts import Cells
from ..panel.sections import checks_title
from ..panel.texts import check_cells
from ..workspace.check import Check
from ..workspace.preflight import Preflight
from .appearance import make_item
from .module_widget import ModuleWidget


class ChecksSection:
    """Runs the checks when the button is pressed, and shows what has come of them."""

    def __init__(self, module: ModuleWidget) -> None:
        self._module = module
        self._preflight: Preflight | None = None
        self._shown: Cells | None = None
        module.ui.runPreflightButton.clicked.connect(self.run)
        module.ui.installButton.clicked.connect(self._install)

    @property
    def checks(self) -> Sequence[Check]:
        """The checks with their results so far; empty before they are run."""
        return self._preflight.checks() if self._preflight is not None else ()

    def run(self, *_args: object) -> None:
        """Run all checks; their results come while the workspace goes on."""
        folder = Path(self._module.ui.outputDirectoryButton.directory)
        self._preflight = self._module.do(lambda opened: Preflight(opened.workspace, folder))
        if lacks_needed_package():
            self._module.messages.show(_("Packages are missing; press Install."))
        self._module.refresh()

    def forget(self) -> None:
        """Forget what the checks have found: the workspace, or its model, is another."""
        self._preflight = self._shown = None

    def clear(self) -> None:
        """Forget what the checks have found, and show none."""
        self.forget()
        self._module.ui.preflightTable.setRowCount(0)

    def refresh(self) -> None:
        """Show title and results, where they have changed."""
        ui, checks = self._module.ui, self.checks
        ui.preflightButton.text = checks_title(checks)
        if self._preflight is None:
            return
        cells = check_cells(checks)
        if cells == self._shown:
            return
        self._shown, table = cells, ui.preflightTable
        table.setRowCount(len(cells) // 2)
        for place, (text, colour) in cells.items():
            table.setItem(*place, make_item(text, colour))
        table.resizeColumnToContents(0)
        table.resizeRowsToContents()

    def _install(self, *_args: object) -> None:
        messages = self._module.messages
        names = ", ".join(package.requirement for package in missing())
        question = _("Install into 3D Slicer: {names}?\nIt takes some minutes, in which Slicer does not answer.")
        if not slicer.util.confirmYesNoDisplay(question.format(names=names)):
            return
        try:
            install_missing(messages.show)
        except Exception as error:
            messages.show_error(error)
            return
        self._module.endWorkspace()
        messages.show(_("Installed. Check it under “Checks before the incision”."))
        self.run()
