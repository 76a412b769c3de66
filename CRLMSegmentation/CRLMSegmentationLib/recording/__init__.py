"""Records what happens on disk, reads it back and plays it: case format, message log, session log, recovery, replay."""

from __future__ import annotations

__all__ = [
    "case",
    "dataset",
    "folder",
    "frame_pairing",
    "label_components",
    "link_recorder",
    "message_log",
    "player",
    "player_process",
    "reconstruct",
    "reconstruction_service",
    "record",
    "recorded_images",
    "recorded_link",
    "recorded_messages",
    "recorded_sweep",
    "recovery",
    "rerun",
    "saved_images",
    "session_events",
    "session_reader",
    "session_recorder",
    "session_results",
    "summary",
    "sweep_messages",
    "timed_message",
    "timeline",
    "tip_distances",
]
