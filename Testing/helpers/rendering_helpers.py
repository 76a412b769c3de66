"""A panel that navigates: four lesions with their margins in the room layout, and three tools at 60 Hz."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from slicer_host import SlicerHost

from .module_helpers import Panel, stub_engine

RATE_HZ, TURN_S = 60.0, 0.01
TOOLS = ("StylusToReference", "CusaToReference", "ProbeToReference")
SENSOR = "ReferenceToTracker"
SEEDS_MM = ((16.0, 16.0, 16.0), (46.0, 16.0, 16.0), (16.0, 46.0, 16.0), (46.0, 46.0, 46.0))
RADIUS_MM, EDGE = 6.0, 62
AT_ONCE = 16
"""Poses of each device that one poll reads at most; a socket is read for some milliseconds only."""
EPOCH_S = 1_700_000_000.0


class MovingTools:
    """A tracker as a link: tools that circle a lesion, and a sensor at rest, at 60 Hz of a clock.

    Attributes:
        moves: whether the tools do.
        sent: poses of each tool so far.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        from CRLMSegmentationLib.igtl.link import LinkState

        self.state, self.state_reason, self.receiving = LinkState.CONNECTED, "", None
        self._clock, self._begun_s = clock, clock()
        self.moves, self.sent = True, 0
        self._phase = 0.0

    def poll(self, budget_s: float = 0.004) -> list:
        due = int((self._clock() - self._begun_s) * RATE_HZ) - self.sent
        messages = []
        for _ in range(min(due, AT_ONCE)):
            self.sent += 1
            self._phase += self.moves / RATE_HZ
            messages += [self._message(device, place) for device, place in self._places()]
        return messages

    def close(self) -> None:
        from CRLMSegmentationLib.igtl.link import LinkState

        self.state = LinkState.CLOSED

    def _places(self):
        yield SENSOR, np.zeros(3)
        for number, device in enumerate(TOOLS):
            angle = self._phase + 2 * number
            yield device, np.array(SEEDS_MM[0]) + (12 + 6 * number) * np.array([np.cos(angle), np.sin(angle), 0.2])

    def _message(self, device: str, place_mm: np.ndarray):
        from CRLMSegmentationLib.igtl.messages import TransformMessage

        matrix = np.eye(4)
        matrix[:3, 3] = place_mm
        timestamp_s = EPOCH_S + self._begun_s + self.sent / RATE_HZ
        return TransformMessage(device, timestamp_s, matrix, {"TransformStatus": "OK"})


def four_lesions():
    """A volume with four dark balls around `SEEDS_MM`."""
    from CRLMSegmentationLib.core.volume import Volume

    k, j, i = np.indices((EDGE, EDGE, EDGE))
    array = np.full((EDGE,) * 3, 120, np.uint8)
    for r, a, s in SEEDS_MM:
        array[(i - r) ** 2 + (j - a) ** 2 + (k - s) ** 2 < RADIUS_MM**2] = 40
    return Volume(array, np.eye(4), "recvol_Reference", 100.0)


def use_stub_engine(panel: Panel) -> None:
    """Answer with a stub of the network; before the panel has opened its workspace, or in place of it."""

    def make(_model):
        panel.engines.append(stub_engine())
        return panel.engines[-1]

    panel.widget.endWorkspace()
    panel.widget.logic.makeEngine = make


def use_fake_clock(host: SlicerHost) -> Callable[[], float]:
    """Let the views, and the workspaces and view controllers made from now on, live by a clock of the test's."""
    from functools import partial

    from CRLMSegmentationLib.segmentation.session import Session
    from CRLMSegmentationLib.slicer.views.view_controller import ViewController
    from CRLMSegmentationLib.slicer.widgets import library
    from CRLMSegmentationLib.slicer.workspace.open_workspace import OpenWorkspace
    from CRLMSegmentationLib.slicer.workspace.workspace import Workspace

    clock = host.rendering.use_clock()

    def open_workspace(models, make_engine, wanted=None):
        model = models.package()
        return OpenWorkspace.of(Workspace(host.scene, Session(make_engine(model), model), clock=clock))

    host._patches.set(library, "open_workspace", open_workspace)
    host._patches.set(library, "ViewController", partial(ViewController, clock=clock))
    return clock


def navigate(panel: Panel, turn: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> MovingTools:
    """Segment the four lesions, let their margins be drawn in the room layout, and connect the tracker.

    Args:
        turn: lets the panel take a turn, as its timer does.
    """
    panel.host.widget("autoCheckBox").checked = False
    panel.show_volume(four_lesions())
    panel.host.widget("cropSizeSlider").value = 30
    turn()
    for seed in SEEDS_MM:
        panel.workspace.add_seed(np.array(seed))
    turn()
    panel.workspace.segment()
    while not all(entry.segmentation for entry in panel.workspace.lesion_store.entries.values()):
        turn()
        if panel.engine.pending is not None:
            panel.engine.finish()
    while panel.workspace.navigation.is_at_work:
        turn()
    panel.press("layoutButton")
    tools = MovingTools(clock)
    panel.workspace.use_link(tools, of_current_volume=True)
    return tools
