"""The checks of a segmentation server before the incision: certificate, token, model, answer, round-trip time."""

from __future__ import annotations

from ...core.i18n import tr as _
from ...segmentation.remote.remote_engine import RemoteEngine
from ...segmentation.remote.status import ServerProblem, ServerState, ServerStatus
from ..state import State
from .check import Check
from .workspace import Workspace

SLOW_ROUND_TRIP_S = 0.05
"""A larger one is felt at every seed."""
SOON_DAYS = 30.0
PROBLEMS_IN_ORDER = (
    (ServerProblem.NAME, ServerProblem.UNREACHABLE, ServerProblem.SILENT, ServerProblem.CLIENT),
    (ServerProblem.CERTIFICATE,),
    (ServerProblem.TOKEN,),
    (ServerProblem.NOT_A_SERVER, ServerProblem.MODEL, ServerProblem.NOT_READY),
)
"""Of reaching it, its certificate, the token and the model: what comes after a problem is not known."""


def server_status_of(workspace: Workspace) -> ServerStatus | None:
    """Return the status of the server on which a workspace computes; None where it computes on this computer."""
    engine = workspace.session.engine
    return engine.server_status if isinstance(engine, RemoteEngine) else None


def server_checks(workspace: Workspace) -> list[Check]:
    """Return the checks of the server, with their results so far; none where this computer is to compute."""
    status = server_status_of(workspace)
    if status is None:
        return []
    names = (_("Server"), _("Server: certificate"), _("Server: token"), _("Server: model"))
    texts = (status.host, _certificate(status), _("accepted"), _model(workspace))
    found = next((n for n, problems in enumerate(PROBLEMS_IN_ORDER) if status.problem in problems), None)
    checks = []
    for number, (name, text) in enumerate(zip(names, texts)):
        if status.state is ServerState.CONNECTING:
            checks.append(Check(name, State.PENDING, _("connecting to {host}").format(host=status.host)))
        elif found is None or number < found:
            checks.append(_passed(name, text, status))
        elif number == found:
            checks.append(Check(name, State.ERROR, status.reason, _(status.action)))
        else:
            checks.append(Check(name, State.PENDING, _("not known before that")))
    return [*checks, _round_trip(status), _answered(workspace, status)]


def _passed(name: str, text: str, status: ServerStatus) -> Check:
    days = status.certificate_days
    if name == _("Server: certificate") and days is not None and days < SOON_DAYS:
        return Check(name, State.WARNING, text, _("Ask the server's administrator to renew it"))
    return Check(name, State.OK, text)


def _certificate(status: ServerStatus) -> str:
    if status.certificate_days is None:
        return _("trusted") if status.state is not ServerState.READY else _("none is needed on this computer")
    return _("trusted, valid for {days:.0f} days").format(days=status.certificate_days)


def _model(workspace: Workspace) -> str:
    model = workspace.session.model
    text = _("{name} {version}, the same SHA-256 {sha256} on both sides")
    return text.format(name=model.name, version=model.version, sha256=model.sha256[:12])


def _round_trip(status: ServerStatus) -> Check:
    name, seconds = _("Server: round trip"), status.round_trip_s
    if seconds is None:
        return Check(name, State.PENDING, _("not known before that"))
    text = _("{ms:.1f} ms").format(ms=seconds * 1000)
    if seconds > SLOW_ROUND_TRIP_S:
        return Check(name, State.WARNING, text, _("Check the network, and the load of the server"))
    return Check(name, State.OK, text)


def _answered(workspace: Workspace, status: ServerStatus) -> Check:
    """Return whether the self-check case, whose answer is checked beside this, was answered by the server."""
    name, result = _("Server: self-check case"), workspace.results.self_check
    if workspace.results.self_check_problem:
        return Check(name, State.ERROR, workspace.results.self_check_problem, _("See the checks above"))
    if result is None:
        return Check(name, State.PENDING, _("waiting for the answer to a simulated case"))
    if status.host not in result.device:
        text = _("answered by this computer instead")
        return Check(name, State.WARNING, text, _("Run the checks again when the server is there"))
    seconds = result.timings_s.get("network", 0.0)
    return Check(name, State.OK, _("answered by the server, {ms:.0f} ms on the network").format(ms=seconds * 1000))
