"""A stub of the engine of a server, which comes and goes as a test says."""

from __future__ import annotations

from CRLMSegmentationLib.segmentation.engine.engine import EngineState, Failed
from CRLMSegmentationLib.segmentation.remote.status import ServerProblem, ServerState, ServerStatus

from .stub_engine import StubEngine


class StubServer(StubEngine):
    """A server whose state the test sets."""

    def __init__(self):
        super().__init__()
        self.status = ServerStatus("gpu:8443")

    def start(self):
        self.state = EngineState.STARTING

    def come(self):
        self.status = ServerStatus("gpu:8443", ServerState.READY, device="H200", pass_s=0.02)
        if self.state is EngineState.STARTING:
            super().start()

    def go(self, problem=ServerProblem.SILENT):
        self.status = ServerStatus("gpu:8443", ServerState.GONE, problem)
        if self.pending is not None:
            self.events.append(Failed(self.pending, "the connection was lost", is_lost=True))
            self.pending = None
