"""What the strip says of a server that segments: its device and round-trip time, or why it is not used."""

from __future__ import annotations

from ...core.i18n import tr as _
from ...segmentation.remote.status import ServerState
from ..state import State, StateText
from ..workspace.server_checks import server_status_of
from ..workspace.workspace import Workspace


def server_text(workspace: Workspace) -> StateText | None:
    """Return state and text of the server on which a workspace computes; None where it computes on this computer."""
    status = server_status_of(workspace)
    if status is None:
        return None
    if status.state is ServerState.CONNECTING:
        return State.WARNING, _("Connecting to the server {host}").format(host=status.host)
    if status.state is ServerState.READY:
        ms = 1000 * (status.round_trip_s or 0.0)
        text = _("Server {host}: {device}, round trip {ms:.0f} ms")
        return State.OK, text.format(host=status.host, device=status.device, ms=ms)
    if workspace.engine_problem:
        return State.ERROR, _("Server {host}: {reason}").format(host=status.host, reason=status.reason)
    text = _("Server {host}: {reason}; computing on this computer")
    return State.WARNING, text.format(host=status.host, reason=status.reason)
