"""The next step in one sentence, in each state of the work, without Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from ...core.i18n import tr
from ...core.points import PointKind
from ...igtl.link import LinkState
from ...segmentation.engine.engine import EngineState
from ..scene.correction_points import kind_being_placed
from ..workspace.lesion import LesionRow, LesionState
from ..workspace.workspace import Workspace


class Step(Enum):
    """What the user does next. NONE: nothing, distances are shown."""

    NO_MODEL = "no-model"
    RESTART = "restart"
    SOURCE = "source"
    LINK = "link"
    SWEEP = "sweep"
    SEED = "seed"
    CLICK = "click"
    INCLUDE = "include"
    EXCLUDE = "exclude"
    SEGMENT = "segment"
    LOADING = "loading"
    WAIT = "wait"
    FAILED = "failed"
    RENEW = "renew"
    INSTRUMENT = "instrument"
    NONE = "none"


def next_step_text(workspace: Workspace | None, rows: Sequence[LesionRow]) -> str:
    """Return the sentence that stands in the panel; empty while distances are shown."""
    sentence = _SENTENCES[next_step(workspace, rows)]
    return tr(sentence) if sentence else ""


def next_step(workspace: Workspace | None, rows: Sequence[LesionRow]) -> Step:
    """Return what the user does next."""
    if workspace is None:
        return Step.NO_MODEL
    if workspace.engine_problem:
        return Step.RESTART
    if workspace.volume.node is None:
        return _step_to_volume(workspace)
    placing = kind_being_placed(workspace.scene)
    if placing is not None:
        return Step.INCLUDE if placing[1] is PointKind.INCLUDE else Step.EXCLUDE
    if not rows:
        return Step.SEED
    return _step_with_lesions(workspace, rows)


def _step_to_volume(workspace: Workspace) -> Step:
    if workspace.session.link is None:
        return Step.SOURCE
    return Step.SWEEP if workspace.link_state is LinkState.CONNECTED else Step.LINK


def _step_with_lesions(workspace: Workspace, rows: Sequence[LesionRow]) -> Step:
    states = {row.state for row in rows}
    if LesionState.UNPLACED in states:
        return Step.CLICK
    if workspace.session.busy:
        is_starting = workspace.session.engine.state is EngineState.STARTING
        return Step.LOADING if is_starting else Step.WAIT
    if LesionState.FAILED in states:
        return Step.FAILED
    if LesionState.NEW in states:
        return Step.SEGMENT
    if any(row.volume_ml is not None and not row.is_current for row in rows):
        return Step.RENEW
    return Step.NONE if workspace.navigation.situation.instruments else Step.INSTRUMENT


def _sentences(_: Callable[[str], str]) -> dict[Step, str]:
    """Return the sentences; `_` marks them for translators, and only the one that is shown is translated."""
    return {
        Step.NO_MODEL: _("Choose or import a network under “Model and computer”."),
        Step.RESTART: _("Segmentation has failed: press “Segment” to start it again."),
        Step.SOURCE: _("Under “Source”, connect to the tracker, or open a recorded case or a volume."),
        Step.LINK: _("Start the tracker's server, or check its address under “Source”."),
        Step.SWEEP: _("Sweep the probe over the liver: the volume appears by itself."),
        Step.SEED: _("Press “Place seed” and click into the middle of a tumour."),
        Step.CLICK: _("Click into the middle of the tumour, in one of the slices."),
        Step.INCLUDE: _("Click what belongs to the tumour too, in one of the slices."),
        Step.EXCLUDE: _("Click what does not belong to the tumour, in one of the slices."),
        Step.SEGMENT: _("Press “Segment”."),
        Step.LOADING: _("The network is being loaded; the segmentation follows by itself."),
        Step.WAIT: _("The tumour is being segmented; tracking goes on meanwhile."),
        Step.FAILED: _("No segmentation: move the seed into the tumour, or press “Segment” again."),
        Step.RENEW: _("The volume, a seed or a point has changed: press “Segment” to renew."),
        Step.INSTRUMENT: _("Bring a tracked instrument near, or place the next seed."),
        Step.NONE: "",
    }


_SENTENCES = _sentences(str)
