"""Texts of the panel about a workspace, in the user's language: rich text, without Qt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import slicer

from ...core.i18n import tr as _
from ...core.text import printable
from ...igtl.link import LinkState
from ...igtl.statistics import DropReason
from ...recording.recorded_link import RecordedLink
from ...segmentation.engine.engine import EngineState
from ..rich_text import COLOURS, plain_line
from ..state import State, StateText
from ..workspace.check import Check
from ..workspace.lesion import LesionRow
from ..workspace.publisher import Publisher
from ..workspace.volume_source import VolumeSource
from ..workspace.workspace import Workspace
from .lesion_texts import Cells
from .server_texts import server_text

FRESH_LINK_S = 1.0
NAME_WIDTH = 24
"""Letters of a model's name that the strip has room for."""
MAX_TYPES = 4
"""Types or names that the strip lists."""


@runtime_checkable
class Receiving(Protocol):
    """A large message that is under way, see `igtl.protocol.Progress`; importing that needs pyigtl."""

    device: str
    received_bytes: int
    total_bytes: int


def status_texts(workspace: Workspace | None, source: VolumeSource | None = None) -> dict[str, StateText]:
    """Return the state and the text of each label, by the label's name."""
    return {
        "linkLabel": _with_lag(_link_text(workspace, source), workspace),
        "workerLabel": _worker_text(workspace),
        "deviceLabel": _device_text(workspace),
        "modelLabel": _model_text(workspace),
    }


def _link_text(workspace: Workspace | None, source: VolumeSource | None) -> StateText:
    link = workspace.session.link if workspace else None
    if source is not None and source.connector is not None:
        return _connector_text(source.connector)
    if workspace is None or link is None:
        return State.OFF, _("Not connected")
    if workspace.link_state is not LinkState.CONNECTED:
        return State.ERROR if workspace.link_reason else State.WARNING, workspace.link_reason or _("Connecting ...")
    warning = workspace.session.volume_warning or workspace.link_reason
    if warning:
        return State.WARNING, _("Connected, but {warning}").format(warning=warning)
    age_s = workspace.message_rate.age_s
    if age_s is None:
        return State.WARNING, _nothing_usable_text(workspace)
    text = _("{rate:.0f} messages/s, last {age:.1f} s ago").format(rate=workspace.message_rate.per_s, age=age_s)
    if isinstance(link, RecordedLink):
        if not link.is_playing:
            return State.OFF, _("Recorded case, paused")
        return State.OK, _("Recorded case: {text}").format(text=text)
    if workspace.session.problems.count:
        text += _(", {count} refused or suspicious").format(count=workspace.session.problems.count)
    unknown, mixed = _not_understood(workspace), _mixed_names(workspace)
    if unknown:
        text += _("; not understood: {types}").format(types=unknown)
    if mixed:
        text += _("; two streams under one name: {names}").format(names=mixed)
    note = workspace.session.following_note
    if note:
        text += f"; {note}"
    return State.OK if age_s < FRESH_LINK_S and not (mixed or note) else State.WARNING, text


def _connector_text(connector: slicer.vtkMRMLNode) -> StateText:
    """Say what a vtkMRMLIGTLConnectorNode of the module OpenIGTLinkIF is connected to."""
    if connector.GetState() != connector.StateConnected:
        return State.WARNING, _("OpenIGTLinkIF: {name} is not connected").format(name=connector.GetName())
    text = _("OpenIGTLinkIF: {name}, {count} device(s)")
    return State.OK, text.format(name=connector.GetName(), count=connector.GetNumberOfIncomingMRMLNodes())


def _with_lag(state: StateText, workspace: Workspace | None) -> StateText:
    """Add how many pictures a second there are to the state of the link, where these lag behind the distance."""
    link = workspace.session.link if workspace is not None else None
    per_s = workspace.render_limiter.lagging_per_s if workspace is not None else None
    if link is None or per_s is None:
        return state
    link_state, text = state
    rate = f"{per_s:.0f}" if per_s >= 2 else f"{per_s:.1f}"
    lag = _("pictures {rate} a second").format(rate=rate)
    return link_state if link_state is State.ERROR else State.WARNING, f"{text}; {lag}"


def _nothing_usable_text(workspace: Workspace) -> str:
    """Describe what was received while neither an image nor a pose has arrived."""
    session = workspace.session
    under_way = session.link.receiving if session.link is not None else None
    is_first = not session.received and not workspace.session.problems.count
    if isinstance(under_way, Receiving) and under_way.total_bytes and is_first:
        text = _("Connected, receiving '{device}': {done:.0f} of {total:.0f} MB")
        name = shorten(under_way.device, NAME_WIDTH)
        return text.format(device=name, done=under_way.received_bytes / 1e6, total=under_way.total_bytes / 1e6)
    parts = [_counted(session.received)] if session.received else []
    if workspace.session.problems.count:
        parts.append(_("{count} refused or suspicious").format(count=workspace.session.problems.count))
    unknown = _not_understood(workspace)
    if unknown:
        parts.append(_("not understood: {types}").format(types=unknown))
    if not parts:
        return _("Connected, nothing received yet")
    return _("Connected, but no image and no pose has come: {what}").format(what="; ".join(parts))


def _not_understood(workspace: Workspace) -> str:
    """List the types of messages that this program does not know, with their counts."""
    counts: Counter[str] = Counter()
    for problem in workspace.session.problems:
        if problem.kind is DropReason.NOT_UNDERSTOOD:
            counts[problem.about or _("others")] += problem.count
    return _counted(counts)


def _counted(counts: Counter[str]) -> str:
    """List counts by type, the most frequent first, as many as the strip has space for."""
    listed = [f"{count} {printable(name, NAME_WIDTH)}" for name, count in counts.most_common(MAX_TYPES)]
    return ", ".join([*listed, "…"] if len(counts) > MAX_TYPES else listed)


def _mixed_names(workspace: Workspace) -> str:
    """List the device names under which two streams arrive at present."""
    return ", ".join(shorten(name, NAME_WIDTH) for name in workspace.session.mixed_devices[:MAX_TYPES])


def _device_text(workspace: Workspace | None) -> StateText:
    of_server = server_text(workspace) if workspace is not None else None
    if of_server is not None:
        return of_server
    ready = workspace.ready if workspace else None
    if ready is None:
        return State.OFF, _("Device not known yet")
    return State.WARNING if ready.is_slow or ready.warnings else State.OK, ready.device


def _model_text(workspace: Workspace | None) -> StateText:
    if workspace is None:
        return State.OFF, _("No model loaded")
    model = workspace.session.model
    text = f"{shorten(model.name, NAME_WIDTH)} {model.sha256[:8]}"
    if model.simulated_only:
        return State.WARNING, _("{model}: simulated data only").format(model=text)
    if model.trained_on.get("simulated") is None:
        return State.WARNING, _("{model}: origin unknown").format(model=text)
    return State.OK, text


def shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _worker_text(workspace: Workspace | None) -> StateText:
    if workspace is None:
        return State.OFF, _("Segmentation is not running")
    if workspace.engine_problem:
        return State.ERROR, _("Segmentation has failed")
    if (
        workspace.background_refinement.is_at_work
        and not workspace.session.busy
        and workspace.session.engine.state is EngineState.BUSY
    ):
        return State.OK, _("Refining in the background")
    texts = {
        EngineState.STARTING: (State.WARNING, _("Loading the model")),
        EngineState.READY: (State.OK, _("Ready to segment")),
        EngineState.BUSY: (State.OK, _("Segmenting")),
    }
    return texts.get(workspace.session.engine.state, (State.ERROR, _("Segmentation has stopped")))


def problem_text(workspace: Workspace | None, source: VolumeSource | None) -> str:
    """Return why the worker or the server cannot do what is wanted; empty otherwise."""
    if workspace is None:
        return ""
    return workspace.engine_problem or (source.live.live_reason if source and source.live else "")


def followable(workspace: Workspace | None) -> tuple[list[str], int]:
    """Return the devices whose volumes can be used, and the index of the one in use, even while it is silent."""
    newest = _("the newest volume")
    if workspace is None:
        return [newest], 0
    volumes = {name for name, kind in workspace.devices.items() if kind == "volume"}
    chosen, in_use = workspace.session.followed_device, workspace.session.device_in_use
    followed = in_use if len(volumes) > 1 else chosen  # of a single one, its volumes are the newest of all
    names = sorted(volumes | ({followed} if followed else set()))
    return [newest, *names], 1 + names.index(followed) if followed else 0


def check_cells(checks: Sequence[Check]) -> Cells:
    """Return the cells of the pre-flight table: name of each check; what was found and what to do next."""
    cells = {}
    for line, check in enumerate(checks):
        found = "\n".join(part for part in (check.text, check.action and f"→ {check.action}") if part)
        cells[line, 0] = plain_line(check.state, check.name), COLOURS[check.state]
        cells[line, 1] = found, COLOURS[check.state]
    return cells


def progress_text(row: LesionRow | None, is_busy: bool) -> str:
    """Return the text of the progress bar for the lesion that is being segmented."""
    if row is None:
        return _("waiting for the model") if is_busy else " "
    text = _("{lesion}: {stage} {done} of {total}, {seconds:.1f} s")
    return text.format(lesion=row.name, stage=row.stage, done=row.done, total=row.total, seconds=row.elapsed_s)


def live_text(source: VolumeSource | None) -> str:
    """Return the text of the button for live volumes."""
    live = source.live if source else None
    if live is None or not live.is_wanted:
        return _("Receive volumes while the probe moves")
    return _("Stop receiving volumes ({count} received)").format(count=live.snapshots)


def share_text(publisher: Publisher | None) -> str:
    """Return the text of the button that offers results to the network."""
    if publisher is None or publisher.port is None:
        return _("Offer results to other programs")
    return _("Stop offering results ({count} connected)").format(count=publisher.clients)
