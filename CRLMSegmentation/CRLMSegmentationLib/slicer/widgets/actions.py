"""What the buttons and fields of the panel do, section by section."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from ...core.i18n import tr as _
from ..panel.lesion_table import LesionTable
from ..views.layout import RoomLayout
from ..views.view_controller import ViewController
from ..views.volume_rendering import VolumeRendering
from ..workspace.application import correct, start_placing
from ..workspace.open_workspace import OpenWorkspace
from ..workspace.save import save
from .module_widget import ModuleWidget

SECTIONS_OF_STATES = {
    "linkStateButton": "sourceButton",
    "deviceStateButton": "modelButton",
    "modelStateButton": "modelButton",
    "recordingStateButton": "recordingButton",
}
"""The section that the button of each state opens."""
MESSAGE_MS = 10000


class Actions:
    """Connects the widgets with what they do.

    Args:
        lesions: the table of lesions.
    """

    def __init__(self, module: ModuleWidget, lesions: LesionTable) -> None:
        self._module, self._ui, self._lesions = module, module.ui, lesions
        self._connect_buttons()
        self._connect_fields()

    def seed_at_tip(self, *_args: object) -> None:
        """Put a seed at the tip of the chosen tool."""
        self._module.do(lambda opened: opened.workspace.clicks.add_seed_at_tip(self._ui.toolSelector.currentNode()))

    def segment_or_cancel(self, *_args: object) -> None:
        """Segment all lesions that have a seed, or cancel what is being segmented."""
        self._do_and_refresh(_segment_or_cancel)

    def use_volume(self, node: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Segment in a volume of the scene from now on."""
        if node is not None:
            self._module.do(lambda opened: _use_volume(opened, node))

    def show_crop_box(self, *_args: object) -> None:
        """Show the cube around the seed while the section is open in which it is changed."""
        workspace = self._module.logic.workspace
        if workspace is not None:
            workspace.show_crop_box(not self._ui.segmentButton.collapsed)

    def _connect_buttons(self) -> None:
        ui = self._ui
        for button, handler in (
            (ui.connectButton, self._connect_or_disconnect),
            (ui.liveButton, self._refreshing(lambda opened: opened.source.start_or_stop_live())),
            (ui.playButton, self._play_or_pause),
            (ui.placeButton, self._doing(lambda opened: start_placing(opened.workspace))),
            (ui.tipButton, self.seed_at_tip),
            (ui.applyButton, self.segment_or_cancel),
            (ui.correctButton, self._doing(lambda opened: correct(opened.workspace, self._lesions.chosen))),
            (ui.againButton, self._doing(lambda opened: _segment_again(opened, self._lesions.chosen))),
            (ui.undoButton, self._doing(lambda opened: opened.workspace.lesion_store.undo())),
            (ui.redoButton, self._doing(lambda opened: opened.workspace.lesion_store.redo())),
            (ui.removeButton, self._remove),
            (ui.saveButton, self._save),
            (ui.shareButton, self._share),
            (ui.layoutButton, self._toggling(lambda views: views.layout)),
            (ui.renderingButton, self._toggling(lambda views: views.rendering)),
            (ui.sessionReportButton, self._doing(lambda opened: opened.recording.begin_report())),
            (ui.copyLogButton, self._copy_log),
        ):
            button.clicked.connect(handler)
        for name in SECTIONS_OF_STATES:
            getattr(ui, name).clicked.connect(lambda *_, name=name: self._open_or_close_section(name))

    def _connect_fields(self) -> None:
        ui = self._ui
        ui.positionSlider.connect("valueChanged(double)", self._seek)
        ui.speedSpinBox.connect("valueChanged(double)", self._set_speed)
        ui.connectorSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._use_connector)
        ui.followedComboBox.connect("activated(int)", self._follow)
        ui.segmentButton.connect("contentsCollapsed(bool)", self.show_crop_box)
        ui.outputDirectoryButton.directoryChanged.connect(self._show_output_folder)
        ui.lesionTable.cellChanged.connect(self._rename_lesion)
        ui.lesionTable.itemSelectionChanged.connect(self._select_lesion)

    def _doing(self, action: Callable[[OpenWorkspace], object]) -> Callable[..., None]:
        """Return what a button is connected to for doing an action."""

        def handle(*_args: object) -> None:
            self._module.do(action)

        return handle

    def _refreshing(self, action: Callable[[OpenWorkspace], object]) -> Callable[..., None]:
        """Return the same, with the panel redrawn at once."""

        def handle(*_args: object) -> None:
            self._do_and_refresh(action)

        return handle

    def _do_and_refresh(self, action: Callable[[OpenWorkspace], object]) -> None:
        self._module.do(action)
        self._module.refresh()

    def _open_or_close_section(self, name: str) -> None:
        section = getattr(self._ui, SECTIONS_OF_STATES[name])
        section.collapsed = not section.collapsed

    def _toggling(self, part_of: Callable[[ViewController], RoomLayout | VolumeRendering]) -> Callable[..., None]:
        """Return what a button is connected to that switches a part of the views on or off."""

        def toggle(_opened: OpenWorkspace) -> None:
            if self._module.views is not None:
                part_of(self._module.views).toggle()

        return self._doing(toggle)

    # ---- source

    def _connect_or_disconnect(self, *_args: object) -> None:
        host, port = self._ui.hostLineEdit, self._ui.portSpinBox  # read once the workspace has bound the parameters
        self._do_and_refresh(lambda opened: opened.source.connect_or_disconnect(host.text.strip(), port.value))

    def _use_connector(self, node: slicer.vtkMRMLNode | None) -> None:
        if node is not None or self._module.logic.workspace is not None:  # a closing scene must not start anything
            self._module.do(lambda opened: opened.source.use_connector(node))

    def _play_or_pause(self, *_args: object) -> None:
        path, speed = self._ui.casePathLineEdit, self._ui.speedSpinBox
        self._do_and_refresh(lambda opened: opened.source.play_or_pause(Path(path.currentPath), speed.value))

    def _set_speed(self, speed: float) -> None:
        if self._module.logic.recordedLink is not None:
            self._module.logic.recordedLink.speed = speed

    def _seek(self, position_s: float) -> None:
        if self._module.logic.recordedLink is not None:
            self._module.logic.recordedLink.seek(position_s)

    def _follow(self, index: int) -> None:
        device = self._ui.followedComboBox.itemText(index) if index > 0 else None
        self._module.do(lambda opened: opened.workspace.follow(device))

    # ---- result

    def _select_lesion(self) -> None:
        lesion, workspace, views = self._lesions.chosen, self._module.logic.workspace, self._module.views
        if workspace is None or not lesion or self._lesions.is_filling:
            return
        workspace.lesion_store.active_lesion = lesion
        if views is not None:
            self._module.do(lambda opened: views.go_to_lesion(lesion))

    def _rename_lesion(self, row: int, column: int) -> None:
        if self._module.logic.workspace is None:  # a name being typed is stored when the table is hidden, at the end
            return
        lesions = self._lesions.lesions
        if column == 0 and row < len(lesions) and not self._lesions.is_filling:
            name = self._ui.lesionTable.item(row, 0).text()
            self._module.do(lambda opened: opened.workspace.clicks.rename_lesion(lesions[row], name))
            self._lesions.set_again(row)

    def _remove(self, *_args: object) -> None:
        lesion = self._lesions.chosen
        if lesion:
            self._module.do(lambda opened: opened.workspace.remove_seed(lesion))

    def _save(self, *_args: object) -> None:
        folder = self._module.do(lambda opened: save(opened.workspace, Path(self._ui.outputDirectoryButton.directory)))
        if folder is not None:
            text = _("Saved to {folder}").format(folder=folder)
            slicer.util.showStatusMessage(text, MESSAGE_MS)
            self._module.messages.show(text)

    def _share(self, *_args: object) -> None:
        self._do_and_refresh(lambda opened: opened.publisher.start_or_stop(self._ui.sharePortSpinBox.value))

    def _show_output_folder(self, folder: str) -> None:
        self._ui.outputDirectoryButton.text = Path(folder).name

    def _copy_log(self, *_args: object) -> None:
        workspace = self._module.logic.workspace
        slicer.app.clipboard().setText("\n".join(workspace.log) if workspace is not None else "")


def _segment_or_cancel(opened: OpenWorkspace) -> None:
    workspace = opened.workspace
    if workspace.session.busy:
        workspace.cancel()
    else:
        workspace.segment()


def _segment_again(opened: OpenWorkspace, lesion: str | None) -> None:
    opened.workspace.segment([lesion] if lesion else None)


def _use_volume(opened: OpenWorkspace, node: Any) -> None:
    if node is not opened.workspace.volume.node:
        opened.source.use_node(node)
