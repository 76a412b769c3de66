"""What a client knows of its server: whether it can be used, why not, and what computes there."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class ServerState(Enum):
    CONNECTING = "connecting"
    """Not known yet whether it can be used."""
    READY = "ready"
    GONE = "gone"
    """It cannot be used; `ServerStatus.problem` says why. It is tried again and again."""


class ServerProblem(Enum):
    """Why a server cannot be used."""

    NONE = "none"
    NAME = "name"
    UNREACHABLE = "unreachable"
    SILENT = "silent"
    CERTIFICATE = "certificate"
    TOKEN = "token"
    MODEL = "model"
    NOT_A_SERVER = "not a server"
    NOT_READY = "not ready"
    CLIENT = "client"


SENTENCES = {
    ServerProblem.NONE: "",
    ServerProblem.NAME: "its name is not known here",
    ServerProblem.UNREACHABLE: "it cannot be reached",
    ServerProblem.SILENT: "it does not answer",
    ServerProblem.CERTIFICATE: "its certificate is not trusted",
    ServerProblem.TOKEN: "it refuses the token",
    ServerProblem.MODEL: "it does not have the model that is chosen here",
    ServerProblem.NOT_A_SERVER: "what answers there is no segmentation server of this version",
    ServerProblem.NOT_READY: "it has no worker that is ready",
    ServerProblem.CLIENT: "the process that speaks to it has ended",
}
ACTIONS = {
    ServerProblem.NONE: "",
    ServerProblem.NAME: "Check the address and the network",
    ServerProblem.UNREACHABLE: "Check that the server runs, its port and the firewall",
    ServerProblem.SILENT: "Check the network and the load of the server",
    ServerProblem.CERTIFICATE: "Renew the certificate, or choose the file of the CA that has signed it",
    ServerProblem.TOKEN: "Ask the server's administrator for the token of this room",
    ServerProblem.MODEL: "Install the same model on both computers",
    ServerProblem.NOT_A_SERVER: "Check the address, and the versions on both computers",
    ServerProblem.NOT_READY: "Look at the log of the server",
    ServerProblem.CLIENT: "Look at the log, and restart the engine",
}


@dataclass(frozen=True)
class ServerStatus:
    """The state of a server as its client knows it.

    Attributes:
        host: name or address, with the port.
        detail: of the problem, from the system or the server.
        device: runtime, precision and device of the model there.
        versions: of what computes there.
        pass_s: time of one pass of the network there; None where it was not measured.
        round_trip_s: of the last heartbeat; None before the first.
        certificate_days: until the certificate expires; None without TLS.
    """

    host: str
    state: ServerState = ServerState.CONNECTING
    problem: ServerProblem = ServerProblem.NONE
    detail: str = ""
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    pass_s: float | None = None
    round_trip_s: float | None = None
    certificate_days: float | None = None

    @property
    def reason(self) -> str:
        """Why the server cannot be used, as the end of a sentence."""
        sentence = SENTENCES[self.problem]
        return f"{sentence} ({self.detail})" if sentence and self.detail else sentence

    @property
    def action(self) -> str:
        """What to do about it; empty when nothing."""
        return ACTIONS[self.problem]
