"""An engine whose jobs are answered by a segmentation server, through a child process that speaks to it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...core.errors import WorkerError
from ...core.frames import Frame
from ..engine.engine import EngineState
from ..engine.worker_engine import ProcessEngine
from ..models.package import ModelPackage
from .address import ServerAddress
from .status import ServerProblem, ServerState, ServerStatus

CLIENT_MODULE = f"{__package__}.client_process"


class ServerEngine(ProcessEngine):
    """An `engine.Engine` whose jobs run on a server. While that is gone, jobs are not to be submitted.

    Args:
        package: the model, which the server must have as well.
        python: interpreter of the child process; 3D Slicer has to name one, its own is hidden.
        env: environment of the child; None to inherit.
        silence_s: without any sign of the server, after which it counts as gone; None for the client's own.
    """

    def __init__(
        self,
        package: ModelPackage,
        address: ServerAddress,
        python: str | None = None,
        env: dict[str, str] | None = None,
        silence_s: float | None = None,
    ) -> None:
        python = python or sys.executable
        if not python:
            raise WorkerError("no Python interpreter is known here; name one (PythonSlicer)")
        command = [python, "-m", CLIENT_MODULE, str(address)]
        command += ["--model-hash", package.sha256, "--spacing", repr(package.spacing_mm)]
        files = (("--token-file", address.token_file), ("--ca-file", address.ca_file), ("--silence", silence_s))
        for option, value in files:
            command += [] if value is None else [option, str(value)]
        super().__init__(command, env)
        self._server = ServerStatus(f"{address.host}:{address.port}")

    @property
    def status(self) -> ServerStatus:
        """The state of the server, as it was told last."""
        if self._state is EngineState.FAILED:
            return self._without_client(self._failure)
        return self._server

    def _receive(self, frame: Frame) -> None:
        if frame.type == "server":
            self._server = _status_of(frame.header["status"])
        else:
            super()._receive(frame)

    def _launch(self, reason: str) -> None:
        if reason:
            self._server = self._without_client(reason)
        super()._launch(reason)

    def _without_client(self, reason: str) -> ServerStatus:
        return replace(
            self._server, state=ServerState.GONE, problem=ServerProblem.CLIENT, detail=reason, round_trip_s=None
        )


def _status_of(entries: Mapping[str, Any]) -> ServerStatus:
    state, problem = ServerState(entries["state"]), ServerProblem(entries["problem"])
    return ServerStatus(**{**entries, "state": state, "problem": problem})
