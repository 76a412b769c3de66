"""3D Slicer's module CRLMSegmentation: connect, drop a seed, see the tumour.

The classes that Slicer looks for, with the life of the panel. What its widgets do stands in
`CRLMSegmentationLib.slicer.widgets`, everything else in the rest of CRLMSegmentationLib. That is imported when the
panel is made, so that Slicer starts as fast as without this module.

No threads, which starve in Slicer: one QTimer drives `Workspace.tick`, which reads the scene. The parameter node is
observed, and its settings are applied when it was modified.
"""

import sys
from pathlib import Path
from typing import Annotated, Any, Callable, Optional

import qt
import slicer
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
UNDO_POINT_KEY, EXCLUDE_KEY, INCLUDE_KEY, TIP_KEY, SEGMENT_KEY = "F6", "F7", "F8", "F9", "F10"
MODEL_SETTING = "CRLMSegmentation/model"  # of the application: key of the model that was chosen last


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
    """Offer the shipped simulated cases in the module Sample Data."""
    from CRLMSegmentationLib.slicer.sample_data import register_sample_data

    register_sample_data()


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
    """The panel of the module, a `CRLMSegmentationLib.slicer.widgets.module_widget.ModuleWidget`."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.ui = self.views = self._timer = None
        self.parameters = self.messages = self.shortcuts = self.sounds = self.distanceWindow = None
        self.checks = self.model = self.display = self.actions = None  # see _makeWidgets
        self._isEntered = self._isImporting = False
        self._turn = 0
        self._turnError = ""

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
        self._makeWidgets()
        self.ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onVolumeChosen)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndBatchProcessEvent, self.onSceneEndBatchProcess)
        slicer.app.aboutToQuit.connect(self.onQuit)
        self.parameters.bind()  # after a reload the panel is shown without being entered

    def _makeWidgets(self):
        """Connect what is written in the .ui file with what it does and shows."""
        library = self.logic.library
        library.prepare_tables(self.ui)
        library.set_icons(self.ui, self.parent.style())
        self.parameters = library.ParameterBinding(self)
        self.messages = library.MessageArea(self.ui, self.logic.note)
        self.distanceWindow = library.DistanceWindowButton(self, self.resourcePath("UI/DistanceWindow.ui"))
        self.checks = library.ChecksSection(self)
        self.model = library.ModelSection(self, self.onModelUsed)
        self.display = library.Display(self, self.model, self.checks, self.distanceWindow)
        self.actions = library.Actions(self, self.display.lesions)
        self.sounds = library.AlarmSounds()
        self.shortcuts = library.Shortcuts(
            {
                UNDO_POINT_KEY: self.display.points.undo,
                EXCLUDE_KEY: self.display.points.exclude_at_tip,
                INCLUDE_KEY: self.display.points.include_at_tip,
                TIP_KEY: self.actions.seed_at_tip,
                SEGMENT_KEY: self.actions.segment_or_cancel,
            }
        )

    def enter(self):
        """Enable the shortcuts and load the model when the user opens the module."""
        self._isEntered = True
        self.parameters.bind()
        self.shortcuts.install()
        self.logic.models.refresh()
        self.startWorkspace()
        self.refresh()

    def exit(self):
        """Disable the shortcuts when the user leaves the module; tracking and inference go on."""
        self._isEntered = False
        self.shortcuts.remove()

    def cleanup(self):
        """End the workspace when the panel is destroyed, at reload and at the end of Slicer."""
        if self.actions is not None:  # else setup has failed
            self.shortcuts.remove()
            self.distanceWindow.close()
            self.onQuit()
            self.parameters.release()
            slicer.app.aboutToQuit.disconnect(self.onQuit)
        self.removeObservers()

    def onReload(self):
        """Reload the module with its library, after what is under way has been ended."""
        self.onQuit()
        for name in [name for name in sys.modules if name.split(".")[0] == LIBRARY]:
            del sys.modules[name]
        super().onReload()

    def onQuit(self):
        self.logic.models.cancel_import()
        self.endWorkspace()

    def onSceneStartClose(self, caller=None, event=None):
        self.endWorkspace()
        self.parameters.release()

    def onSceneEndClose(self, caller=None, event=None):
        if self._isEntered and not self._isImporting:
            self.parameters.bind()

    def onSceneStartImport(self, caller=None, event=None):
        """Stop all work until an import has added all nodes."""
        self._isImporting = True
        self._timer.stop()
        self.parameters.release()

    def onSceneEndBatchProcess(self, caller=None, event=None):
        """Resume after an import; at EndImportEvent the selectors do not list the new nodes yet."""
        if not self._isImporting:
            return
        self._isImporting = False
        if self.logic.workspace is not None:
            self.logic.workspace.lesion_store.take_over_seeds()
        self.updateTimer()
        if self._isEntered:
            self.parameters.bind()
            self.startWorkspace()

    # ---- the workspace

    def startWorkspace(self):
        """Open the workspace if it is not; returns None when it cannot be opened, and the panel says why."""
        if self.logic.workspace is None:
            try:
                self.logic.openWorkspace()
            except Exception as error:
                self.messages.show_error(error)
                return None
            self.display.begin()
            manager, rendering = slicer.app.layoutManager(), slicer.modules.volumerendering.logic()
            self.views = self.logic.library.ViewController(self.logic.workspace, manager, rendering)
            self.actions.show_crop_box()
            if self.parameters.parameters is None:
                self.parameters.bind()
            else:
                self.parameters.use_models_crop_size()
                self.parameters.apply()
            self.model.show_notice()
            self.onVolumeChosen(
                self.ui.volumeSelector.currentNode() or self.logic.workspace.lesion_store.volume_of_segmentations()
            )
        self._timer.start()
        return self.logic.workspace

    def endWorkspace(self):
        """End the workspace with what it has started."""
        self.checks.forget()
        views, self.views = self.views, None
        if views is not None:
            views.end()
        self.logic.closeWorkspace()
        self.display.forget()
        self.updateTimer()
        self.refresh()

    def updateTimer(self):
        """Tick while there is a workspace, or a model is being imported."""
        if self.logic.workspace is not None or self.logic.models.is_importing:
            self._timer.start()
        elif self._timer is not None:
            self._timer.stop()

    def do(self, action: Callable) -> Any:
        """Run an action on the open workspace; an error is shown, with its cause and the next action."""
        if self.startWorkspace() is None:
            return None
        try:
            with slicer.util.RenderBlocker():
                return action(self.logic.opened)
        except Exception as error:
            self.messages.show_error(error)
            return None

    def refresh(self):
        """Redraw what has changed."""
        self.display.refresh()

    def onTick(self):
        self.model.poll_import()
        workspace = self.logic.workspace
        try:
            if workspace is not None:
                with slicer.util.RenderBlocker():  # else each change of a node may render, here and now
                    self.parameters.restore()
                    self.logic.tick()
                    self.parameters.store_crop_size(workspace)
                    sound = self.views.update()
                if sound and self.ui.soundCheckBox.checked:
                    self.sounds.play(sound)
            self._turnError = ""
        except Exception as error:  # one bad turn must not stop the tracking; a hundred a second are told once
            if self._turnError != str(error):
                self._turnError = str(error)
                self.messages.show_error(error)
        self.display.refresh_distance()
        self._turn += 1
        if self._turn % REFRESH_TURNS == 0:
            self.refresh()

    def onVolumeChosen(self, node):
        if self._isEntered or self.logic.workspace is not None:
            self.actions.use_volume(node)

    def onModelUsed(self):
        """Begin anew with another model: what the checks have found was about the one before."""
        self.checks.clear()
        self.parameters.use_models_crop_size()


def _ofOpened(name):
    """Return a property of the logic: what is open under a name; None while no workspace is open."""
    return property(lambda logic: getattr(logic.opened, name, None))


class CRLMSegmentationLogic(ScriptedLoadableModuleLogic):
    """The logic of the module, without a panel; `tick` must be called every 10 to 20 ms.

    Args:
        makeEngine: makes an `engine.engine.Engine` for a model package; None for nnU-Net in a process of its own.

    Attributes:
        opened: the workspace with what was opened together with it, see
            `CRLMSegmentationLib.slicer.workspace.open_workspace.OpenWorkspace`; None before and after.
        workspace, source, publisher, recording: the same one by one.
    """

    def __init__(self, makeEngine: Optional[Callable] = None):
        super().__init__()
        self.makeEngine = makeEngine or (lambda model: self.library.make_worker(model))
        self.opened: Any = None
        self._models: Any = None

    def getParameterNode(self):
        return CRLMSegmentationParameterNode(super().getParameterNode())

    # ---- the workspace

    def openWorkspace(self, model: Optional[Path] = None):
        """Load a model's description and start its worker; by default, of the model that was chosen last."""
        self.opened = self.library.open_workspace(self.models, self.makeEngine, model)

    def closeWorkspace(self):
        """End the links and the worker with everything they have started."""
        opened, self.opened = self.opened, None
        if opened is not None:
            opened.close()

    def tick(self):
        before = self.workspace.volume.node
        self.opened.tick()
        if self.workspace.volume.node is not None and self.workspace.volume.node is not before:
            slicer.util.setSliceViewerLayers(background=self.workspace.volume.node, fit=True)

    workspace, source, publisher, recording = map(_ofOpened, ("workspace", "source", "publisher", "recording"))

    @property
    def library(self):
        """What this file calls, see `CRLMSegmentationLib.slicer.widgets.library`; imported when it is first needed."""
        from CRLMSegmentationLib.core import i18n
        from CRLMSegmentationLib.slicer.widgets import library

        i18n.translator = lambda text: translate("CRLMSegmentation", text)
        return library

    @property
    def models(self):
        """The installed models and the chosen one, see `CRLMSegmentationLib.slicer.workspace.models.Models`."""
        if self._models is None:
            settings = qt.QSettings()
            chosen = str(settings.value(MODEL_SETTING) or "")
            self._models = self.library.Models(chosen, lambda key: settings.setValue(MODEL_SETTING, key))
        return self._models

    @property
    def recordedLink(self):
        """The recorded case that is played, or None."""
        return self.source.recorded_link if self.source is not None else None

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
