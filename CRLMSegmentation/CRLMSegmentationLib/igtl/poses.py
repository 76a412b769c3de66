"""Messages with poses: TRANSFORM, POSITION, QTRANS, TDATA and QTDATA."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np

from ..core.errors import GeometryError
from .content import Content, Envelope, pose_between_frames
from .messages import (
    ORIENTATION_KEY,
    ORIENTATION_UNKNOWN,
    STATUS_OK,
    TRANSFORM_STATUS_KEY,
    PatientFrame,
    TrackingMessage,
    TransformMessage,
    check_transform,
)
from .pyigtl_bodies import read_transform_body
from .tracking_data import Element, PoseInBody, read_elements, read_position

NO_POSE = PoseInBody(np.eye(4))
"""Stands for invalid numbers of a tool that is not seen, so that its status is received all the same."""


def read_transform(content: memoryview, envelope: Envelope, frame: PatientFrame) -> TransformMessage:
    """Read the content of a TRANSFORM.

    Raises:
        GeometryError: the status is OK, and the matrix is no transform.
    """
    matrix = pose_between_frames(read_transform_body(content), frame)
    pose = TransformMessage(envelope.device, envelope.timestamp_s, matrix, envelope.metadata)
    return replace(pose, matrix=check_transform(pose.matrix)) if pose.status == STATUS_OK else pose


def read_position_message(content: memoryview, envelope: Envelope, frame: PatientFrame) -> TransformMessage:
    """Read the content of a POSITION or QTRANS.

    Raises:
        GeometryError: the status is OK, and the matrix is no transform.
    """
    try:
        pose = read_position(content)
    except GeometryError:
        if envelope.metadata.get(TRANSFORM_STATUS_KEY, STATUS_OK) == STATUS_OK:
            raise
        pose = NO_POSE
    return _pose_message(pose, envelope, frame)


def _pose_message(pose: PoseInBody, envelope: Envelope, frame: PatientFrame) -> TransformMessage:
    """Return a pose of a message of any type; its matrix is checked only if its status is OK."""
    metadata = (
        envelope.metadata if pose.has_orientation else {**envelope.metadata, ORIENTATION_KEY: ORIENTATION_UNKNOWN}
    )
    message = TransformMessage(
        envelope.device, envelope.timestamp_s, pose_between_frames(pose.matrix, frame), metadata
    )  # fmt: skip
    return replace(message, matrix=check_transform(message.matrix)) if message.status == STATUS_OK else message


def read_tracking(message_type: str, content: memoryview, envelope: Envelope, frame: PatientFrame) -> TrackingMessage:
    """Read the content of a TDATA or QTDATA.

    Raises:
        MessageError: its size is wrong, or it has too many tools.
    """
    elements = read_elements(message_type, content, envelope.metadata)
    read = tuple(_tool(number, element, envelope, frame) for number, element in enumerate(elements, 1))
    cut_names = tuple(element.name for element in elements if element.may_be_cut)
    return TrackingMessage(envelope.device, envelope.timestamp_s, read, cut_names, envelope.metadata)


def _tool(number: int, element: Element, envelope: Envelope, frame: PatientFrame) -> TransformMessage | str:
    """Return one tool of a TDATA message as a message of its own, or the reason why it cannot be read."""
    shown = f"tool {number} {element.name!r:.60} of '{envelope.device}'"
    if not element.name or not element.name.isprintable():
        return f"{shown} has no name of printable characters"
    status = element.status or envelope.metadata.get(TRANSFORM_STATUS_KEY, "")
    metadata = {TRANSFORM_STATUS_KEY: status} if status else {}
    if isinstance(element.pose, str) and (status or STATUS_OK) == STATUS_OK:
        return f"{shown} cannot be read: {element.pose}"
    own = Envelope(element.name, envelope.timestamp_s, metadata)
    try:
        return _pose_message(NO_POSE if isinstance(element.pose, str) else element.pose, own, frame)
    except GeometryError as error:
        return f"{shown} cannot be read: {error}"


def pack_transform(message: TransformMessage, frame: PatientFrame) -> Content:
    """Return the content of a TRANSFORM.

    Raises:
        GeometryError: the status is OK, and the matrix is no transform.
    """
    matrix = check_transform(message.matrix) if message.status == STATUS_OK else message.matrix
    columns = pose_between_frames(matrix, frame)[:3].T.ravel()
    return Content("TRANSFORM", [struct.pack(">12f", *columns)])
