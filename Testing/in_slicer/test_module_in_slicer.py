"""What only a real 3D Slicer can show: loading, the panel, scene events, reload, saving, the self-test.

It needs the application, so pytest leaves it alone. After a build of the extension, CTest runs it:

    ctest -R CRLMSegmentation

From a checkout, without building (add --no-main-window for the second kind of run):

    Slicer --testing --additional-module-paths CRLMSegmentation \
        --python-script Testing/in_slicer/test_module_in_slicer.py
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
import time
import unittest
from pathlib import Path

import slicer

MODULE = "CRLMSegmentation"
LIBRARY = "CRLMSegmentationLib"
PATIENCE_S = 10.0


def panel():
    """The module's widget, as Python sees it; made when first asked for."""
    return slicer.util.getModuleWidget(MODULE)


def parameter_nodes() -> list:
    """The module's own parameter nodes in the scene."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
    return [node for node in nodes if node.GetAttribute("ModuleName") == MODULE]


def close_scene() -> None:
    """Close the scene as File, Close Scene does, and let timers and queued events run."""
    slicer.mrmlScene.Clear(False)
    slicer.app.processEvents()


def child_command_lines() -> list[str]:
    """Command lines of the processes that this Slicer has started and that still run (Linux)."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            command = Path("/proc", pid, "cmdline")
            if command.exists():
                found.append(command.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def wait_until(condition) -> bool:
    """Let Slicer work until a condition holds, or until patience ends; returns whether it holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        slicer.app.processEvents()
        time.sleep(0.02)
    return True


def run_self_test() -> None:
    """What "Reload and Test" runs: play a shipped case, drop its seed, compare with the truth."""
    import CRLMSegmentation

    CRLMSegmentation.CRLMSegmentationTest().runTest()


class ModuleInSlicer(unittest.TestCase):
    """Each test starts and ends with an empty scene."""

    def setUp(self):
        close_scene()

    def tearDown(self):
        close_scene()

    def test_slicer_has_loaded_the_module(self):
        module = slicer.util.getModule(MODULE)
        assert module.title, "no title"
        assert "IGT" in list(module.categories), module.categories
        assert module.helpText, "no help text"
        assert module.acknowledgementText, "no acknowledgement"
        assert not module.icon.isNull(), "no icon"

    def test_panel_can_be_entered_and_left_again_and_again(self):
        for _ in range(3):
            panel().enter()
            slicer.app.processEvents()
            panel().exit()

    def test_panel_is_shown_by_the_module_selector(self):
        if slicer.util.mainWindow() is None:
            self.skipTest("started without a main window")
        slicer.util.selectModule(MODULE)
        assert slicer.util.selectedModule() == MODULE

    def test_scene_close_leaves_no_result_behind_and_the_panel_usable(self):
        panel().enter()
        close_scene()
        for left in ("vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode", "vtkMRMLMarkupsFiducialNode"):
            assert slicer.mrmlScene.GetNumberOfNodesByClass(left) == 0, left
        panel().exit()
        panel().enter()
        assert len(parameter_nodes()) == 1

    def test_points_are_drawn_as_their_kinds_and_saved_with_the_scene(self):
        points = importlib.import_module(f"{LIBRARY}.slicer.scene.correction_points")
        core = importlib.import_module(f"{LIBRARY}.core.points")
        scene, placed = slicer.mrmlScene, {}
        for number, kind in enumerate(core.PointKind, 1):
            placed[number] = core.CorrectionPoint(kind, (float(number), 2.0, 3.0))
            assert points.add_point(scene, "Tumour 1", placed[number]) == number
        slicer.app.processEvents()
        for kind in core.PointKind:
            display = points.point_node(scene, "Tumour 1", kind).GetDisplayNode()
            assert display.GetGlyphTypeAsString(display.GetGlyphType()) == points.GLYPHS[kind]
        with tempfile.TemporaryDirectory() as folder:
            saved = str(Path(folder) / "scene.mrb")
            assert slicer.util.saveScene(saved), "the scene was not saved"
            close_scene()
            assert points.number_points(scene) == {}
            slicer.util.loadScene(saved)
        assert points.number_points(scene) == {"Tumour 1": placed}

    def test_point_is_placed_by_a_click_in_place_mode(self):
        """As `application.start_placing_point` does; the click itself is what Slicer's own widget makes of it."""
        points = importlib.import_module(f"{LIBRARY}.slicer.scene.correction_points")
        core = importlib.import_module(f"{LIBRARY}.core.points")
        application = importlib.import_module(f"{LIBRARY}.slicer.workspace.application")
        node = points.point_node(slicer.mrmlScene, "Tumour 1", core.PointKind.EXCLUDE)
        application.place_into(node)
        assert points.kind_being_placed(slicer.mrmlScene) == ("Tumour 1", core.PointKind.EXCLUDE)
        index = node.AddControlPoint([1.0, 2.0, 3.0])
        node.SetNthControlPointPosition(index, 1.0, 2.0, 3.0, node.PositionPreview)
        assert points.points_in(slicer.mrmlScene) == {}, "it follows the mouse"
        node.SetNthControlPointPosition(index, 1.0, 2.0, 3.0, node.PositionDefined)
        (placed,) = points.points_in(slicer.mrmlScene)["Tumour 1"]
        assert placed == core.CorrectionPoint(core.PointKind.EXCLUDE, (1.0, 2.0, 3.0))
        slicer.app.applicationLogic().GetInteractionNode().SwitchToViewTransformMode()

    def test_buttons_for_points_tell_that_the_shipped_model_takes_none(self):
        panel().enter()
        if panel().logic.workspace is None:
            self.skipTest("no workspace could be opened; the panel says why")
        panel().refresh()
        ui = panel().ui
        assert not ui.includeButton.enabled
        assert "takes no correction points" in ui.includeButton.toolTip
        assert not ui.byHandButton.isHidden()
        assert ui.includeTipButton.isHidden()

    def test_keys_of_the_points_are_there_while_the_module_is_shown(self):
        if slicer.util.mainWindow() is None:
            self.skipTest("started without a main window")
        panel().enter()
        assert [each.key.toString() for each in panel().shortcuts.installed] == ["F6", "F7", "F8", "F9", "F10"]
        panel().exit()
        assert panel().shortcuts.installed == []

    def test_deleted_parameter_node_is_replaced(self):
        panel().enter()
        (old,) = parameter_nodes()
        slicer.mrmlScene.RemoveNode(old)
        slicer.app.processEvents()
        panel().exit()
        panel().enter()
        assert len(parameter_nodes()) == 1

    def test_saved_scene_reopens_with_one_parameter_node(self):
        panel().enter()
        assert len(parameter_nodes()) == 1
        with tempfile.TemporaryDirectory() as folder:
            saved = str(Path(folder) / "scene.mrb")
            assert slicer.util.saveScene(saved), "the scene was not saved"
            close_scene()
            slicer.util.loadScene(saved)
            slicer.app.processEvents()
        assert len(parameter_nodes()) == 1

    def test_reload_takes_the_library_along(self):
        panel().enter()
        before = importlib.import_module(LIBRARY)
        panel().onReload()
        slicer.app.processEvents()
        assert sys.modules.get(LIBRARY) is not before, f"{LIBRARY} is still the old one"
        panel().enter()

    def test_shipped_cases_are_sample_data(self):
        import CRLMSegmentation

        if MODULE not in slicer.modules.sampleDataSources:  # without a main window, startup may not be over yet
            CRLMSegmentation.registerSampleData()
        assert slicer.modules.sampleDataSources[MODULE], "no sample data"

    def test_self_test_passes_and_passes_again_in_a_new_scene(self):
        if importlib.util.find_spec("nnunetv2") is None:
            self.skipTest("nnunetv2 is not installed in this Slicer: open the NNUNet module and install it")
        for _ in range(2):
            run_self_test()
            close_scene()

    def test_scene_close_ends_every_process_of_the_module(self):
        if not sys.platform.startswith("linux"):
            self.skipTest("child processes are listed on Linux only")
        panel().enter()
        close_scene()
        gone = wait_until(lambda: not any(LIBRARY in line for line in child_command_lines()))
        assert gone, child_command_lines()


def main() -> None:
    """Run all of it and end Slicer with the exit code that says how it went."""
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(ModuleInSlicer)
    passed = unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful()
    slicer.util.exit(slicer.util.EXIT_SUCCESS if passed else slicer.util.EXIT_FAILURE)


if __name__ == "__main__":
    main()
