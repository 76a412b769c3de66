"""A recording of frames and poses whose right pairing is known: frame n lies at z = n mm."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from CRLMSegmentationLib.igtl.messages import ImageMessage, TransformMessage
from CRLMSegmentationLib.recording.case import Case
from CRLMSegmentationLib.recording.timed_message import TimedMessage
from CRLMSegmentationLib.tracking.sweeps.calibration import ProbeCalibration

COUNT, PERIOD_S, START_S = 60, 0.05, 1_700_000_000.0
CASE = Case(Path("case"), "case", volumes=())
PIXELS_OF_1_MM = ProbeCalibration(np.eye(4))


def timed(message, arrived_s: float | None) -> TimedMessage:
    offset_s = 0.0 if arrived_s is None else arrived_s - START_S
    load = partial(same, message)
    return TimedMessage(offset_s, message.device, type(message), False, load, message.timestamp_s, arrived_s)


def same(message):
    return message


def image(number: int, sent_s: float, device: str = "Image") -> ImageMessage:
    return ImageMessage(device, sent_s, np.full((1, 3, 4), number, np.uint8), np.eye(4))


def pose(z_mm: float, sent_s: float, name: str = "ProbeToReference") -> TransformMessage:
    matrix = np.eye(4)
    matrix[2, 3] = z_mm
    return TransformMessage(name, sent_s, matrix)


def feed(image_s, pose_s=None, behind=False, arrival=True, dropped=(), gap_s=0.001, bunched=()):
    """Frame n and the pose at z = n mm, 50 ms apart and 1 ms after another.

    Args:
        image_s, pose_s: the sender's time of frame n, in seconds after the start or absolute where it is 0.
        behind: the pose comes behind its frame.
        dropped: numbers of the poses that never came.
        bunched: numbers of the frames that the network held back until the next one.
    """
    messages, pose_s = [], pose_s or image_s
    for n in range(COUNT):
        begin_s = START_S + (PERIOD_S * (n + 1) - 3 * gap_s if n in bunched else PERIOD_S * n)
        pair = [(pose(n, pose_s(n)), n not in dropped), (image(n, image_s(n)), True)]
        for place, (message, came) in enumerate(pair[::-1] if behind else pair):
            if came:
                messages.append(timed(message, begin_s + gap_s * place if arrival else None))
    return messages


def true_s(n):
    return START_S + PERIOD_S * n
