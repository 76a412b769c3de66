"""The next step in one sentence, in each state of the work."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from CRLMSegmentationLib.core.points import PointKind
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.segmentation.engine.engine import EngineState
from CRLMSegmentationLib.slicer.panel.next_step import Step, next_step, next_step_text
from CRLMSegmentationLib.slicer.scene.correction_points import point_node
from CRLMSegmentationLib.slicer.scene.headless import new_scene
from CRLMSegmentationLib.slicer.workspace.lesion import LesionState
from slicer import vtkMRMLInteractionNode, vtkMRMLSelectionNode


def workspace(
    volume=True,
    link=None,
    connected=True,
    busy=False,
    engine=EngineState.READY,
    problem="",
    instruments=(),
    placing=None,
):
    """What the next step is decided by."""
    return SimpleNamespace(
        engine_problem=problem,
        scene=scene(placing),
        volume=SimpleNamespace(node="us" if volume else None),
        session=SimpleNamespace(link=link, busy=busy, engine=SimpleNamespace(state=engine)),
        link_state=LinkState.CONNECTED if connected else LinkState.CONNECTING,
        navigation=SimpleNamespace(situation=SimpleNamespace(instruments=instruments)),
    )


def scene(placing):
    """A scene in which the next click in a view places a point of a kind."""
    made = new_scene()
    interaction, selection = made.AddNode(vtkMRMLInteractionNode()), made.AddNode(vtkMRMLSelectionNode())
    if placing is not None:
        selection.SetActivePlaceNodeID(point_node(made, "Tumour 1", placing).GetID())
        interaction.SetCurrentInteractionMode(interaction.Place)
    return made


def row(state=LesionState.DONE, volume_ml: float | None = 2.1, is_current=True):
    return SimpleNamespace(state=state, volume_ml=volume_ml, is_current=is_current)


STATES = {
    Step.NO_MODEL: (None, []),
    Step.RESTART: (workspace(problem="the process has ended"), [row()]),
    Step.SOURCE: (workspace(volume=False), []),
    Step.LINK: (workspace(volume=False, link="server", connected=False), []),
    Step.SWEEP: (workspace(volume=False, link="server"), []),
    Step.SEED: (workspace(), []),
    Step.CLICK: (workspace(), [row(), row(LesionState.UNPLACED, None)]),
    Step.INCLUDE: (workspace(instruments=("Stylus",), placing=PointKind.INCLUDE), [row()]),
    Step.EXCLUDE: (workspace(placing=PointKind.EXCLUDE), [row()]),
    Step.SEGMENT: (workspace(), [row(LesionState.NEW, None)]),
    Step.LOADING: (workspace(busy=True, engine=EngineState.STARTING), [row(LesionState.WAITING, None)]),
    Step.WAIT: (workspace(busy=True, engine=EngineState.BUSY), [row(LesionState.RUNNING, None)]),
    Step.FAILED: (workspace(), [row(), row(LesionState.FAILED, None)]),
    Step.RENEW: (workspace(instruments=("Stylus",)), [row(is_current=False)]),
    Step.INSTRUMENT: (workspace(), [row()]),
    Step.NONE: (workspace(instruments=("Stylus",)), [row()]),
}


@pytest.mark.parametrize("step", list(Step))
def test_each_state_has_its_next_step(step):
    assert next_step(*STATES[step]) is step


@pytest.mark.parametrize("step", list(Step))
def test_next_step_is_one_sentence_that_fits_two_lines_of_the_panel(step):
    text = next_step_text(*STATES[step])
    if step is Step.NONE:
        assert text == ""
        return
    assert text.endswith(".")
    assert text.count(". ") == 0
    assert len(text) <= 90


def test_sentences_differ():
    texts = [next_step_text(*state) for state in STATES.values()]
    assert len(set(texts)) == len(Step)
