"""What the readers and writers of all types of message share: envelope, content, frames and texts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..core.geometry import RAS_TO_LPS, transform_points
from .messages import PatientFrame

ASCII, LATIN_1 = 3, 4
"""MIBenum of IANA; other texts are decoded as UTF-8."""


class Content(NamedTuple):
    """Type and body of a message to send; the parts of the body are joined only once."""

    type: str
    parts: list[bytes | memoryview]


class Envelope(NamedTuple):
    """Values that every message has; `device` in full where the metadata gives it."""

    device: str
    timestamp_s: float
    metadata: dict[str, str]


def decode_text(text: bytes, encoding: int = ASCII) -> str:
    """Return a text of a message. PLUS and Slicer send UTF-8 and call it ASCII, so that both are read as UTF-8."""
    return text.decode("latin-1") if encoding == LATIN_1 else text.decode("utf8", "replace")


def pose_between_frames(matrix: np.ndarray, frame: PatientFrame) -> np.ndarray:
    """Convert a pose (4x4, mm) between RAS and the frame of the peer, in either direction."""
    return RAS_TO_LPS @ matrix @ RAS_TO_LPS if frame is PatientFrame.LPS else np.array(matrix, dtype=np.float64)


def points_between_frames(points: np.ndarray, frame: PatientFrame) -> np.ndarray:
    """Convert points (N, 3), mm, between RAS and the frame of the peer, in either direction."""
    points = np.asarray(points, dtype=np.float64)
    return transform_points(RAS_TO_LPS, points) if frame is PatientFrame.LPS else points
