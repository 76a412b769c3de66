"""A workspace with all that is opened and closed together with it."""

from __future__ import annotations

from dataclasses import dataclass

from .publisher import Publisher
from .recording_control import RecordingControl
from .volume_source import VolumeSource
from .workspace import Workspace


@dataclass(frozen=True, eq=False)
class OpenWorkspace:
    """What the module drives: `tick` must be called every 10 to 20 ms.

    Attributes:
        source: where the workspace takes its volumes from.
        publisher: offers results to other programs.
        recording: begins and ends the recording of what happens.
    """

    workspace: Workspace
    source: VolumeSource
    publisher: Publisher
    recording: RecordingControl

    @classmethod
    def of(cls, workspace: Workspace) -> OpenWorkspace:
        """Return a workspace with a source that is not connected, nothing offered and nothing recorded yet."""
        recording = RecordingControl(workspace)
        return cls(workspace, VolumeSource(workspace, recording.recorder), Publisher(workspace), recording)

    def tick(self) -> None:
        """Do one turn of work without blocking."""
        self.source.update()
        self.recording.prepare()
        self.workspace.tick()
        self.recording.update()
        self.publisher.update()

    def close(self) -> None:
        """End the links and the worker with everything they have started."""
        self.publisher.stop()
        self.recording.end()
        self.workspace.close()
