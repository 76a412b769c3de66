"""What the widgets of the panel show, set where it has changed."""

from __future__ import annotations

from collections.abc import Sequence

from ..panel.lesion_table import LesionTable
from ..panel.model_texts import ModelView
from ..panel.panel_view import PanelView, distance_view, panel_view
from ..panel.sections import Sections
from ..panel.status_strip import StripWidgets, status_strip
from ..panel.texts import followable, problem_text, progress_text
from ..workspace.lesion import LesionRow, LesionState
from ..workspace.workspace import Workspace
from .appearance import make_item, make_swatch, segment_icon
from .checks_section import ChecksSection
from .distance_window_button import DistanceWindowButton
from .model_section import ModelSection
from .module_widget import ModuleWidget
from .points_section import PointsSection


class Display:
    """Redraws the panel.

    Attributes:
        lesions: the table of lesions.
        points: the buttons for correction points.
    """

    def __init__(
        self, module: ModuleWidget, model: ModelSection, checks: ChecksSection, window: DistanceWindowButton
    ) -> None:
        self._module, self._model, self._checks, self._window = module, model, checks, window
        self.lesions = LesionTable(module.ui, make_item, make_swatch)
        self.points = PointsSection(module, self.lesions)
        self._strip = StripWidgets(module.ui)
        self._sections: Sections | None = None
        self.forget()

    def forget(self) -> None:
        """Show everything again at the next refresh, as after the workspace has ended."""
        self._situation: object = self  # none that was ever shown
        self._devices: dict[str, str] | None = None
        self._was_busy: bool | None = None
        self._problem = ""
        self._model.forget()

    def begin(self) -> None:
        """Begin with another workspace: its sections may fold away by themselves."""
        self.forget()
        self._sections = Sections()
        workspace = self._module.logic.workspace
        if workspace is not None:
            self.points.begin(workspace)

    def refresh(self) -> None:
        """Redraw what has changed."""
        logic, views = self._module.logic, self._module.views
        workspace = logic.workspace
        rows = workspace.rows() if workspace is not None else []
        self.refresh_distance()
        self._show(panel_view(workspace, logic.source, logic.publisher, logic.recording, views, rows))
        self._refresh_strip(workspace)
        self._window.refresh(workspace)
        self._refresh_source(workspace)
        self._refresh_progress(workspace, rows)
        self.lesions.show(rows, workspace)
        self.points.refresh(workspace, rows)
        self._show(self._model.refresh(workspace))
        self._checks.refresh()
        problem = problem_text(workspace, logic.source)
        if problem and problem != self._problem:
            self._module.messages.show(problem)
        self._problem = problem

    def refresh_distance(self) -> None:
        """Show the newest distance; at each turn, since the rest of the panel may wait longer for the views."""
        workspace = self._module.logic.workspace
        situation = workspace.navigation.situation if workspace is not None else None
        if situation is not self._situation:
            self._situation = situation
            self._show(distance_view(workspace, self._module.views))
            self._window.show(workspace)

    def _show(self, view: PanelView | ModelView) -> None:
        """Set texts, visibility and usability of widgets."""
        ui = self._module.ui
        for name, text in view.texts.items():
            getattr(ui, name).setText(text)
        for name, is_visible in view.visible.items():
            getattr(ui, name).setVisible(is_visible)
        for name, is_enabled in view.enabled.items():
            getattr(ui, name).setEnabled(is_enabled)

    def _refresh_strip(self, workspace: Workspace | None) -> None:
        """Show what is well and what is not; fold the sections away whose work is done."""
        logic, ui, checks = self._module.logic, self._module.ui, self._checks.checks
        strip = status_strip(workspace, logic.source, logic.recording, checks)
        self._strip.show(strip)
        if self._sections is None:
            return
        has_volume = workspace is not None and workspace.volume.node is not None
        for name in self._sections.to_fold(has_volume, strip.states["linkStateButton"][0], checks):
            getattr(ui, name).collapsed = True
        tab = self._sections.tab_to_show(logic.source)
        if tab is not None:
            ui.sourceTabs.currentIndex = tab

    def _refresh_source(self, workspace: Workspace | None) -> None:
        ui, recorded = self._module.ui, self._module.logic.recordedLink
        if recorded is not None:
            was_blocked = ui.positionSlider.blockSignals(True)  # only the user seeks
            ui.positionSlider.maximum = max(0.1, recorded.duration_s)
            ui.positionSlider.value = recorded.position_s
            ui.positionSlider.blockSignals(was_blocked)
        devices = dict(workspace.devices) if workspace is not None else {}
        if devices != self._devices:
            self._devices = devices
            ui.deviceList.clear()
            ui.deviceList.addItems([f"{device}  ({kind})" for device, kind in sorted(devices.items())])
            volumes, index = followable(workspace)
            ui.followedComboBox.clear()
            ui.followedComboBox.addItems(volumes)
            ui.followedComboBox.setCurrentIndex(index)

    def _refresh_progress(self, workspace: Workspace | None, rows: Sequence[LesionRow]) -> None:
        ui = self._module.ui
        running = next((row for row in rows if row.state is LesionState.RUNNING), None)
        bar = ui.progressBar
        bar.maximum, bar.value = (max(1, running.total), running.done) if running else (1, 0)
        is_busy = workspace is not None and workspace.session.busy
        if is_busy != self._was_busy:
            self._was_busy = is_busy
            ui.applyButton.setIcon(segment_icon(self._module.parent.style(), is_busy))
        bar.setFormat(progress_text(running, is_busy))
