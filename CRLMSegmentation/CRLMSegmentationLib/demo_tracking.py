"""The tracking of a recording, played past the outlines that were found in its volume."""

from __future__ import annotations

import time

from .driver import drive_until
from .igtl.messages import Message, TransformMessage
from .replay.recorded_link import RecordedLink
from .replay.timeline import Source
from .report.steering import Approaches
from .room.room import Room
from .session import Event, TransformArrived


def steer_past(room: Room, source: Source, speed: float) -> Approaches:
    """Let the instruments of a recording move from its beginning to its end, while the room measures.

    Returns:
        When each instrument was nearest to each outline.
    """
    tracking, watched = RecordedTracking(source, speed), _Watched(room)
    room.use_link(tracking)
    drive_until(watched, lambda: not tracking.is_playing)
    return watched.approaches


class RecordedTracking(RecordedLink):
    """A recording that is played for its poses: the volume that was segmented stays the current one."""

    def poll(self, budget_s: float = 0.004) -> list[Message]:
        return [message for message in super().poll(budget_s) if isinstance(message, TransformMessage)]


class _Watched:
    """A room whose situation is looked at after each turn."""

    def __init__(self, room: Room) -> None:
        self.approaches = Approaches()
        self._room, self._time_s = room, 0.0

    def poll(self, budget_s: float) -> list[Event]:
        events = self._room.tick(budget_s)
        for event in events:
            if isinstance(event, TransformArrived):
                self._time_s = event.message.timestamp_s
        self.approaches.look(self._room.steering.situation, time.monotonic(), self._time_s)
        return events
