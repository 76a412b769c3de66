"""A workspace that is recorded; messages of the link reach the recorder as real bytes."""

from __future__ import annotations

import numpy as np
from CRLMSegmentationLib.igtl.packing import HEADER_BYTES, pack, parse_header
from CRLMSegmentationLib.recording.message_log import PatientFrame, read_message
from CRLMSegmentationLib.recording.session_events import EVENTS_FILE, read_events
from CRLMSegmentationLib.slicer.workspace.workspace_recorder import WorkspaceRecorder

from .workspace_helpers import StubLink


class TappedLink(StubLink):
    """Gives what is put into it as it comes over a network, and shows the bytes to `on_message`."""

    def __init__(self, recording):
        super().__init__()
        self._recording = recording

    def poll(self, budget_s=0.004):
        return [self._received(message) for message in super().poll()]

    def _received(self, message):
        data = memoryview(pack(message, 2))
        header, body = data[:HEADER_BYTES], data[HEADER_BYTES:]
        self._recording.on_message(header, body)
        return read_message(parse_header(bytes(header)), memoryview(np.frombuffer(body, np.uint8)), PatientFrame.RAS)


def recorded(workspace, clock):
    """The recording of a workspace, looked after at each turn."""
    recording, tick = WorkspaceRecorder(workspace, clock), workspace.tick

    def turn(budget_s=0.004):
        events = tick(budget_s)
        recording.update()
        return events

    workspace.tick = turn
    return recording


def wait(workspace, clock, seconds):
    for _ in range(round(seconds / 0.1)):
        clock.now_s += 0.1
        workspace.tick()


def events_in(folder, *kinds):
    return [event for event in read_events(folder / EVENTS_FILE) if not kinds or event.event in kinds]


def names_in(folder, *kinds):
    return [event.event for event in events_in(folder, *kinds)]


def everything_in(*folders):
    return b"".join(path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file())
