"""The buttons and keys for correction points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...core.points import PointKind
from ..panel.lesion_table import LesionTable
from ..panel.point_texts import points_view
from ..workspace.application import correct, start_placing_point
from ..workspace.events import PointRefused, WorkspaceEvent
from ..workspace.lesion import LesionRow
from ..workspace.open_workspace import OpenWorkspace
from ..workspace.workspace import Workspace
from .module_widget import ModuleWidget


class PointsSection:
    """Places, removes and undoes points of the chosen lesion, and tells why a point was refused.

    Args:
        lesions: the table of lesions.
    """

    def __init__(self, module: ModuleWidget, lesions: LesionTable) -> None:
        self._module, self._lesions = module, lesions
        self._refusals: list[str] = []
        self._shown: list[tuple[str, int]] = []
        ui = module.ui
        ui.includeButton.clicked.connect(lambda *_: self._place(PointKind.INCLUDE))
        ui.excludeButton.clicked.connect(lambda *_: self._place(PointKind.EXCLUDE))
        ui.includeTipButton.clicked.connect(self.include_at_tip)
        ui.excludeTipButton.clicked.connect(self.exclude_at_tip)
        ui.undoPointButton.clicked.connect(self.undo)
        ui.removePointButton.clicked.connect(self._remove)
        ui.detailsButton.connect("contentsCollapsed(bool)", lambda *_: module.refresh())  # CTK shows what was hidden
        ui.byHandButton.clicked.connect(lambda *_: module.do(lambda opened: correct(opened.workspace, lesions.chosen)))

    def begin(self, workspace: Workspace) -> None:
        """Listen to another workspace."""
        self._refusals.clear()
        workspace.events.subscribe(self)

    def handle(self, event: WorkspaceEvent) -> None:
        """Keep why a point was refused until the panel is redrawn, as an `EventListener`."""
        if isinstance(event, PointRefused):
            self._refusals.append(event.reason)

    def include_at_tip(self, *_args: object) -> None:
        """Place a point at the tip of the chosen tool: this belongs to the chosen lesion too."""
        self._place_at_tip(PointKind.INCLUDE)

    def exclude_at_tip(self, *_args: object) -> None:
        """Place a point at the tip of the chosen tool: this does not belong to the chosen lesion."""
        self._place_at_tip(PointKind.EXCLUDE)

    def undo(self, *_args: object) -> None:
        """Remove the point of the chosen lesion that was placed last."""
        self._do(lambda opened: opened.workspace.clicks.undo_point())

    def refresh(self, workspace: Workspace | None, rows: Sequence[LesionRow]) -> None:
        """Show what can be done now, and why the last point was refused."""
        view, ui = points_view(workspace, rows, self._lesions.chosen), self._module.ui
        for name, is_visible in view.visible.items():
            getattr(ui, name).setVisible(is_visible)
        for name, is_enabled in view.enabled.items():
            getattr(ui, name).setEnabled(is_enabled)
        for name, tooltip in view.tooltips.items():
            getattr(ui, name).setToolTip(tooltip)
        if view.points != self._shown:
            self._shown = view.points
            ui.pointComboBox.clear()
            for text, number in view.points:
                ui.pointComboBox.addItem(text, number)
            ui.pointComboBox.setCurrentIndex(len(view.points) - 1)
        refusals, self._refusals = self._refusals, []  # showing one lets other events happen
        if refusals:
            self._module.messages.show(refusals[-1])

    def _place(self, kind: PointKind) -> None:
        self._do(lambda opened: start_placing_point(opened.workspace, kind))

    def _place_at_tip(self, kind: PointKind) -> None:
        tool = self._module.ui.toolSelector.currentNode()
        self._do(lambda opened: opened.workspace.clicks.add_point_at_tip(kind, tool))

    def _remove(self, *_args: object) -> None:
        lesion, box = self._lesions.chosen, self._module.ui.pointComboBox
        if lesion is not None and box.currentIndex >= 0:
            number = int(box.itemData(box.currentIndex))
            self._do(lambda opened: opened.workspace.points.remove(lesion, number))

    def _do(self, action: Callable[[OpenWorkspace], object]) -> None:
        self._module.do(action)
        self._module.refresh()
