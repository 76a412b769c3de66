"""Rendering never holds the tracking: a render costs 300 ms, on a clock that only renders and turns move on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from helpers.module_helpers import Panel
from helpers.rendering_helpers import TURN_S, navigate, use_fake_clock, use_stub_engine
from slicer_host import SlicerHost

COST_S = 0.3
IN_SPACE_S = {"1": COST_S, "Red": 0.02, "Yellow": 0.02, "Green": 0.02}
SECONDS = 8.0


class Simulation:
    """A panel that navigates by a clock of its own.

    Attributes:
        renewed_s: when the distance that is shown was measured anew.
        in_turns: renders within a turn, that is within the calls that change the scene, by view and turn.
    """

    def __init__(self, panel: Panel) -> None:
        self.panel, self.rendering = panel, panel.host.rendering
        self.clock = use_fake_clock(panel.host)
        use_stub_engine(panel)
        panel.widget.startWorkspace()
        panel.widget._timer.stop()
        self.renewed_s: list[float] = []
        self.in_turns: Counter = Counter()
        self._situation = None
        self.turns = 0
        self.tools = navigate(panel, lambda: self.play(TURN_S), self.clock)
        self.play(1.0)

    def begin(self, cost_s: float | dict[str, float]) -> None:
        """Let renders cost something else, forget what was before, and let the tools move."""
        self.rendering.cost_s, self.tools.moves = cost_s, True
        self.play(3.0)
        self.rendering.forget()
        self.renewed_s.clear()
        self.in_turns.clear()
        self.turns = 0

    def turn(self) -> None:
        before = len(self.rendering.renders)
        self.panel.widget.onTick()
        self.turns += 1
        self.in_turns.update((self.turns, render.view) for render in self.rendering.renders[before:])
        situation = self.panel.workspace.navigation.situation
        if situation is not self._situation:
            self._situation = situation
            self.renewed_s.append(self.clock())
        self.panel.host.check()

    def play(self, seconds: float) -> None:
        self.rendering.play(seconds, self.turn, TURN_S)

    @property
    def share(self) -> float:
        """Of the time that was spent on renders, from the begin of the first picture to that of the last."""
        renders = self.rendering.renders
        begin_s, *_, end_s = [render.began_s for render in renders if render.view == renders[0].view]
        return sum(render.seconds for render in renders if render.began_s < end_s) / (end_s - begin_s)


@pytest.fixture(scope="module")
def shared_simulation() -> Iterator[Simulation]:
    """Made once, since it takes seconds."""
    with SlicerHost() as host:
        yield Simulation(Panel(host))


@pytest.fixture
def simulation(shared_simulation, request) -> Simulation:
    """The 3D view takes most of the time, unless the test says otherwise."""
    shared_simulation.begin(getattr(request, "param", IN_SPACE_S))
    return shared_simulation


in_space_or_everywhere = pytest.mark.parametrize(
    "simulation", [IN_SPACE_S, COST_S], ids=["space", "all"], indirect=True
)


@in_space_or_everywhere
def test_distance_is_renewed_ten_times_a_second_and_renders_take_half_of_the_time(simulation):
    began_s = simulation.clock()
    simulation.play(SECONDS)
    per_s = len(simulation.renewed_s) / (simulation.clock() - began_s)
    assert per_s >= 10
    assert simulation.panel.text("distanceLabel").split()[1] == "mm"
    assert 0.4 < simulation.share <= 0.5


@in_space_or_everywhere
def test_longest_time_without_a_new_distance_is_one_picture(simulation):
    simulation.play(SECONDS)
    gaps_s = [after - before for before, after in zip(simulation.renewed_s, simulation.renewed_s[1:])]
    views = Counter(render.view for render in simulation.rendering.renders)
    picture_s = sum(render.seconds for render in simulation.rendering.renders) / views["1"]
    assert max(gaps_s) <= picture_s + 5 * TURN_S


@in_space_or_everywhere
def test_each_view_renders_once_for_a_turn_that_changes_the_scene(simulation):
    simulation.play(SECONDS)
    assert max(simulation.in_turns.values(), default=0) <= 1
    assert not simulation.in_turns, "a turn is short, so the views' own timers render, between two turns"


def test_turns_between_two_pictures_write_nothing_into_the_scene(simulation):
    """So that they cost no more than measuring, and no view is asked for anything."""
    scene, written = simulation.panel.host.scene, Counter()
    nodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]

    def note(_node, _event):
        written.update([simulation.panel.workspace.may_draw])

    tags = [(node, node.AddObserver("AnyEvent", note)) for node in nodes]
    simulation.play(SECONDS)
    for node, tag in tags:
        node.RemoveObserver(tag)
    assert written[True] > 0
    assert written[False] == 0


def test_strip_says_that_pictures_lag(simulation):
    simulation.play(7.0)
    view = simulation.panel.host.application.layoutManager().threeDWidget(0).threeDView()
    assert simulation.panel.text("linkLabel").endswith("pictures 1.4 a second")
    assert view.p_cornerAnnotationText.endswith("pictures lag")
    simulation.rendering.cost_s = 0.001
    simulation.play(10.0)
    assert "pictures" not in simulation.panel.text("linkLabel") + view.p_cornerAnnotationText


def test_newest_pose_is_drawn(simulation):
    simulation.play(SECONDS)
    from CRLMSegmentationLib.slicer.scene.nodes import find_node, tip_of

    simulation.tools.moves = False
    simulation.play(5.0)
    node = find_node(simulation.panel.host.scene, "vtkMRMLLinearTransformNode", "StylusToReference")
    situation = simulation.panel.workspace.navigation.situation
    state = next(state for state in situation.instruments if state.instrument.frame == "Stylus")
    assert tip_of(node) == pytest.approx(state.tip_ras_mm)


def test_pictures_stop_when_nothing_moves(simulation):
    simulation.tools.moves = False
    simulation.play(5.0)
    simulation.rendering.forget()
    simulation.play(5.0)
    assert simulation.rendering.renders == []
    assert len(simulation.renewed_s) > 10 * 5


def test_user_turns_the_camera_at_the_speed_of_the_machine(simulation):
    """As fast as without the module, and the tools move on meanwhile."""
    began_s, written = simulation.clock(), set()
    while simulation.clock() - began_s < 6.0:
        simulation.panel.host.turn_camera()
        simulation.play(TURN_S)
        written.add(simulation.panel.workspace.navigation._shown.instruments[0].tip_ras_mm.tobytes())
    turned = [render for render in simulation.rendering.renders if render.view == "1"]
    ours = len(written)
    assert len(turned) >= 6.0 / (1.4 * COST_S) - 3 * ours, "all of the time that ours leave"
    assert ours >= 2


def test_rendering_gives_way_while_somebody_waits_for_the_network(simulation):
    simulation.panel.workspace.segment(["Tumour 1"])
    simulation.play(0.1)
    assert simulation.panel.engine.pending is not None
    simulation.rendering.forget()
    simulation.play(1.5 * SECONDS)
    assert simulation.share <= 0.2
    assert len(simulation.renewed_s) > 10 * 1.5 * SECONDS
    simulation.panel.engine.finish()


@pytest.mark.parametrize("how", ["turn fails", "close_scene", "reload_module", "leave_module"])
def test_no_view_stays_paused(panel, how, monkeypatch):
    panel.turns(2)
    if how == "turn fails":
        monkeypatch.setattr(panel.workspace.lesion_store, "update", lambda: 1 / 0)
        panel.turns(2)
        assert "division" in panel.message
    else:
        getattr(panel.host, how)()
    assert not any(view.isRenderPaused() for view in panel.host.rendering.views)
    panel.host.unload_module()
    assert not panel.host.leaks().views, "no render window is observed either"
