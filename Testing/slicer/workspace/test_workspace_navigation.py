"""Navigation in the scene: real scene and real surfaces; the tracker, the engine and the clock are stubs."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.reasons import ReasonCode
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.recording.recorded_link import RecordedLink
from CRLMSegmentationLib.recording.timeline import load_source
from CRLMSegmentationLib.slicer.scene.guidance import margins_of
from CRLMSegmentationLib.slicer.scene.nodes import find_node, nodes_of_class, tip_of
from CRLMSegmentationLib.slicer.scene.seeds import seed_nodes
from CRLMSegmentationLib.slicer.scene.tools import MODEL, UNRELIABLE_REASON
from CRLMSegmentationLib.slicer.workspace.navigation_targets import OUT_OF_DATE
from CRLMSegmentationLib.tracking.colours import CLEAR_COLOUR, INNER_COLOUR, OUTER_COLOUR, UNSAFE_COLOUR
from helpers.navigation_scene_helpers import Tracker, at, draw_all, finish, send_volume, with_lesion
from helpers.paths import SHARED_DATA
from helpers.workspace_helpers import SEED, StubLink, paint

SWEEP = SHARED_DATA / "NwirePhantomFreehand.igs.mha"


@pytest.fixture
def tracker(workspace, link, engine, clock, tiny_volume):
    """A tracker beside a tumour that has been segmented."""
    with_lesion(workspace, link, engine, tiny_volume)
    return Tracker(workspace, link, clock)


def nearest(tracker, **poses):
    return tracker.send(**poses).nearest


def tool(workspace, frame):
    return find_node(workspace.scene, MODEL, f"Tool {frame}")


def line(workspace):
    return find_node(workspace.scene, MODEL, "Distance")


def shows_line(workspace):
    return line(workspace) is not None and bool(line(workspace).GetDisplayNode().GetVisibility())


def test_distance_to_the_tumour_has_its_name_its_interval_and_its_line(tracker, workspace):
    seed_nodes(workspace.scene)["Tumour 1"].SetName("Left lobe")
    state, reading = nearest(tracker, StylusToReference=at(40.0))
    assert (state.instrument.frame, reading.lesion, reading.name) == ("Stylus", "Tumour 1", "Left lobe")
    assert reading.interval.distance_mm == pytest.approx(12, abs=0.8)
    assert reading.interval.low_mm < reading.interval.distance_mm - 1
    ends = [line(workspace).GetPolyData().GetPoint(n) for n in (0, 1)]
    assert ends[0] == pytest.approx((40, 20, 20), abs=1e-3)
    assert ends[1] == pytest.approx((28, 20, 20), abs=1.2)


def test_tip_inside_the_tumour_has_a_negative_distance(tracker):
    assert nearest(tracker, StylusToReference=at(20.0))[1].interval.distance_mm < -6


def test_tool_stands_where_its_pose_says_in_the_same_turn(tracker, workspace):
    tracker.send(StylusToReference=at(40.0))
    matrix = tool(workspace, "Stylus").GetParentTransformNode().GetMatrixTransformToParent()
    assert [matrix.GetElement(row, 3) for row in range(3)] == pytest.approx([40, 20, 20])


def test_pose_that_is_not_given_directly_is_composed(tracker):
    state, reading = nearest(tracker, CusaToTracker=at(140.0, 120.0, 120.0), ReferenceToTracker=at(100.0, 100.0, 100.0))
    assert state.instrument.frame == "Cusa"
    assert reading.interval.distance_mm == pytest.approx(12, abs=0.8)


def test_margins_are_drawn_and_the_line_has_the_colour_of_the_one_that_the_tip_is_in(tracker, workspace):
    draw_all(workspace)
    widths = sorted(node.GetAttribute("CRLMSegmentation.MarginMm") for node in margins_of(workspace.scene, "Tumour 1"))
    assert widths == ["10", "5"]
    for x, margin_mm, colour in [(45.0, None, CLEAR_COLOUR), (36.0, 10, OUTER_COLOUR), (31.0, 5, INNER_COLOUR)]:
        tracker.send(StylusToReference=at(x))
        assert workspace.navigation.narrowest_margin_mm == margin_mm
        assert line(workspace).GetDisplayNode().GetColor() == pytest.approx(colour)


def test_margin_of_the_scene_lies_at_its_distance_from_the_ball(tracker, workspace):
    draw_all(workspace)
    surface = workspace.navigation.margin_surfaces_of("Tumour 1")[5.0]
    points = np.array([surface.GetPoint(n) for n in range(surface.GetNumberOfPoints())])
    assert np.linalg.norm(points - SEED, axis=1) == pytest.approx(13, abs=0.8)


def test_margins_can_be_others_or_none(tracker, workspace):
    draw_all(workspace)
    workspace.navigation.margins_mm = (3.0,)
    draw_all(workspace)
    assert [node.GetName() for node in margins_of(workspace.scene, "Tumour 1")] == ["Tumour 1 +3 mm"]
    workspace.navigation.shows_margins = False
    draw_all(workspace)
    assert margins_of(workspace.scene, "Tumour 1") == []
    tracker.send(StylusToReference=at(30.0))
    assert workspace.navigation.narrowest_margin_mm == 3.0


def test_removed_lesion_takes_its_margins_and_its_distance_along(tracker, workspace):
    draw_all(workspace)
    workspace.remove_seed("Tumour 1")
    assert nearest(tracker, StylusToReference=at(40.0)) is None
    assert margins_of(workspace.scene, "Tumour 1") == []
    assert not shows_line(workspace)


def test_corrected_segmentation_is_measured_to_at_once(tracker, workspace):
    before_mm = nearest(tracker, StylusToReference=at(40.0))[1].interval.distance_mm
    paint(workspace, "Tumour 1", np.s_[18:23, 18:23, 20:35])
    after_mm = nearest(tracker, StylusToReference=at(40.0))[1].interval.distance_mm
    assert before_mm - after_mm == pytest.approx(6, abs=1)


def test_segmentation_that_is_out_of_date_gives_no_distance_and_grey_margins(tracker, workspace, link, tiny_volume):
    draw_all(workspace)
    send_volume(workspace, link, tiny_volume, 3)
    situation = tracker.send(StylusToReference=at(40.0))
    assert situation.nearest is None
    assert situation.instruments[0].readings[0].unreliable_reason == OUT_OF_DATE
    assert not shows_line(workspace)
    colours = {node.GetDisplayNode().GetColor() for node in margins_of(workspace.scene, "Tumour 1")}
    assert colours == {UNSAFE_COLOUR}


@pytest.mark.parametrize("status", ["MISSING", "INVALID"])
def test_lost_tool_turns_grey_withdraws_its_distance_and_comes_back(tracker, workspace, status):
    assert nearest(tracker, StylusToReference=at(40.0))
    situation = tracker.send(0.1, StylusToReference=status)
    assert situation.nearest is None
    assert str(situation.instruments[0].unreliable_reason) == "not tracked"
    assert tool(workspace, "Stylus").GetAttribute(UNRELIABLE_REASON) == ReasonCode.NOT_TRACKED.value
    assert not shows_line(workspace)
    assert nearest(tracker, StylusToReference=at(40.0))
    assert tool(workspace, "Stylus").GetAttribute(UNRELIABLE_REASON) == ""


def test_tool_that_falls_silent_is_told_within_0_8_s(tracker, workspace):
    """Half a second is the age that is allowed, 0.3 s the time to tell it."""
    assert nearest(tracker, StylusToReference=at(40.0))
    assert tracker.wait(0.45).nearest is not None
    situation = tracker.wait(0.3)
    assert situation.nearest is None
    assert str(situation.instruments[0].unreliable_reason).startswith("no pose for 0.")


def test_jump_that_no_hand_makes_withdraws_the_distance_for_a_moment(tracker):
    assert nearest(tracker, StylusToReference=at(40.0))
    situation = tracker.send(0.1, StylusToReference=at(140.0))
    assert situation.nearest is None
    assert "jumped by 100 mm" in str(situation.instruments[0].unreliable_reason)
    assert nearest(tracker, StylusToReference=at(140.0))


def test_liver_sensor_that_has_come_off_withdraws_all_distances(tracker, workspace):
    def poses(t, breathes):
        liver = at(100.0, 100.0 + (6 * np.sin(1.5 * t) if breathes else 0.0), 100.0)
        return {"ReferenceToTracker": liver, "StylusToTracker": liver @ at(40.0 + 10 * np.sin(t))}

    for step in range(400):
        situation = tracker.send(1 / 40, **poses(step / 40, breathes=True))
    assert situation.nearest
    for step in range(400, 800):
        situation = tracker.send(1 / 40, **poses(step / 40, breathes=False))
    assert situation.nearest is None
    assert "it may have come off" in str(situation.sensor_unreliable_reason)
    for step in range(800, 1000):
        situation = tracker.send(1 / 40, **poses(step / 40, breathes=True))
    assert situation.nearest


def test_another_source_takes_the_tools_of_the_one_before_away(tracker, workspace):
    tracker.send(StylusToReference=at(40.0))
    workspace.use_link(StubLink())
    workspace.tick()
    assert tool(workspace, "Stylus") is None
    assert workspace.navigation.situation.instruments == ()


def test_slices_follow_the_tip_that_is_nearest_and_none_that_is_in_doubt(tracker, workspace):
    tracker.send(StylusToReference=at(40.0), ProbeToReference=at(32.0))
    assert workspace.navigation.focus_ras_mm == pytest.approx([32, 20, 20])
    tracker.send(StylusToReference=at(40.0), ProbeToReference="MISSING")
    assert workspace.navigation.focus_ras_mm == pytest.approx([40, 20, 20])
    tracker.send(StylusToReference="MISSING", ProbeToReference="MISSING")
    assert workspace.navigation.focus_ras_mm is None


def test_pointer_is_followed_before_there_is_a_lesion(workspace, link, clock):
    Tracker(workspace, link, clock).send(ProbeToReference=at(1.0), StylusToReference=at(2.0))
    assert workspace.navigation.focus_ras_mm == pytest.approx([2, 20, 20])


def test_left_handed_volume_has_the_inside_inside(workspace, link, engine, clock, tiny_volume):
    mirrored = Volume(tiny_volume.array, np.diag([-1.0, 1, 1, 1]), "recvol_Reference", 100.0)
    send_volume(workspace, link, mirrored, 0)
    workspace.add_seed((-20.0, 20.0, 20.0))
    workspace.segment()
    finish(workspace, engine)
    tracker = Tracker(workspace, link, clock)
    assert nearest(tracker, StylusToReference=at(-20.0))[1].interval.distance_mm < -6
    assert nearest(tracker, StylusToReference=at(-40.0))[1].interval.distance_mm == pytest.approx(12, abs=0.8)


def test_nothing_is_left_behind_by_a_thousand_poses(tracker, workspace):
    tracker.send(StylusToReference=at(40.0), ProbeToReference=at(60.0))
    draw_all(workspace)
    before = workspace.scene.GetNumberOfNodes()
    for n in range(50):
        tracker.send(0.5, StylusToReference=at(40.0 + n % 5), ProbeToReference=at(60.0))
    assert workspace.scene.GetNumberOfNodes() == before
    assert len(nodes_of_class(workspace.scene, MODEL)) == 5


@pytest.mark.skipif(not SWEEP.is_file(), reason=f"PLUS's recordings are not at {SWEEP.parent}")
def test_real_sweep_moves_the_probe_and_never_a_stylus_that_was_never_seen(workspace, clock):
    """PLUS's N-wire sweep: the probe is tracked in its 97 frames, the stylus is lost in all of them."""
    workspace.use_link(RecordedLink(load_source(SWEEP), clock=clock))
    places, unreliable_reasons = [], set()
    while workspace.session.link.is_playing:
        clock.now_s += 0.02
        workspace.tick()
        if tool(workspace, "Probe") is not None:
            places.append(tip_of(tool(workspace, "Probe").GetParentTransformNode()))
        states = workspace.navigation.situation.instruments
        unreliable_reasons |= {(state.instrument.frame, str(state.unreliable_reason or "")) for state in states}
    assert tool(workspace, "Stylus") is None
    assert unreliable_reasons == {("Probe", ""), ("Stylus", "not tracked")}
    assert np.ptp(places, axis=0).max() > 15
