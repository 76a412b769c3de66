"""3D Slicer's module CRLMSegmentation: connect, drop a seed, see the tumour.

Wiring only: the panel reads its widgets, calls one method of the logic or of its `Workspace`, and shows what has come
of it. Everything else stands in CRLMSegmentationLib, which is imported when the panel is first used, so that Slicer
starts as fast as without this module.

No threads, which starve in Slicer: one QTimer drives `Workspace.tick`, which reads the scene. The parameter node is
observed, and its settings are applied when it was modified.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any, Callable, Optional

import qt
import slicer
import vtk
from slicer import vtkMRMLLinearTransformNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

LIBRARY = "CRLMSegmentationLib"
TICK_MS = 10
"""Between two turns of the workspace; a turn takes a few milliseconds."""
REFRESH_TURNS = 10
"""The panel is redrawn every so many turns, the distance at each."""
TIP_KEY, SEGMENT_KEY = "F9", "F10"
MODEL_SETTING = "CRLMSegmentation/model"  # of the application: key of the model that was chosen last
STATE_BUTTONS = {
    "linkStateButton": "sourceButton",
    "deviceStateButton": "modelButton",
    "modelStateButton": "modelButton",
    "recordingStateButton": "recordingButton",
}  # each opens the section that its state belongs to
SWATCH_PX = 16
SAMPLES = ("phantom-hypoechoic", "phantom-isoechoic", "phantom-several")


class CRLMSegmentation(ScriptedLoadableModule):
    """The module as 3D Slicer lists it before it is opened."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("CRLM Segmentation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "IGT")]
        parent.dependencies = []
        parent.contributors = ["The contributors of CRLMSegmentation"]
        parent.helpText = _(
            "Segments colorectal liver metastases in tracked intraoperative 3D ultrasound: connect to the tracker, put "
            "one seed into the tumour, and its segmentation appears beside the tracked instruments. "
            "Research software, not a medical device, not for clinical use. "
            'See <a href="{url}">the tutorial</a>.'
        ).format(url="https://github.com/CRLMSegmentation/CRLMSegmentation")
        parent.acknowledgementText = _(
            "Follows the method of Natali et al., Netherlands Cancer Institute (arXiv 2511.05253). "
            "The network is nnU-Net (Isensee et al., doi 10.1038/s41592-020-01008-z)."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    """Offer the shipped simulated cases in the module Sample Data; without the library, for Slicer is starting."""
    import SampleData

    module = Path(__file__).resolve().parent
    bases = [base / "Resources" / "SampleCases" for base in (module, module.parent)]
    samples = next(base for base in bases if base.is_dir())  # beside the module when installed
    for name in SAMPLES:
        folder = samples / name
        case = json.loads((folder / "case.json").read_text("utf-8"))
        volume = case["volumes"][0]["file"]
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="CRLMSegmentation",
            sampleName=f"CRLM-{name}",
            uris=(folder / volume).as_uri(),
            fileNames=f"{name}.nrrd",
            nodeNames=name,
            checksums=f"SHA256:{case['files'][volume]}",
            thumbnailFileName=str(module / "Resources" / "Icons" / f"{name}.png"),
        )


@parameterNodeWrapper
class CRLMSegmentationParameterNode:
    """The parameters of the module, saved with the scene.

    Attributes:
        cropSize: width of the cube around a seed, mm.
        innerMargin, outerMargin: around each lesion, to be warned of, mm; 0 for none.
        diskBudget: of the recording, GB.
        memoryLimit: of all volumes together, GB; 0 for half of the machine's.
        opacity: of lesions in space; below 1 their surfaces and margins take longer to draw.
        model: key of the model that was in use; the one to use is chosen in the application's settings.
    """

    host: Annotated[str, Default("127.0.0.1")]
    port: Annotated[int, WithinRange(1, 65535), Default(18944)]
    casePath: Path
    speed: Annotated[float, WithinRange(0.1, 20.0), Default(1.0)]
    volume: vtkMRMLScalarVolumeNode
    tool: vtkMRMLLinearTransformNode
    cropSize: Annotated[float, WithinRange(20.0, 400.0), Default(80.0)]
    model: str
    autoSegment: Annotated[bool, Default(True)]
    mirroring: Annotated[bool, Default(False)]
    opacity: Annotated[float, WithinRange(0.0, 1.0), Default(1.0)]
    outlineOnly: Annotated[bool, Default(False)]
    outputFolder: Path
    sharePort: Annotated[int, WithinRange(1, 65535), Default(18945)]
    innerMargin: Annotated[float, WithinRange(0.0, 50.0), Default(5.0)]
    outerMargin: Annotated[float, WithinRange(0.0, 50.0), Default(10.0)]
    showMargins: Annotated[bool, Default(True)]
    showShells: Annotated[bool, Default(False)]
    secondLooks: Annotated[bool, Default(True)]
    followVolumes: Annotated[bool, Default(True)]
    sound: Annotated[bool, Default(False)]
    followTip: Annotated[bool, Default(True)]
    showNumber: Annotated[bool, Default(True)]
    record: Annotated[bool, Default(True)]
    diskBudget: Annotated[float, WithinRange(1.0, 10000.0), Default(20.0)]
    memoryLimit: Annotated[float, WithinRange(0.0, 1000.0), Default(0.0)]


class CRLMSegmentationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel of the module."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: Optional[CRLMSegmentationLogic] = None
        self.ui: Any = None
        self._parameters: Optional[CRLMSegmentationParameterNode] = None
        self._parametersTag: Any = None
        self._timer: Any = None
        self._shortcuts: list = []
        self._isEntered = self._isImporting = False
        self._preflight: Any = None
        self._views: Any = None
        self._sounds: dict = {}
        self._turn = 0
        self._shown: dict = {}
        self._sections: Any = None
        self._strip: Any = None
        self._lesionTable: Any = None
        self._distanceWindow: Any = None

    # ---- life of the panel

    def setup(self):
        super().setup()
        panel = slicer.util.loadUI(self.resourcePath("UI/CRLMSegmentation.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = CRLMSegmentationLogic()
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.onTick)
        self._connectButtons()
        self._prepareTables()
        self._setIcons()
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndBatchProcessEvent, self.onSceneEndBatchProcess)
        slicer.app.aboutToQuit.connect(self.onQuit)
        self._useParameters()  # after a reload the panel is shown without being entered

    def _connectButtons(self):
        ui = self.ui
        for button, handler in (
            (ui.connectButton, self.onConnect),
            (ui.liveButton, self.onLive),
            (ui.playButton, self.onPlay),
            (ui.placeButton, self.onPlace),
            (ui.tipButton, self.onSeedAtTip),
            (ui.applyButton, self.onApply),
            (ui.correctButton, self.onCorrect),
            (ui.againButton, self.onAgain),
            (ui.undoButton, lambda *_: self._do(lambda workspace: workspace.lesion_store.undo())),
            (ui.redoButton, lambda *_: self._do(lambda workspace: workspace.lesion_store.redo())),
            (ui.removeButton, self.onRemove),
            (ui.saveButton, self.onSave),
            (ui.shareButton, self.onShare),
            (ui.layoutButton, lambda *_: self._do(lambda workspace: self._views.layout.toggle())),
            (ui.renderingButton, lambda *_: self._do(lambda workspace: self._views.rendering.toggle())),
            (ui.windowButton, self.onDistanceWindow),
            (ui.sessionReportButton, lambda *_: self._do(lambda workspace: self.logic.session.begin_report())),
            (ui.importFileButton, self.onImportFile),
            (ui.importFolderButton, self.onImportFolder),
            (ui.importAgainButton, lambda *_: self._beginImport(self.logic.models.importing, True)),
            (ui.cancelImportButton, self.onCancelImport),
            (ui.runPreflightButton, self.onPreflight),
            (ui.installButton, self.onInstall),
            (ui.copyLogButton, self.onCopyLog),
            (ui.dismissButton, lambda *_: self.ui.messageFrame.setVisible(False)),
        ):
            button.clicked.connect(handler)
        for name in STATE_BUTTONS:
            getattr(ui, name).clicked.connect(lambda *_, name=name: self.onStateButton(name))
        ui.positionSlider.connect("valueChanged(double)", self.onSeek)
        ui.speedSpinBox.connect("valueChanged(double)", self.onSpeed)
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onVolumeChosen)
        ui.connectorSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onConnectorChosen)
        ui.followedComboBox.connect("activated(int)", self.onFollow)
        ui.segmentButton.connect("contentsCollapsed(bool)", lambda *_: self._showCropBox())
        ui.seedChannelCheckBox.connect("toggled(bool)", lambda *_: self._refresh())
        ui.modelComboBox.connect("activated(int)", self.onModelChosen)
        ui.outputDirectoryButton.directoryChanged.connect(self.onOutputFolder)
        ui.lesionTable.cellChanged.connect(self.onLesionRenamed)
        ui.lesionTable.itemSelectionChanged.connect(self.onLesionSelected)

    def _prepareTables(self):
        ui = self.ui
        for table in (ui.lesionTable, ui.preflightTable):
            table.verticalHeader().setVisible(False)
        ui.preflightTable.horizontalHeader().setStretchLastSection(True)
        ui.preflightTable.setWordWrap(True)
        header = ui.lesionTable.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        header.setHighlightSections(False)
        ui.lesionTable.setWordWrap(False)
        ui.installButton.setVisible(False)

    def _setIcons(self):
        """Set Qt's own icons beside the words of the buttons."""
        style, ui = self.parent.style(), self.ui
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

    def enter(self):
        """Enable the shortcuts and load the model when the user opens the module."""
        self._isEntered = True
        self._useParameters()
        self._installShortcuts()
        self.logic.models.refresh()
        self._startWorkspace()
        self._refresh()

    def exit(self):
        """Disable the shortcuts when the user leaves the module; tracking and inference go on."""
        self._isEntered = False
        self._removeShortcuts()

    def cleanup(self):
        """End the workspace when the panel is destroyed, at reload and at the end of Slicer."""
        self._removeShortcuts()
        self._closeDistanceWindow()
        if self.logic is not None:  # else setup has failed
            self.onQuit()
            self._dropParameters()
            slicer.app.aboutToQuit.disconnect(self.onQuit)
        self.removeObservers()

    def onReload(self):
        """Reload the module with its library; what was made by the library's classes of before is given up first."""
        self.onQuit()
        self._strip = self._lesionTable = None
        for name in [name for name in sys.modules if name.split(".")[0] == LIBRARY]:
            del sys.modules[name]
        super().onReload()

    def onQuit(self):
        self.logic.models.cancel_import()
        self._endWorkspace()

    def onSceneStartClose(self, caller=None, event=None):
        self._endWorkspace()
        self._dropParameters()

    def onSceneEndClose(self, caller=None, event=None):
        if self._isEntered and not self._isImporting:
            self._useParameters()

    def onSceneStartImport(self, caller=None, event=None):
        """Stop all work until an import has added all nodes."""
        self._isImporting = True
        self._timer.stop()
        self._dropParameters()

    def onSceneEndBatchProcess(self, caller=None, event=None):
        """Resume after an import; at EndImportEvent the selectors do not list the new nodes yet."""
        if not self._isImporting:
            return
        self._isImporting = False
        if self.logic.workspace is not None:
            self.logic.workspace.lesion_store.take_over_seeds()
        self._tickIfNeeded()
        if self._isEntered:
            self._useParameters()
            self._startWorkspace()

    # ---- parameters

    def _useParameters(self):
        """Bind the panel to the parameter node of the scene."""
        self._dropParameters()
        self._parameters = self.logic.getParameterNode()
        if str(self._parameters.outputFolder) in ("", "."):
            documents = Path(qt.QStandardPaths.writableLocation(qt.QStandardPaths.DocumentsLocation))
            self._parameters.outputFolder = documents if documents.is_dir() else Path.home()
        self._parametersTag = self._parameters.connectGui(self.ui)
        self.addObserver(self._parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersModified)
        self._useModelsCropSize()
        self.onParametersModified()

    def _dropParameters(self):
        if self._parameters is not None:
            node = self._parameters.parameterNode
            self.removeObserver(node, vtk.vtkCommand.ModifiedEvent, self.onParametersModified)
            self._parameters.disconnectGui(self._parametersTag)
        self._parameters, self._parametersTag = None, None

    def _restoreParameterNode(self):
        """Put the parameter node back if the user has deleted it: the settings in the panel are still in use."""
        if self._parameters is not None and self._parameters.parameterNode.GetScene() is None:
            slicer.mrmlScene.AddNode(self._parameters.parameterNode)

    def onParametersModified(self, caller=None, event=None):
        """Apply the settings; called whenever the parameter node was modified, by the panel or by anybody else."""
        if self._parameters is not None and self._views is not None:
            self.logic.library.apply_settings(self._parameters, self.logic.workspace, self._views, self.logic.session)

    def _useModelsCropSize(self):
        """Write into the parameter node which model is in use, and the crop size to begin with."""
        if self._parameters is None or self.logic.workspace is None:
            return
        key, cropSize = self.logic.library.beginning_of(
            self.logic.workspace.session.model, self._parameters.model, self._parameters.cropSize
        )
        self._parameters.model, self._parameters.cropSize = key, cropSize
        self.ui.cropSizeSlider.value = cropSize  # while a scene is imported, the node does not tell the panel

    def _storeCropSize(self, workspace):
        """Write the crop size into the parameter node where a user has resized the box in the views."""
        if self._parameters is not None and self._parameters.cropSize != workspace.crop_size_mm:
            self._parameters.cropSize = workspace.crop_size_mm

    # ---- the workspace

    def _startWorkspace(self):
        """Open the workspace if it is not; returns None when it cannot be opened, and the panel says why."""
        if self.logic.workspace is None:
            try:
                self.logic.openWorkspace()
            except Exception as error:
                self._showError(error)
                return None
            self._shown, self._sections = {}, self.logic.library.Sections()
            manager, rendering = slicer.app.layoutManager(), slicer.modules.volumerendering.logic()
            self._views = self.logic.library.ViewController(self.logic.workspace, manager, rendering)
            self._showCropBox()
            if self._parameters is None:
                self._useParameters()
            else:
                self._useModelsCropSize()
                self.onParametersModified()
            self._showNotice()
            self.onVolumeChosen(
                self.ui.volumeSelector.currentNode() or self.logic.workspace.lesion_store.volume_of_segmentations()
            )
        self._timer.start()
        return self.logic.workspace

    def _endWorkspace(self):
        self._preflight = None
        views, self._views = self._views, None
        if views is not None:
            views.end()
        self.logic.closeWorkspace()
        self._shown = {}
        self._tickIfNeeded()
        self._refresh()

    def _tickIfNeeded(self):
        """Tick while there is a workspace, or a model is being imported."""
        if self.logic.workspace is not None or self.logic.models.is_importing:
            self._timer.start()
        elif self._timer is not None:
            self._timer.stop()

    def _do(self, action: Callable) -> Any:
        """Run an action on the workspace; an error is shown, with its cause and the next action."""
        workspace = self._startWorkspace()
        if workspace is None:
            return None
        try:
            with slicer.util.RenderBlocker():
                return action(workspace)
        except Exception as error:
            self._showError(error)
            return None

    def onTick(self):
        self._pollImport()
        workspace = self.logic.workspace
        try:
            if workspace is not None:
                with slicer.util.RenderBlocker():  # else each change of a node may render, here and now
                    self._restoreParameterNode()
                    self.logic.tick()
                    self._storeCropSize(workspace)
                    sound = self._views.update()
                self._play(sound)
            self._shown["turnError"] = ""
        except Exception as error:  # one bad turn must not stop the tracking; a hundred a second are told once
            if self._shown.get("turnError") != str(error):
                self._shown["turnError"] = str(error)
                self._showError(error)
        self._refreshDistance()
        self._turn += 1
        if self._turn % REFRESH_TURNS == 0:
            self._refresh()

    def _play(self, which):
        """Play the sound of a margin that the tip has entered."""
        if not which or not self.ui.soundCheckBox.checked:
            return
        if which not in self._sounds:
            self._sounds[which] = qt.QSoundEffect()
            file = self.logic.library.write_sound(which, Path(slicer.app.temporaryPath))
            self._sounds[which].setSource(qt.QUrl.fromLocalFile(str(file)))
        self._sounds[which].play()

    # ---- the strip

    def onStateButton(self, name):
        """Open the section that a state belongs to, or close it when it is open."""
        section = getattr(self.ui, STATE_BUTTONS[name])
        section.collapsed = not section.collapsed

    # ---- source

    def onConnect(self, *_args):
        host, port = self.ui.hostLineEdit, self.ui.portSpinBox  # to be read once the workspace has bound the parameters
        self._do(lambda workspace: self.logic.source.connect_or_disconnect(host.text.strip(), port.value))
        self._refresh()

    def onLive(self, *_args):
        self._do(lambda workspace: self.logic.source.start_or_stop_live())
        self._refresh()

    def onConnectorChosen(self, node):
        if node is not None or self.logic.workspace is not None:  # a closing scene must not start anything
            self._do(lambda workspace: self.logic.source.use_connector(node))

    def onPlay(self, *_args):
        path = self.ui.casePathLineEdit
        self._do(lambda workspace: self.logic.source.play_or_pause(Path(path.currentPath), self.ui.speedSpinBox.value))
        self._refresh()

    def onSpeed(self, speed):
        if self.logic.recording is not None:
            self.logic.recording.speed = speed

    def onSeek(self, position_s):
        if self.logic.recording is not None:
            self.logic.recording.seek(position_s)

    def onVolumeChosen(self, node):
        if node is not None and (self._isEntered or self.logic.workspace is not None):
            self._do(lambda workspace: self.logic.source.use_node(node) if node is not workspace.volume.node else None)

    def onFollow(self, index):
        device = self.ui.followedComboBox.itemText(index) if index > 0 else None
        self._do(lambda workspace: workspace.follow(device))

    # ---- seed

    def onPlace(self, *_args):
        self._do(lambda workspace: self.logic.library.start_placing(workspace))

    def onSeedAtTip(self, *_args):
        self._do(lambda workspace: workspace.add_seed_at_tip(self.ui.toolSelector.currentNode()))

    def _showCropBox(self):
        """Show the cube around the seed while the section is open in which it is changed."""
        if self.logic.workspace is not None:
            self.logic.workspace.show_crop_box(not self.ui.segmentButton.collapsed)

    # ---- segment

    def onApply(self, *_args):
        self._do(lambda workspace: workspace.cancel() if workspace.session.busy else workspace.segment())
        self._refresh()

    # ---- result

    @property
    def selectedLesion(self) -> Optional[str]:
        return self._lesions.chosen

    def onLesionSelected(self):
        lesion = self.selectedLesion
        if self.logic.workspace is not None and lesion:
            self.logic.workspace.lesion_store.active_lesion = lesion
            if not self._lesions.is_filling:
                self._do(lambda workspace: self._views.go_to_lesion(lesion))

    def onLesionRenamed(self, row, column):
        if self.logic.workspace is None:  # a name being typed is stored when the table is hidden, at the end
            return
        lesions = self._lesions.lesions
        if column == 0 and row < len(lesions) and not self._lesions.is_filling:
            name = self.ui.lesionTable.item(row, 0).text()
            self._do(lambda workspace: workspace.rename_lesion(lesions[row], name))
            self._lesions.set_again(row)

    def onCorrect(self, *_args):
        self._do(lambda workspace: self.logic.library.correct(workspace, self.selectedLesion))

    def onAgain(self, *_args):
        self._do(lambda workspace: workspace.segment([self.selectedLesion] if self.selectedLesion else None))

    def onRemove(self, *_args):
        if self.selectedLesion:
            self._do(lambda workspace: workspace.remove_seed(self.selectedLesion))

    def onSave(self, *_args):
        folder = self._do(
            lambda workspace: self.logic.library.save(workspace, Path(self.ui.outputDirectoryButton.directory))
        )
        if folder is not None:
            slicer.util.showStatusMessage(_("Saved to {folder}").format(folder=folder), 10000)
            self._showMessage(_("Saved to {folder}").format(folder=folder))

    def onShare(self, *_args):
        self._do(lambda workspace: self.logic.publisher.start_or_stop(self.ui.sharePortSpinBox.value))
        self._refresh()

    def onOutputFolder(self, folder):
        self.ui.outputDirectoryButton.text = Path(folder).name

    # ---- the distance on the screen on the wall

    def onDistanceWindow(self, *_args):
        """Open the window that the distance fills, to be moved to another screen; or close it."""
        if self._distanceWindow is not None and self._distanceWindow.is_open:
            self._closeDistanceWindow()
        else:
            self._closeDistanceWindow()
            window = slicer.util.loadUI(self.resourcePath("UI/DistanceWindow.ui"))
            ui = slicer.util.childWidgetVariables(window)
            self._distanceWindow = self.logic.library.DistanceWindow(window, ui)
            window.show()
        self._refresh()

    def _closeDistanceWindow(self):
        window, self._distanceWindow = self._distanceWindow, None
        if window is not None:
            window.close()

    def _refreshDistanceWindow(self, workspace):
        window = self._distanceWindow
        isOpen = window is not None and window.is_open
        self.ui.windowButton.text = _("Close the distance window") if isOpen else _("Distance in its own window")
        if isOpen:
            window.show(self.logic.library.distance_of(workspace))

    # ---- model

    def onModelChosen(self, index):
        self._useModel(self.ui.modelComboBox.itemData(index))
        self._startWorkspace()

    def onImportFile(self, *_args):
        kinds = _("Models (*.zip);;All files (*)")
        self._beginImport(qt.QFileDialog.getOpenFileName(self.parent, _("Import a model"), "", kinds))

    def onImportFolder(self, *_args):
        self._beginImport(qt.QFileDialog.getExistingDirectory(self.parent, _("Import a model")))

    def onCancelImport(self, *_args):
        self.logic.models.cancel_import()
        self._tickIfNeeded()
        self._refresh()

    def _beginImport(self, path, hasSeedChannel=False):
        if not path:
            return
        try:
            self.logic.models.begin_import(Path(path), self.logic.library.slicers_python(), hasSeedChannel)
        except Exception as error:
            self._showError(error)
        self.ui.seedChannelCheckBox.checked = False
        self._tickIfNeeded()
        self._refresh()

    def _pollImport(self):
        if not self.logic.models.is_importing:
            return
        try:
            key = self.logic.models.poll_import()
            if key is not None:
                self._showMessage(_("{model} is installed.").format(model=key))
                self._useModel(key)
        except Exception as error:
            self._showError(error)
        self._tickIfNeeded()

    def _useModel(self, key):
        """Use a model from now on; it is stored in the settings of the application."""
        try:
            if self.logic.models.use(key, self.logic.workspace, self.logic.makeEngine):
                self._preflight = None
                self._shown.pop("checks", None)
                self.ui.preflightTable.setRowCount(0)
                self._useModelsCropSize()
            self._showNotice()
        except Exception as error:
            self._showError(error)
        self._shown.pop("choices", None)  # the box shows what was clicked, not what came of it
        self._refresh()

    def _showNotice(self):
        """Show once what the user has to know about the model in use."""
        notice, self.logic.models.notice = self.logic.models.notice, ""
        if notice:
            self.logic.note(notice)
            self._showMessage(notice)

    # ---- pre-flight, messages

    def onPreflight(self, *_args):
        folder = Path(self.ui.outputDirectoryButton.directory)
        self._preflight = self._do(lambda workspace: self.logic.library.Preflight(workspace, folder))
        if self.logic.library.lacks_needed_package():
            self._showMessage(_("Packages are missing; press Install."))
        self._refresh()

    def onInstall(self, *_args):
        names = ", ".join(package.requirement for package in self.logic.library.missing())
        question = _("Install into 3D Slicer: {names}?\nIt takes some minutes, in which Slicer does not answer.")
        if not slicer.util.confirmYesNoDisplay(question.format(names=names)):
            return
        try:
            self.logic.library.install_missing(self._showMessage)
        except Exception as error:
            self._showError(error)
            return
        self._endWorkspace()
        self._showMessage(_("Installed. Check it under “Checks before the incision”."))
        self.onPreflight()

    def onCopyLog(self, *_args):
        slicer.app.clipboard().setText("\n".join(self.logic.workspace.log) if self.logic.workspace else "")

    def _showError(self, error: Exception):
        """Show an error; what is not ours is logged with its traceback."""
        logging.log(logging.WARNING if self.logic.isOurs(error) else logging.ERROR, "%s", error, exc_info=error)
        self.logic.note(f"{type(error).__name__}: {error}")
        self._showMessage(str(error) or type(error).__name__)

    def _showMessage(self, text: str):
        self.ui.messageLabel.setText(text)
        self.ui.installButton.setVisible(bool(self.logic.library.missing()))
        self.ui.messageFrame.setVisible(True)
        slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)

    # ---- shortcuts

    def _installShortcuts(self):
        self._removeShortcuts()
        for key, handler in ((TIP_KEY, self.onSeedAtTip), (SEGMENT_KEY, self.onApply)):
            shortcut = qt.QShortcut(slicer.util.mainWindow())
            shortcut.setKey(qt.QKeySequence(key))
            shortcut.connect("activated()", handler)
            self._shortcuts.append(shortcut)

    def _removeShortcuts(self):
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []

    # ---- what the panel shows

    def _refresh(self):
        """Redraw what has changed."""
        workspace, logic, library = self.logic.workspace, self.logic, self.logic.library
        rows = workspace.rows() if workspace else []
        self._refreshDistance()
        self._show(library.panel_view(workspace, logic.source, logic.publisher, logic.session, self._views, rows))
        self._refreshStrip(workspace)
        self._refreshDistanceWindow(workspace)
        self._refreshSource(workspace)
        self._refreshProgress(workspace, rows)
        self._lesions.show(rows, workspace)
        self._refreshModel(workspace)
        self._refreshPreflight()
        problem = library.texts.problem_text(workspace, logic.source)
        if problem and self._shown.get("problem") != problem:
            self._showMessage(problem)
        self._shown["problem"] = problem

    def _refreshDistance(self):
        """Show the newest distance; at each turn, since the rest of the panel may wait longer for the views."""
        workspace = self.logic.workspace
        situation = workspace.navigation.situation if workspace else None
        if self._shown.get("situation", self) is not situation:
            self._shown["situation"] = situation
            self._show(self.logic.library.distance_view(workspace, self._views))
            if self._distanceWindow is not None and self._distanceWindow.is_open:
                self._distanceWindow.show(self.logic.library.distance_of(workspace))

    def _show(self, view):
        """Set texts, visibility and usability of widgets, by their names."""
        for setter, values in (("setText", view.texts), ("setVisible", view.visible), ("setEnabled", view.enabled)):
            for name, value in values.items():
                getattr(getattr(self.ui, name), setter)(value)

    def _refreshStrip(self, workspace):
        """Show what is well and what is not; fold the sections away whose work is done."""
        logic, library, ui = self.logic, self.logic.library, self.ui
        checks = self._preflight.checks() if self._preflight else ()
        if self._strip is None:
            self._strip = library.StripWidgets(ui)
        strip = library.status_strip(workspace, logic.source, logic.session, checks)
        self._strip.show(strip)
        if self._sections is None:
            return
        hasVolume = workspace is not None and workspace.volume.node is not None
        for name in self._sections.to_fold(hasVolume, strip.states["linkStateButton"][0], checks):
            getattr(ui, name).collapsed = True
        tab = self._sections.tab_to_show(logic.source)
        if tab is not None:
            ui.sourceTabs.currentIndex = tab

    def _refreshSource(self, workspace):
        ui, recording = self.ui, self.logic.recording
        if recording is not None:
            wasBlocked = ui.positionSlider.blockSignals(True)  # only the user seeks
            ui.positionSlider.maximum = max(0.1, recording.duration_s)
            ui.positionSlider.value = recording.position_s
            ui.positionSlider.blockSignals(wasBlocked)
        devices = dict(workspace.devices) if workspace else {}
        if devices != self._shown.get("devices"):
            self._shown["devices"] = devices
            ui.deviceList.clear()
            ui.deviceList.addItems([f"{device}  ({kind})" for device, kind in sorted(devices.items())])
            volumes, index = self.logic.library.texts.followable(workspace)
            ui.followedComboBox.clear()
            ui.followedComboBox.addItems(volumes)
            ui.followedComboBox.setCurrentIndex(index)

    def _refreshProgress(self, workspace, rows):
        running = next((row for row in rows if row.state.value == "running"), None)
        bar = self.ui.progressBar
        bar.maximum, bar.value = (max(1, running.total), running.done) if running else (1, 0)
        isBusy = workspace is not None and workspace.session.busy
        if isBusy != self._shown.get("busy"):
            self._shown["busy"] = isBusy
            icon = qt.QStyle.SP_DialogCancelButton if isBusy else qt.QStyle.SP_DialogApplyButton
            self.ui.applyButton.setIcon(self.parent.style().standardIcon(icon))
        bar.setFormat(self.logic.library.texts.progress_text(running, isBusy))

    @property
    def _lesions(self):
        """The table of lesions, see `CRLMSegmentationLib.slicer.panel.lesion_table.LesionTable`."""
        if self._lesionTable is None:
            self.ui.lesionTable.verticalHeader().setDefaultSectionSize(self.logic.library.TOUCH_PX)
            self._lesionTable = self.logic.library.LesionTable(self.ui, self._makeItem, self._makeSwatch)
        return self._lesionTable

    @staticmethod
    def _makeSwatch(colour):
        """Return a square of a lesion's colour."""
        pixmap = qt.QPixmap(SWATCH_PX, SWATCH_PX)
        pixmap.fill(qt.QColor(colour))
        return qt.QIcon(pixmap)

    @staticmethod
    def _makeItem(text, colour, isEditable=False):
        item = qt.QTableWidgetItem(text)
        item.setToolTip(text)
        item.setForeground(qt.QBrush(qt.QColor(colour)))
        if not isEditable:
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
        return item

    def _refreshModel(self, workspace):
        view = self.logic.library.model_texts.model_view(
            workspace, self.logic.models, self.ui.seedChannelCheckBox.checked
        )
        self._show(view)
        if self._shown.get("choices") != (view.choices, view.chosen):
            self._shown["choices"] = view.choices, view.chosen
            self._fillModels(view.choices, view.chosen)

    def _fillModels(self, choices, chosen):
        box = self.ui.modelComboBox
        box.clear()
        for index, (text, key, tip, isUsable) in enumerate(choices):
            box.addItem(text, key)
            box.setItemData(index, tip, qt.Qt.ToolTipRole)
            if not isUsable:
                box.setItemData(index, 0, qt.Qt.UserRole - 1)  # in this role Qt keeps the flags of an item
        box.setCurrentIndex(box.findData(chosen))

    def _refreshPreflight(self):
        checks = self._preflight.checks() if self._preflight else ()
        self.ui.preflightButton.text = self.logic.library.checks_title(checks)
        cells = self.logic.library.texts.check_cells(checks) if self._preflight else None
        if cells is None or cells == self._shown.get("checks"):
            return
        self._shown["checks"] = cells
        table = self.ui.preflightTable
        table.setRowCount(len(cells) // 2)
        for place, (text, colour) in cells.items():
            table.setItem(*place, self._makeItem(text, colour))
        table.resizeColumnToContents(0)
        table.resizeRowsToContents()


class CRLMSegmentationLogic(ScriptedLoadableModuleLogic):
    """The logic of the module, without a panel; `tick` must be called every 10 to 20 ms.

    Args:
        makeEngine: makes an `engine.engine.Engine` for a model package; None for nnU-Net in a process of its own.

    Attributes:
        workspace: the session in the scene, see `slicer.workspace.workspace.Workspace`; None before it is opened.
        source: where it takes its volumes from, see `CRLMSegmentationLib.slicer.workspace.volume_source.VolumeSource`.
        publisher: offers results to others, see `CRLMSegmentationLib.slicer.workspace.publisher.Publisher`.
        session: records what happens, see `CRLMSegmentationLib.slicer.workspace.session_recording.SessionRecording`.
    """

    def __init__(self, makeEngine: Optional[Callable] = None):
        super().__init__()
        self.makeEngine = makeEngine or (lambda model: self.library.make_worker(model))
        self.workspace: Any = None
        self.source: Any = None
        self.publisher: Any = None
        self.session: Any = None
        self._models: Any = None

    def getParameterNode(self):
        return CRLMSegmentationParameterNode(super().getParameterNode())

    # ---- the workspace

    def openWorkspace(self, model: Optional[Path] = None):
        """Load a model's description and start its worker; by default, of the model that was chosen last."""
        self.workspace = self.library.open_workspace(self.models, self.makeEngine, model)
        self.session, self.publisher = (
            self.library.SessionRecording(self.workspace),
            self.library.Publisher(self.workspace),
        )
        self.source = self.library.VolumeSource(self.workspace, self.session.recording)

    def closeWorkspace(self):
        """End the links and the worker with everything they have started."""
        workspace, publisher, session = self.workspace, self.publisher, self.session
        self.workspace = self.source = self.publisher = self.session = None
        if workspace is not None:
            publisher.stop()
            session.end()
            workspace.close()

    def tick(self):
        before = self.workspace.volume.node
        self.source.update()
        self.session.prepare()
        self.workspace.tick()
        self.session.update()
        self.publisher.update()
        if self.workspace.volume.node is not None and self.workspace.volume.node is not before:
            slicer.util.setSliceViewerLayers(background=self.workspace.volume.node, fit=True)

    @property
    def library(self):
        """What the panel calls, see `CRLMSegmentationLib.slicer.panel.panel`; imported when it is first needed."""
        from CRLMSegmentationLib.core import i18n
        from CRLMSegmentationLib.slicer.panel import panel

        i18n.translator = lambda text: translate("CRLMSegmentation", text)
        return panel

    @property
    def models(self):
        """The installed models and the chosen one, see `CRLMSegmentationLib.slicer.workspace.models.Models`."""
        if self._models is None:
            settings = qt.QSettings()
            chosen = str(settings.value(MODEL_SETTING) or "")
            self._models = self.library.Models(chosen, lambda key: settings.setValue(MODEL_SETTING, key))
        return self._models

    @property
    def recording(self):
        """The recorded case that is played, or None."""
        return self.source.recording if self.source is not None else None

    @staticmethod
    def isOurs(error: Exception) -> bool:
        """Whether an error was raised on purpose, with cause and next action."""
        errors = sys.modules.get("CRLMSegmentationLib.core.errors")
        return errors is not None and isinstance(error, errors.CrlmError)

    def note(self, text: str):
        if self.workspace is not None:
            self.workspace.note(text)


class CRLMSegmentationTest(ScriptedLoadableModuleTest):
    """Plays a shipped case, places its seed, and checks the Dice. Needs torch and nnunetv2."""

    LEAST_DICE = 0.7

    def runTest(self):
        slicer.mrmlScene.Clear(False)
        self.test_recordedCaseBecomesASegmentation()

    def test_recordedCaseBecomesASegmentation(self):
        from CRLMSegmentationLib.slicer.self_test import dice_of_sample

        dice = dice_of_sample(CRLMSegmentationLogic(), slicer.app.processEvents)
        assert dice > self.LEAST_DICE, f"Dice {dice:.2f}"
        self.delayDisplay(f"Simulated case: Dice {dice:.2f}")
