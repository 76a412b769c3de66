"""The stand-ins for ctk and qMRML widgets, on a real scene."""

from __future__ import annotations

import numpy as np
import pytest
from slicer_host import HostError


@pytest.fixture
def selector(host):
    import slicer

    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.noneEnabled = True
    box.setMRMLScene(slicer.mrmlScene)
    return box


def test_a_selector_lists_the_nodes_of_its_types_and_follows_the_scene(host, selector, add_volume):
    assert selector.nodeCount() == 0
    volume = add_volume("us")
    host.scene.AddNewNodeByClass("vtkMRMLModelNode", "liver")
    assert selector.nodeCount() == 1
    assert selector.currentNode() is None
    selector.setCurrentNode(volume)
    assert selector.currentNodeID == volume.GetID()
    host.scene.RemoveNode(volume)
    assert (selector.nodeCount(), selector.currentNode(), selector.currentNodeID) == (0, None, "")


def test_a_selector_tells_of_its_current_node(selector, add_volume):
    nodes, valid, ids = [], [], []
    selector.currentNodeChanged.connect(nodes.append)
    assert selector.connect("currentNodeChanged(bool)", valid.append)
    assert selector.connect("currentNodeIDChanged(QString)", ids.append)
    volume = add_volume("us")
    selector.setCurrentNode(volume)
    selector.setCurrentNode(volume)
    selector.setCurrentNode(None)
    assert (nodes, valid, ids) == ([volume, None], [True, False], [volume.GetID(), ""])


def test_a_selector_keeps_what_was_asked_before_the_scene_came(host, add_volume):
    import slicer

    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    volume = add_volume("us")
    box.setCurrentNode(volume)
    box.setMRMLScene(slicer.mrmlScene)
    assert box.currentNode() is volume


def test_a_selector_asks_for_attributes_and_shows_new_names(selector, add_volume):
    selector.addAttribute("vtkMRMLScalarVolumeNode", "Kind", "us")
    volume = add_volume("a")
    assert selector.nodeCount() == 0
    volume.SetAttribute("Kind", "us")
    selector.removeAttribute("vtkMRMLScalarVolumeNode", "Kind")
    assert selector.nodeFromIndex(0) is volume


def test_setters_that_are_no_slots_are_missing_as_in_slicer(ctk, host):
    import slicer

    for widget, name in (
        (ctk.ctkCollapsibleButton(), "setCollapsed"),
        (ctk.ctkSliderWidget(), "setMinimum"),
        (ctk.ctkDirectoryButton(), "setDirectory"),
        (slicer.qMRMLNodeComboBox(), "setNodeTypes"),
    ):
        with pytest.raises(AttributeError, match=name):
            getattr(widget, name)


def test_a_slider_keeps_its_value_within_its_range(ctk):
    slider, got = ctk.ctkSliderWidget(), []
    slider.minimum, slider.maximum, slider.decimals = 5.0, 90.0, 1
    slider.valueChanged.connect(got.append)
    slider.value = 200
    slider.setValue(7.25)
    assert slider.value == pytest.approx(7.3)
    assert got == [90.0, pytest.approx(7.3)]
    assert type(slider).__name__ == slider.className() == "ctkSliderWidget"


def test_a_collapsed_button_hides_its_contents(ctk, qt):
    section, got = ctk.ctkCollapsibleButton(), []
    section.text = "Source"
    layout = qt.QVBoxLayout(section)
    label = qt.QLabel("inside")
    layout.addWidget(label)
    section.connect("contentsCollapsed(bool)", got.append)
    section.collapsed = True
    assert (label.isHidden(), section.collapsed, got) == (True, True, [True])


def test_a_path_is_told_and_remembered(ctk, qt, tmp_path):
    edit, got = ctk.ctkPathLineEdit(), []
    edit.settingKey = "Sample/Path"
    edit.currentPathChanged.connect(got.append)
    edit.currentPath = str(tmp_path)
    edit.addCurrentPathToHistory()
    assert got == [str(tmp_path)]
    again = ctk.ctkPathLineEdit()
    again.settingKey = "Sample/Path"
    assert again.currentPath == str(tmp_path)


def test_placing_goes_through_the_interaction_node(host):
    import slicer

    place, modes = slicer.qSlicerMarkupsPlaceWidget(), []
    place.setMRMLScene(slicer.mrmlScene)
    place.connect("activeMarkupsPlaceModeChanged(bool)", modes.append)
    seeds = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Seeds")
    place.setCurrentNode(seeds)
    with pytest.raises(HostError, match="place mode"):
        host.place_point((1, 2, 3))
    place.setPlaceModeEnabled(True)
    assert place.placeModeEnabled
    host.place_point((1, 2, 3))
    assert (place.placeModeEnabled, modes, seeds.GetNumberOfControlPoints()) == (False, [True, False], 1)
    place.placeMultipleMarkups = slicer.qSlicerMarkupsPlaceWidget.ForcePlaceMultipleMarkups
    place.setPlaceModeEnabled(True)
    host.place_point((1, 2, 3))
    assert place.placeModeEnabled


def test_a_segments_table_follows_its_segmentation(host):
    import slicer

    table, selections = slicer.qMRMLSegmentsTableView(), []
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    table.setSegmentationNode(node)
    table.connect("selectionChanged(QItemSelection,QItemSelection)", lambda *_: selections.append(1))
    node.GetSegmentation().AddEmptySegment("a", "Lesion 1")
    node.GetSegmentation().AddEmptySegment("b", "Lesion 2")
    assert table.segmentCount == 2
    table.setSelectedSegmentIDs(["b"])
    assert (table.selectedSegmentIDs(), selections) == (("b",), [1])


def test_slicers_own_functions_work_on_the_scene(host):
    import slicer

    volume = slicer.util.addVolumeFromArray(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), name="us")
    assert slicer.util.getNode("us") is volume
    assert slicer.util.arrayFromVolume(volume).shape == (2, 3, 4)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == volume.GetID()
    slicer.util.resetThreeDViews()
    slicer.util.forceRenderAllViews()
    assert slicer.util.showStatusMessage("ready", 100)
    assert slicer.util.mainWindow().statusBar().currentMessage() == "ready"


def test_a_layout_must_be_described_before_it_is_used(host):
    import slicer

    manager = slicer.app.layoutManager()
    with pytest.raises(HostError, match="was not described"):
        manager.setLayout(4711)
    node = manager.layoutLogic().GetLayoutNode()
    node.AddLayoutDescription(4711, '<layout><item><view class="vtkMRMLViewNode" singletontag="1"/></item></layout>')
    manager.setLayout(4711)
    assert manager.layout == node.GetViewArrangement() == 4711
    assert len(slicer.util.getNodesByClass("vtkMRMLViewNode")) == 1


def test_text_in_the_corner_of_the_view_of_space(host):
    import slicer

    view = slicer.app.layoutManager().threeDWidget(0).threeDView()
    view.setCornerAnnotationText("12 mm")
    assert view.cornerAnnotation().GetText(2) == view.cornerAnnotationText == "12 mm"


def test_volume_rendering_has_its_real_logic(host):
    import slicer

    volume = slicer.util.addVolumeFromArray(np.arange(8, dtype=np.uint8).reshape(2, 2, 2), name="us")
    logic = slicer.modules.volumerendering.logic()
    assert logic.GetFirstVolumeRenderingDisplayNode(volume) is None
    display = logic.CreateDefaultVolumeRenderingNodes(volume)
    assert display.GetVolumeNode() is volume
    assert display.GetVolumePropertyNode() is not None


def test_nodes_are_saved_and_loaded(host, tmp_path):
    import slicer

    volume = slicer.util.addVolumeFromArray(np.arange(8, dtype=np.uint8).reshape(2, 2, 2), name="us")
    assert slicer.util.saveNode(volume, str(tmp_path / "us.nrrd"))
    assert slicer.util.arrayFromVolume(slicer.util.loadVolume(str(tmp_path / "us.nrrd"))).sum() == 28
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.GetSegmentation().AddEmptySegment("a", "Lesion 1")
    assert slicer.util.saveNode(segmentation, str(tmp_path / "us.seg.nrrd"))
    with pytest.raises(RuntimeError, match="Failed to load"):
        slicer.util.loadSegmentation(str(tmp_path / "nosuch.seg.nrrd"))


def test_a_sound_is_silent_and_counted(qt):
    sound = qt.QSoundEffect()
    sound.source = qt.QUrl("file:///beep.wav")
    sound.play()
    assert sound.playing
    assert sound._real.played == 1


def test_the_application_has_properties_and_methods(host):
    import slicer

    assert (slicer.app.majorVersion, slicer.app.minorVersion, slicer.app.applicationVersion) == (5, 8, "5.8.1")
    assert slicer.app.testingEnabled() is False
    slicer.app.processEvents()
    assert slicer.app.applicationLogic().GetMRMLScene() is slicer.mrmlScene
    assert slicer.modules.markups.logic().IsA("vtkSlicerMarkupsLogic")
    with pytest.raises(AttributeError):
        slicer.app.nosuch  # noqa: B018


def test_modules_can_be_missing_and_be_there(host):
    import slicer

    assert not hasattr(slicer.modules, "openigtlinkif")
    host.add_module("OpenIGTLinkIF")
    assert "OpenIGTLinkIF" in slicer.util.moduleNames()
    assert slicer.modules.openigtlinkif.name == "OpenIGTLinkIF"
    host.remove_module("OpenIGTLinkIF")
    assert not hasattr(slicer.modules, "openigtlinkif")


def test_settings_are_the_hosts_own(host, qt):
    import slicer

    qt.QSettings().setValue("Sample/Port", 18944)
    assert slicer.app.userSettings().value("Sample/Port") in (18944, "18944")
    assert slicer.util.settingsValue("Sample/Nothing", 3) == 3
    assert str(host.application.folder) in qt.QSettings().fileName()


def test_messages_are_recorded_and_questions_answered(host):
    import slicer

    slicer.util.errorDisplay("no model", detailedText="trace")
    slicer.util.warningDisplay("CPU only")
    host.answers += [True, False]
    assert slicer.util.confirmYesNoDisplay("Install?") is True
    assert slicer.util.confirmOkCancelDisplay("Sure?") is False
    assert [m.kind for m in host.messages] == ["error", "warning", "question", "question"]
    assert (host.messages[0].text, host.messages[0].detail) == ("no model", "trace")
    with pytest.raises(HostError, match="answers"):
        slicer.util.confirmYesNoDisplay("Again?")
    slicer.util.pip_install("nnunetv2>=2.6")
    assert host.user.pip == ["nnunetv2>=2.6"]


def test_texts_are_translated(host):
    from slicer.i18n import tr as _

    host.application.translations = {"Start": "Starten", "{n} lesions": "lesies"}
    assert _("Start") == "Starten"
    assert _("{n} lesions") == "{n} lesions"
    assert _("Stop") == "Stop"
