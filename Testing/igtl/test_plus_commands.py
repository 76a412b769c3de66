"""Commands to a PLUS server and its replies, in the words of PLUS."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.core.errors import MessageError
from CRLMSegmentationLib.igtl.messages import StringMessage
from CRLMSegmentationLib.igtl.plus_commands import (
    SNAPSHOT,
    PlusCommand,
    PlusReply,
    command_of,
    pack_command,
    pack_reply,
    reply_of,
)
from hypothesis import given
from hypothesis import strategies as st


def text(device: str, content: str) -> StringMessage:
    return StringMessage(device, 0.0, content)


def test_command_is_written_as_plus_reads_it() -> None:
    message = pack_command(PlusCommand(12, SNAPSHOT, {"OutputVolDeviceName": "recvol_Reference"}))
    assert message.device == "CMD_12"
    expected = '<Command Name="GetVolumeReconstructionSnapshot" OutputVolDeviceName="recvol_Reference" />'
    assert message.text == expected


def test_reply_is_read_as_plus_writes_it() -> None:
    """As written by vtkPlusOpenIGTLinkServer for commands in STRING messages."""
    said = '<CommandReply Status="SUCCESS" Message="GetVolumeReconstructionSnapshot(x) image sent as: recvol" />'
    assert reply_of(text("ACK_12", said)) == PlusReply(
        12, True, "GetVolumeReconstructionSnapshot(x) image sent as: recvol"
    )


def test_reply_to_a_command_that_plus_cannot_read_has_no_number() -> None:
    said = '<CommandReply Status="FAIL" Message="Error attempting to process command." />'
    assert reply_of(text("CMD", said)) == PlusReply(None, False, "Error attempting to process command.")


def test_newer_form_says_why_in_error() -> None:
    said = '<CommandReply Name="x" Status="FAIL" Error="no device" Message="failed."></CommandReply>'
    assert reply_of(text("ACK_3", said)).text == "failed.; no device"


def test_other_texts_are_neither() -> None:
    for device in ("Label", "ACK_", "CMD_x", "ACK_1 2", "CMDS_1"):
        assert command_of(text(device, "<Command Name='a'/>")) is None
        assert reply_of(text(device, "<CommandReply/>")) is None


@given(st.integers(0, 10**9 - 1), st.text(max_size=40), st.booleans())
def test_reply_comes_back_the_same(uid: int, said: str, succeeded: bool) -> None:
    said = "".join(c for c in said if c.isprintable())
    assert reply_of(pack_reply(PlusReply(uid, succeeded, said))) == PlusReply(uid, succeeded, said)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "garbage",
        "<Command>",
        "<Other Name='a' />",
        "<Command />",
        '<!DOCTYPE x [<!ENTITY a "b">]><Command Name="&a;" />',
        "<Command Name='a' />" + " " * 20_000,
        "<Command " * 1000,
    ],
)
def test_unreadable_command_is_refused(content: str) -> None:
    with pytest.raises(MessageError):
        command_of(text("CMD_1", content))
