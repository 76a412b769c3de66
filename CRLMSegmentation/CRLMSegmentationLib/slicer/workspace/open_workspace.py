"""A workspace with all that is opened and closed together with it."""

from __future__ import annotations

from dataclasses import dataclass

from .publisher import Publisher
from .session_recording import SessionRecording
from .volume_source import VolumeSource
from .workspace import Workspace


@dataclass(frozen=True, eq=False)
class OpenWorkspace:
    """What the module drives: `tick` must be called every 10 to 20 ms.

    Attributes:
        source: where the workspace takes its volumes from.
        publisher: offers results to other programs.
        session: records what happens.
    """

    workspace: Workspace
    source: VolumeSource
    publisher: Publisher
    session: SessionRecording

    @classmethod
    def of(cls, workspace: Workspace) -> OpenWorkspace:
        """Return a workspace with a source that is not connected, nothing offered and nothing recorded yet."""
        session = SessionRecording(workspace)
        return cls(workspace, VolumeSource(workspace, session.recording), Publisher(workspace), session)

    def tick(self) -> None:
        """Do one turn of work without blocking."""
        self.source.update()
        self.session.prepare()
        self.workspace.tick()
        self.session.update()
        self.publisher.update()

    def close(self) -> None:
        """End the links and the worker with everything they have started."""
        self.publisher.stop()
        self.session.end()
        self.workspace.close()
