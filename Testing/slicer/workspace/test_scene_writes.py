"""Nothing is written into MRML that has not changed: each event of a node that is shown may cost a render."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from helpers.navigation_scene_helpers import EPOCH_S, at, draw_all, with_lesion

RATE_S = 1 / 60
TOOLS = ("StylusToReference", "CusaToReference", "ProbeToReference")


@contextmanager
def events_of(scene) -> Iterator[Counter]:
    """Count the events of each node of a scene, by the node's name, and the nodes that come and go."""
    counts: Counter[str] = Counter()
    nodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
    tags = [(node, node.AddObserver("AnyEvent", lambda caller, _: counts.update([caller.GetName()]))) for node in nodes]
    tags += [
        (scene, scene.AddObserver(event, lambda *_: counts.update(["scene"])))
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent)
    ]
    yield counts
    for watched, tag in tags:
        watched.RemoveObserver(tag)


@pytest.fixture
def send(workspace, link, clock):
    """Send poses of three tools, one message each, and let the workspace take a turn."""
    from CRLMSegmentationLib.igtl.messages import TransformMessage

    def send_poses(**places_mm):
        clock.now_s += RATE_S
        poses = {device: at(35.0 + 5 * number) for number, device in enumerate(TOOLS)} | places_mm
        link.inbox = [TransformMessage(device, EPOCH_S + clock.now_s, pose) for device, pose in poses.items()]
        workspace.tick()

    return send_poses


@pytest.fixture
def navigated(workspace, link, engine, tiny_volume, send):
    """A lesion with its margins, and three tools that have been seen for a while."""
    workspace.background_refinement.enabled = False
    with_lesion(workspace, link, engine, tiny_volume)
    for _ in range(60):
        send()
    draw_all(workspace)
    send()
    assert workspace.navigation.displayed.nearest is not None
    return workspace


def test_turn_in_which_nothing_changes_writes_nothing(navigated, send):
    with events_of(navigated.scene) as counts:
        for _ in range(20):
            send()
    assert counts == {}


def test_turn_in_which_one_tool_moves_writes_that_tool_and_the_line(navigated, send):
    assert navigated.navigation.displayed.nearest[0].instrument.frame == "Stylus"
    with events_of(navigated.scene) as counts:
        send(StylusToReference=at(36.0))
    assert set(counts) == {"StylusToReference", "Stylus in the liver's frame", "Stylus", "Distance"}
    with events_of(navigated.scene) as counts:
        send(StylusToReference=at(36.0), ProbeToReference=at(46.0))
    assert set(counts) == {"ProbeToReference", "Probe in the liver's frame", "Probe"}


def test_tool_that_is_lost_is_greyed_once(navigated, send, clock):
    with events_of(navigated.scene) as counts:
        clock.now_s += 2.0
        navigated.tick()
        navigated.tick()
    assert counts["Stylus"] > 0
    with events_of(navigated.scene) as counts:
        for _ in range(20):
            clock.now_s += 0.06
            navigated.tick()
    assert counts == {}


def test_turn_in_which_tracking_begins_makes_few_nodes(workspace, link, engine, tiny_volume, send):
    """The distance is there at once; tools appear together, when the last of them has been made."""
    workspace.background_refinement.enabled = False
    with_lesion(workspace, link, engine, tiny_volume)
    draw_all(workspace)
    scene = workspace.scene
    before, added, are_visible = scene.GetNumberOfNodes(), [], []
    for _ in range(8):
        send()
        after = scene.GetNumberOfNodes()
        added.append(after - before)
        before = after
        displays = [
            node.GetDisplayNode() for node in map(scene.GetFirstNodeByName, ("Stylus", "Cusa", "Probe")) if node
        ]
        are_visible.append(sum(bool(display.GetVisibility()) for display in displays))
        assert workspace.navigation.displayed.nearest is not None
    assert max(added) <= 2 + 3, "two transforms of devices; transform, model and display of a tool"
    assert added[-2:] == [0, 0]
    assert set(are_visible) == {0, 3}


def test_tool_that_a_user_deletes_is_made_again(navigated, send):
    scene = navigated.scene
    scene.RemoveNode(scene.GetFirstNodeByName("Stylus"))
    for _ in range(3):
        send()
    assert scene.GetFirstNodeByName("Stylus").GetDisplayNode().GetVisibility()
