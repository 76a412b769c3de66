"""Replay of the tracking of a recording alone, for distances to lesions that are segmented already."""

from __future__ import annotations

from ..igtl.messages import Message, TransformMessage
from ..recording.recorded_link import RecordedLink
from ..recording.timeline import Source
from ..segmentation.wait import drive_until
from ..slicer.workspace.workspace import Workspace


def replay_tracking(workspace: Workspace, source: Source, speed: float) -> None:
    """Play the tracking of a recording from its beginning to its end, while the workspace measures distances."""
    tracking = RecordedTracking(source, speed)
    workspace.use_link(tracking, of_current_volume=True)
    drive_until(workspace, lambda: not tracking.is_playing)


class RecordedTracking(RecordedLink):
    """A recording that is played without its images, so that the segmented volume stays the current one."""

    def poll(self, budget_s: float = 0.004) -> list[Message]:
        return [message for message in super().poll(budget_s) if isinstance(message, TransformMessage)]
