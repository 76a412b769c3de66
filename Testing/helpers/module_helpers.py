"""The module's panel as a user sees it: what is written on it, and hands that press, place and wait."""

from __future__ import annotations

import html
import importlib
import re
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from slicer_host import SlicerHost
from slicer_host.ctk_widgets import CtkCollapsibleButton

from .paths import ROOT

MODULE = ROOT / "CRLMSegmentation" / "CRLMSegmentation.py"
CASES = ROOT / "Resources" / "SampleCases"
SEED = (20.0, 20.0, 20.0)
"""In the middle of the tiny volume's dark ball."""
PATIENCE_S = 180.0
"""For what the real worker does, on a machine that does something else as well."""
NAME, SIZE, DIAMETERS, RELIABILITY, DISTANCE = range(5)
"""Columns of the table of lesions."""
BY_THEMSELVES = ("refineCheckBox", "renewCheckBox", "recordCheckBox")
"""What the panel does without being asked; each test of it ticks what it is about."""


class Panel:
    """One opened module.

    Attributes:
        engines: the stub engines that its workspaces were given, the newest last; empty with the real worker.
    """

    def __init__(self, host: SlicerHost) -> None:
        self.host = host
        self.engines: list = []
        host.open_module(MODULE)
        for name in BY_THEMSELVES:
            host.widget(name).checked = False

    @property
    def widget(self):
        return self.host.python_widget

    @property
    def _refresh_turns(self) -> int:
        return sys.modules[type(self.widget).__module__].REFRESH_TURNS

    @property
    def workspace(self):
        return self.widget.logic.workspace

    @property
    def engine(self):
        return self.engines[-1]

    def text(self, name: str) -> str:
        """What is written on a label or button, without its markup."""
        return html.unescape(re.sub("<[^>]*>", "", self.host.widget(name).text))

    @property
    def message(self) -> str:
        """What the panel tells, as it is read, empty when it tells nothing."""
        return "" if self.host.widget("messageFrame").isHidden() else self.host.widget("messageLabel").text

    def table(self, name: str = "lesionTable") -> list[tuple[str, ...]]:
        table = self.host.widget(name)
        return [
            tuple(table.item(row, column).text() for column in range(table.columnCount))
            for row in range(table.rowCount)
        ]

    def cell(self, column: int, row: int = 0) -> str:
        rows = self.table()
        return rows[row][column] if row < len(rows) else ""

    def details(self, row: int = 0) -> str:
        """The details of a lesion; empty without it."""
        item = self.host.widget("lesionTable").item(row, SIZE)
        return item.toolTip() if item is not None else ""

    def wait(self, condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
        self.host.run_until(lambda: bool(condition()), timeout_s)

    def turns(self, count: int) -> None:
        """Let the panel work for some turns of its timer."""
        end = self.widget._turn + count
        self.wait(lambda: self.widget._turn >= end)

    def redraw(self) -> None:
        """Let the panel work until it is redrawn, with what has come by now."""
        earliest = self.widget._turn + 2
        self.work_until(lambda: self.widget._turn >= earliest and self.widget._turn % self._refresh_turns == 0)

    def work_until(self, condition: Callable[[], object], turns: int = 1000) -> None:
        """As `wait`, for what takes turns and no time: one comes right after the other, without the timer."""
        while not condition():
            assert (turns := turns - 1) >= 0, "the condition does not hold after so many turns"
            self.host.run_events()
            self.widget._timer._real.timeout.emit()
            self.host.check()

    def press(self, name: str) -> None:
        """Press a button, after its section was opened, where it stands in one."""
        widget = self.host.widget(name)._real
        while (widget := widget.parentWidget()) is not None:
            if isinstance(widget, CtkCollapsibleButton):
                widget.setChecked(True)
        self.host.press(name)

    def place(self, position_ras_mm=SEED):
        """Press the button and click into the views; returns the seed's node."""
        self.press("placeButton")
        self.host.place_point(position_ras_mm)
        return self.seed(-1)

    def seed(self, index: int = 0):
        from CRLMSegmentationLib.slicer.scene.seeds import seed_nodes

        return list(seed_nodes(self.host.scene).values())[index]

    def show_volume(self, volume, name: str = "us"):
        """Put a volume into the scene, as loading a file does, and choose it in the panel."""
        from CRLMSegmentationLib.slicer.scene.volumes import show_volume

        node = show_volume(self.host.scene, volume, name)
        self.host.widget("volumeSelector").setCurrentNode(node)
        return node

    def answer(self) -> None:
        """Let the stub engine end what it was asked for, and wait until the panel shows it."""
        self.work_until(lambda: self.engine.pending)
        self.engine.finish()
        self.work_until(lambda: not self.engine.events)
        self.redraw()

    def shortcut(self, key: str) -> None:
        """What pressing a key, or a foot pedal that sends one, does while the window is active."""
        found = [s for s in self.widget.shortcuts.installed if s.key.toString() == key]
        assert len(found) == 1, f"{len(found)} shortcuts for {key}"
        found[0]._real.activated.emit()
        self.host.check()

    def segment(self, lesion: str = "Tumour 1"):
        return self.workspace.lesion_store.segmentation_node.GetSegmentation().GetSegment(lesion)


def stub_engine(takes_points: bool = False):
    """A stub of the classes that the module has loaded; after a reload these are new ones."""
    sys.modules.pop("helpers.stub_engine", None)
    return importlib.import_module("helpers.stub_engine").StubEngine(True, takes_points)


def card(panel) -> dict[str, tuple[str, str]]:
    """Level and text of each line of the pre-flight card, by its name."""
    colours = {"#3fb950": "green", "#e69f00": "amber", "#ff7b72": "red", "#a5adb8": "pending"}
    table, lines = panel.host.widget("preflightTable"), {}
    for row, (name, found) in enumerate(panel.table("preflightTable")):
        lines[name[2:]] = (colours[table.item(row, 0).foreground().color().name()], found)
    return lines


def check_everything(panel) -> None:
    """Begin the pre-flight checks."""
    panel.host.widget("preflightButton").collapsed = False
    panel.press("runPreflightButton")


def overwrite_voxels(node, value: int) -> None:
    """What OpenIGTLinkIF does: write into the node's own memory."""
    from vtk.util.numpy_support import vtk_to_numpy

    scalars = node.GetImageData().GetPointData().GetScalars()
    vtk_to_numpy(scalars)[:] = value
    scalars.Modified()


def track(scene, name: str = "StylusToReference", position_mm=(20.0, 20.0, 20.0), status: str = "OK"):
    """Move a tool as the tracker does; returns its node."""
    from CRLMSegmentationLib.slicer.scene.instruments import show_transform

    matrix = np.eye(4)
    matrix[:3, 3] = position_mm
    return show_transform(scene, name, matrix, status)


def parameter_nodes(scene) -> list:
    found = [scene.GetNthNodeByClass(n, "vtkMRMLScriptedModuleNode") for n in range(scene.GetNumberOfNodes())]
    return [node for node in found if node is not None and node.GetAttribute("ModuleName") == "CRLMSegmentation"]


class SegmentEditor:
    """In place of qMRMLSegmentEditorWidget: takes what the real one takes, in the order in which it wants it."""

    def __init__(self) -> None:
        self.segmentation = self.volume = self.segment_id = None

    def setSegmentationNode(self, node) -> None:
        assert node.IsA("vtkMRMLSegmentationNode")
        self.segmentation = node

    def setSourceVolumeNode(self, node) -> None:
        assert node.IsA("vtkMRMLScalarVolumeNode")
        assert self.segmentation is not None, "the segmentation comes first"
        self.volume = node

    def setCurrentSegmentID(self, segment_id) -> None:
        assert self.segmentation.GetSegmentation().GetSegment(segment_id) is not None
        self.segment_id = segment_id


def with_segment_editor(monkeypatch) -> SegmentEditor:
    """Give slicer.util.getModuleWidget a Segment Editor."""
    import slicer

    editor = SegmentEditor()
    widgets = {"SegmentEditor": SimpleNamespace(editor=editor)}
    monkeypatch.setattr(slicer.util, "getModuleWidget", lambda name: widgets[name])
    return editor
