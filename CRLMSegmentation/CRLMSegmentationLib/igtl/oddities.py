"""Messages that are read, but odd: names that may be cut, another frame than expected, tools that cannot be read."""

from __future__ import annotations

from .header import Header, may_be_cut
from .messages import ImageMessage, Message, PatientFrame, TrackingMessage
from .statistics import DropReason, LinkStatistics

NAME_CUT = (
    "the name fills the 20 bytes of a header and may be cut, so that two devices may come under one name; "
    "give the sender a shorter name, or use one that speaks header version 2"
)


def count_oddities(statistics: LinkStatistics, header: Header, message: Message, frame: PatientFrame) -> None:
    """Count what is odd about a message that was read.

    Args:
        frame: patient frame in which the message was read.
    """
    if isinstance(message, TrackingMessage):
        for reason in message.refusals:
            statistics.drop(DropReason.BODY, reason)
    if isinstance(message, ImageMessage) and message.labelled_frame is not frame:
        statistics.frame_label_differs += 1
        text = _frame_text(message.labelled_frame, frame)
        statistics.problems.note_once(DropReason.FRAME_LABEL, message.device, text)
    cut = [message.device] if may_be_cut(header, message) else []
    for name in message.cut_names if isinstance(message, TrackingMessage) else cut:
        statistics.problems.note_once(DropReason.NAME_CUT, name, NAME_CUT)


def _frame_text(labelled: PatientFrame | None, frame: PatientFrame) -> str:
    said = "has a coordinate flag that OpenIGTLink does not know" if labelled is None else f"says {labelled.name}"
    return (
        f"an image {said}, but is read as {frame.name}, as this kind of sender counts; see that it lies where it should"
    )
