"""Texts of the panel about a workspace, in the user's language: rich text, without Qt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ...core.i18n import tr as _
from ...core.postprocessing import TOUCHES_EDGE, TOUCHES_EMPTY, TOUCHES_VOLUME_EDGE
from ...core.status import translated
from ...core.text import printable
from ...igtl.link import LinkState
from ...igtl.statistics import DropReason
from ...recording.recorded_link import RecordedLink
from ...segmentation.engine.engine import EngineState
from ..rich_text import AMBER, GREEN, GREY, RED, dot
from ..views.navigation_texts import MINUS
from ..workspace.lesion import LesionRow, LesionState
from ..workspace.preflight import Check, Level
from ..workspace.publisher import Publisher
from ..workspace.volume_source import VolumeSource
from ..workspace.workspace import Workspace

FRESH_LINK_S = 1.0
TOUCHES = (TOUCHES_EDGE, TOUCHES_EMPTY, TOUCHES_VOLUME_EDGE)
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


Cells = dict[tuple[int, int], tuple[str, str]]
"""Text and colour of each cell of a table, by line and column."""


def status_texts(workspace: Workspace | None) -> dict[str, str]:
    """Return the rich text of each label of the status strip, by the label's name."""
    return {
        "linkLabel": _link_text(workspace) + _lag_text(workspace),
        "deviceLabel": _device_text(workspace),
        "modelLabel": _model_text(workspace),
        "workerLabel": _worker_text(workspace),
    }


def _link_text(workspace: Workspace | None) -> str:
    link = workspace.session.link if workspace else None
    if workspace is None or link is None:
        return dot(GREY, _("Not connected"))
    if workspace.link_state is not LinkState.CONNECTED:
        return dot(RED if workspace.link_reason else AMBER, workspace.link_reason or _("Connecting ..."))
    warning = workspace.session.volume_warning or workspace.link_reason
    if warning:
        return dot(AMBER, _("Connected, but {warning}").format(warning=warning))
    age_s = workspace.message_rate.age_s
    if age_s is None:
        return dot(AMBER, _nothing_usable_text(workspace))
    text = _("{rate:.0f} messages/s, last {age:.1f} s ago").format(rate=workspace.message_rate.per_s, age=age_s)
    if isinstance(link, RecordedLink):
        if not link.is_playing:
            return dot(GREY, _("Recorded case, paused"))
        return dot(GREEN, _("Recorded case: {text}").format(text=text))
    if workspace.problem_count:
        text += _(", {count} refused or suspicious").format(count=workspace.problem_count)
    unknown, mixed = _not_understood(workspace), _mixed_names(workspace)
    if unknown:
        text += _("; not understood: {types}").format(types=unknown)
    if mixed:
        text += _("; two streams under one name: {names}").format(names=mixed)
    note = workspace.session.following_note
    if note:
        text += f"; {note}"
    return dot(GREEN if age_s < FRESH_LINK_S and not (mixed or note) else AMBER, text)


def _lag_text(workspace: Workspace | None) -> str:
    """Say how many pictures a second there are, on a line of its own, where these lag behind the distance."""
    link = workspace.session.link if workspace is not None else None
    per_s = workspace.render_limiter.lagging_per_s if workspace is not None else None
    if link is None or per_s is None:
        return ""
    rate = f"{per_s:.0f}" if per_s >= 2 else f"{per_s:.1f}"
    return "<br>" + dot(AMBER, _("pictures {rate} a second").format(rate=rate))


def _nothing_usable_text(workspace: Workspace) -> str:
    """Describe what was received while neither an image nor a pose has arrived."""
    session = workspace.session
    under_way = session.link.receiving if session.link is not None else None
    is_first = not session.received and not workspace.problem_count
    if isinstance(under_way, Receiving) and under_way.total_bytes and is_first:
        text = _("Connected, receiving '{device}': {done:.0f} of {total:.0f} MB")
        name = shorten(under_way.device, NAME_WIDTH)
        return text.format(device=name, done=under_way.received_bytes / 1e6, total=under_way.total_bytes / 1e6)
    parts = [_counted(session.received)] if session.received else []
    if workspace.problem_count:
        parts.append(_("{count} refused or suspicious").format(count=workspace.problem_count))
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


def _device_text(workspace: Workspace | None) -> str:
    ready = workspace.ready if workspace else None
    if ready is None:
        return dot(GREY, _("Device not known yet"))
    return dot(AMBER if ready.device.startswith("cpu") else GREEN, ready.device)


def _model_text(workspace: Workspace | None) -> str:
    if workspace is None:
        return dot(GREY, _("No model loaded"))
    model = workspace.session.model
    text = f"{shorten(model.name, NAME_WIDTH)} {model.sha256[:8]}"
    if model.simulated_only:
        return dot(AMBER, _("{model}: simulated data only").format(model=text))
    if model.trained_on.get("simulated") is None:
        return dot(AMBER, _("{model}: origin unknown").format(model=text))
    return dot(GREEN, text)


def shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _worker_text(workspace: Workspace | None) -> str:
    if workspace is None:
        return dot(GREY, _("Worker not running"))
    if workspace.engine_problem:
        return dot(RED, _("Worker failed"))
    if (
        workspace.background_refinement.is_at_work
        and not workspace.session.busy
        and workspace.session.engine.state is EngineState.BUSY
    ):
        return dot(GREEN, _("Refining in the background"))
    texts = {
        EngineState.STARTING: (AMBER, _("Loading the model")),
        EngineState.READY: (GREEN, _("Worker ready")),
        EngineState.BUSY: (GREEN, _("Worker is segmenting")),
    }
    return dot(*texts.get(workspace.session.engine.state, (RED, _("Worker stopped"))))


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


def lesion_cells(rows: Sequence[LesionRow], workspace: Workspace | None = None) -> Cells:
    """Return the cells of the table of lesions."""
    calibration = workspace.calibrations[workspace.session.model.sha256] if workspace is not None else None
    is_simulated = calibration.simulated if calibration is not None else None
    return {
        (line, column): (text, colour_of_name(row) if column == 0 else colour_of_state(row))
        for line, row in enumerate(rows)
        for column, text in enumerate(cells_of(row, is_simulated))
    }


def check_cells(checks: Sequence[Check]) -> Cells:
    """Return the cells of the pre-flight table: name of each check; what was found and what to do next."""
    colours = {Level.GREEN: GREEN, Level.AMBER: AMBER, Level.RED: RED, Level.PENDING: GREY}
    cells = {}
    for line, check in enumerate(checks):
        found = "\n".join(part for part in (check.text, check.action and f"→ {check.action}") if part)
        cells[line, 0] = f"● {check.name}", colours[check.level]
        cells[line, 1] = found, colours[check.level]
    return cells


def cells_of(row: LesionRow, is_simulated: bool | None = None) -> tuple[str, str, str]:
    """Return the texts of one row of the table of lesions.

    Args:
        is_simulated: whether the confidence was calibrated on simulated patients; None when nobody knows.

    Returns:
        Name; volume, diameters and what has become of them since the volume before; state, what refinement has
        changed, the confidence, time taken and age of the volume.
    """
    took = "" if row.seconds is None else _("in {seconds:.1f} s").format(seconds=row.seconds)
    age = "" if row.volume_age_s is None else _("volume of {age}").format(age=_age(row.volume_age_s))
    origin = ", ".join(part for part in (took, age) if part)
    lines = (_state_text(row), _(row.refined), confidence_text(row.confidence, is_simulated), origin)
    return row.name, _size_text(row), "\n".join(line for line in lines if line)


def _size_text(row: LesionRow) -> str:
    if row.volume_ml is None or row.diameters_mm is None:
        return ""
    diameters = " × ".join(f"{diameter:.0f}" for diameter in row.diameters_mm)
    lines = [f"{row.volume_ml:.1f} ml", f"{diameters} mm"]
    if row.shift_mm is not None and row.change is not None:
        percent = round(100 * row.change)
        text = _("moved {shift:.1f} mm, {change} %")
        lines.append(text.format(shift=row.shift_mm, change=f"{percent:+d}".replace("-", MINUS) if percent else "±0"))
    return "\n".join(lines)


def confidence_text(confidence: float | None, is_simulated: bool | None) -> str:
    """Return the expected Dice and on what data it was calibrated; empty where it is not known."""
    if confidence is None:
        return ""
    measured_on = {True: _("simulated"), False: _("patients"), None: _("origin unknown")}[is_simulated]
    return _("expected Dice {dice:.2f}, {measured_on}").format(dice=confidence, measured_on=measured_on)


def colour_of_name(row: LesionRow) -> str:
    """Return the colour of a lesion's seed and segmentation, as HTML writes it."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in row.colour)


def colour_of_state(row: LesionRow) -> str:
    """Return amber where the user must check the lesion, green where it is up to date, else grey."""
    if row.reason or row.warnings or row.unreliable_reason:
        return AMBER
    return GREEN if row.is_current else GREY


def progress_text(row: LesionRow | None, is_busy: bool) -> str:
    """Return the text of the progress bar for the lesion that is being segmented."""
    if row is None:
        return _("waiting for the model") if is_busy else " "
    text = _("{lesion}: {stage} {done} of {total}, {seconds:.1f} s")
    return text.format(lesion=row.name, stage=row.stage, done=row.done, total=row.total, seconds=row.elapsed_s)


def _state_text(row: LesionRow) -> str:
    old = [] if row.is_current or row.volume_ml is None else [_("OUT OF DATE: volume or seed has changed")]
    if row.reason:
        return "; ".join([*old, row.reason])
    states = {
        LesionState.UNPLACED: _("click into the tumour"),
        LesionState.NEW: _("not segmented"),
        LesionState.WAITING: _("waiting"),
        LesionState.RUNNING: row.stage,
    }
    if row.is_renewing:
        return "; ".join([_("being renewed"), *_warnings(row)])
    if row.state in states:
        return "; ".join([states[row.state], *old])
    return "; ".join([*([*old, *_warnings(row)] or [_("up to date")]), *row.volume_warnings])


def _warnings(row: LesionRow) -> list[str]:
    """List the warnings of a lesion; an unreliable reason replaces the warning that it was derived from."""
    if row.unreliable_reason is None:
        return [*row.warnings]
    return [translated(row.unreliable_reason), *(warning for warning in row.warnings if warning not in TOUCHES)]


def live_text(source: VolumeSource | None) -> str:
    """Return the text of the button for live volumes."""
    live = source.live if source else None
    if live is None or not live.is_wanted:
        return _("Live volumes from PLUS")
    return _("Stop live volumes ({count} received)").format(count=live.snapshots)


def share_text(publisher: Publisher | None) -> str:
    """Return the text of the button that offers results to the network."""
    if publisher is None or publisher.port is None:
        return _("Offer results to the network")
    return _("Stop offering results ({count} connected)").format(count=publisher.clients)


def _age(seconds: float) -> str:
    """Say how long ago something was, in coarse steps, so that the table is rarely redrawn."""
    if seconds < 10:
        return _("just now")
    if seconds < 60:
        return _("{seconds} s ago").format(seconds=10 * int(seconds // 10))
    return _("{minutes} min ago").format(minutes=int(seconds // 60))
