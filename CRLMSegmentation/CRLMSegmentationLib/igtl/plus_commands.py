"""Commands to a PLUS server, and its replies: XML in STRING messages (read in PlusLib's vtkPlusOpenIGTLinkServer,
vtkPlusCommandProcessor and vtkPlusReconstructVolumeCommand).

A command has the device name CMD_<uid>; a server executes each uid, an integer, once. Its reply has the name ACK_<uid>.
A volume that a command requests is sent before the reply, and to that client alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import quoteattr

from ..core.errors import MessageError
from ..core.plain_xml import parse_xml
from .messages import StringMessage

START = "StartVolumeReconstruction"
SNAPSHOT = "GetVolumeReconstructionSnapshot"
SUSPEND = "SuspendVolumeReconstruction"
RESUME = "ResumeVolumeReconstruction"
STOP = "StopVolumeReconstruction"
DEFAULT_RECONSTRUCTOR = "VolumeReconstructorDevice"
"""Id of the device in PLUS's own configuration files."""
DEVICE_NAME = re.compile(r"(CMD|ACK)_(\d{1,9})", re.ASCII | re.IGNORECASE)
UNREADABLE = ("CMD", "ACK")
"""Device names with which PLUS answers a command that it cannot read or does not know."""
MAX_XML_CHARACTERS = 16 << 10


@dataclass(frozen=True)
class PlusCommand:
    """A command to a PLUS server: its name and attributes, such as {"ApplyHoleFilling": "TRUE"}."""

    uid: int
    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlusReply:
    """The reply of a PLUS server; `uid` is None where it could not read the command."""

    uid: int | None
    succeeded: bool
    text: str


def pack_command(command: PlusCommand) -> StringMessage:
    """Return the message that carries a command."""
    attributes = {"Name": command.name, **command.attributes}
    return StringMessage(f"CMD_{command.uid}", time.time(), _element("Command", attributes))


def pack_reply(reply: PlusReply) -> StringMessage:
    """Return the message that carries a reply, in the format of PLUS."""
    status = "SUCCESS" if reply.succeeded else "FAIL"
    text = _element("CommandReply", {"Status": status, "Message": reply.text})
    device = UNREADABLE[0] if reply.uid is None else f"ACK_{reply.uid}"
    return StringMessage(device, time.time(), text)


def command_of(message: StringMessage) -> PlusCommand | None:
    """Return the command of a message; None for other texts.

    Raises:
        MessageError: a command that cannot be read.
    """
    uid = _uid_of(message, "CMD")
    if uid is None:
        return None
    attributes = _read(message.text, "Command")
    name = attributes.pop("Name", "")
    if not name:
        raise MessageError(f"the command {message.device} has no Name")
    return PlusCommand(uid, name, attributes)


def reply_of(message: StringMessage) -> PlusReply | None:
    """Return the reply of a message; None for other texts.

    Raises:
        MessageError: a reply that cannot be read.
    """
    uid = _uid_of(message, "ACK")
    if uid is None and message.device.upper() not in UNREADABLE:
        return None
    attributes = _read(message.text, "CommandReply")
    # A server that answers in the newer form says why in Error.
    text = "; ".join(filter(None, (attributes.get("Message", ""), attributes.get("Error", ""))))
    return PlusReply(uid, attributes.get("Status", "").upper() == "SUCCESS", text)


def _uid_of(message: StringMessage, prefix: str) -> int | None:
    match = DEVICE_NAME.fullmatch(message.device)
    return int(match[2]) if match and match[1].upper() == prefix else None


def _element(name: str, attributes: Mapping[str, str]) -> str:
    """Return an XML element in ASCII, as STRING requires; other characters become references."""
    text = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{name}{text} />".encode("ascii", "xmlcharrefreplace").decode()


def _read(text: str, expected: str) -> dict[str, str]:
    """Return the attributes of an XML element of the expected name."""
    try:
        element = parse_xml(text, MAX_XML_CHARACTERS)
    except ValueError as error:
        raise MessageError(f"<{expected}> expected, got {text[:60]!r}: {error}") from error
    if element.tag.lower() != expected.lower():
        raise MessageError(f"<{expected}> expected, got <{element.tag[:40]}>")
    return dict(element.attrib)
