"""The decoder: bytes in pieces of any size, damaged bytes among them."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import LinkError
from CRLMSegmentationLib.igtl.messages import ImageMessage, PatientFrame, StatusMessage, StringMessage
from CRLMSegmentationLib.igtl.packing import HEADER_BYTES, pack
from CRLMSegmentationLib.igtl.protocol import Decoder
from helpers.igtl_links import image, transform, with_right_checksum
from hypothesis import given
from hypothesis import strategies as st
from pyigtl.messages import MessageBase

GOOD = pack(transform("After"))


def damaged(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def of_unknown_type(content: bytes) -> bytes:
    """A message that is well formed but of a type that this program leaves out."""
    message = MessageBase(timestamp=1.0, device_name="Field")
    message._message_type, message._pack_content = "NDARRAY", lambda: content
    return message.pack()


@pytest.mark.parametrize("at", range(1, HEADER_BYTES + 1))
def test_header_split_at_every_byte(at: int) -> None:
    decoder, data = Decoder(), pack(transform(), 2)
    assert decoder.feed(data[:at]) == []
    assert decoder.unfinished
    (got,) = decoder.feed(data[at:])
    assert got.device == "ProbeToReference"
    assert got.matrix[0, 3] == 10
    assert not decoder.unfinished


@given(st.lists(st.integers(1, 90), min_size=1, max_size=30))
def test_any_split_gives_the_same_messages(sizes: list[int]) -> None:
    data = (
        pack(image(), 2) + pack(transform(), 1) + pack(StringMessage("S", 1.0, "text"), 2) + pack(StatusMessage("", 0))
    )
    decoder, got, at = Decoder(), [], 0
    for size in sizes * (1 + len(data) // sum(sizes)):
        got += decoder.feed(data[at : at + size])
        at += size
    got += decoder.feed(data[at:])
    assert [type(m).__name__ for m in got] == ["ImageMessage", "TransformMessage", "StringMessage", "StatusMessage"]
    np.testing.assert_array_equal(got[0].array, image().array)


def test_several_messages_in_one_packet() -> None:
    assert [m.device for m in Decoder().feed(pack(image()) + GOOD + GOOD)] == ["recvol_Reference", "After", "After"]


def test_images_do_not_share_memory() -> None:
    first, second = Decoder().feed(pack(image()) * 2)
    first.array[:] = 99
    np.testing.assert_array_equal(second.array, image().array)


@pytest.mark.parametrize("at", [HEADER_BYTES, HEADER_BYTES + 20, -1])
def test_wrong_checksum_drops_the_message_and_keeps_the_framing(at: int) -> None:
    data = bytearray(pack(transform("Before")))
    data[at] ^= 1
    decoder = Decoder()
    assert [m.device for m in decoder.feed(bytes(data) + GOOD)] == ["After"]
    assert decoder.statistics.dropped == {"checksum wrong": 1}
    assert "Before" in decoder.statistics.last_problem


@pytest.mark.parametrize("bad", [b"", b"\0" * 11, b"\xff" * 72], ids=["empty", "short", "nonsense"])
def test_unreadable_body_is_dropped_and_the_framing_kept(bad: bytes) -> None:
    message = MessageBase(timestamp=1.0, device_name="Bad")
    message._message_type = "IMAGE"
    message._pack_content = lambda: bad
    decoder = Decoder()
    assert [m.device for m in decoder.feed(message.pack() + GOOD)] == ["After"]
    assert decoder.statistics.dropped == {"body unreadable": 1}


@pytest.mark.parametrize("bad_value", [np.nan, 0.0], ids=["nan", "singular"])
def test_impossible_matrix_is_dropped_and_the_framing_kept(bad_value: float) -> None:
    data = bytearray(pack(image()))
    data[HEADER_BYTES + 12 : HEADER_BYTES + 24] = struct.pack(">3f", *[bad_value] * 3)
    decoder = Decoder()
    assert [m.device for m in decoder.feed(with_right_checksum(data) + GOOD)] == ["After"]
    assert decoder.statistics.dropped == {"body unreadable": 1}


def test_unknown_types_are_skipped_by_their_size_and_counted() -> None:
    unknown = of_unknown_type(bytes(240_000))
    assert len(unknown) > 200_000  # more than the buffer that it is read into
    decoder = Decoder()
    assert [m.device for m in decoder.feed(unknown + GOOD + unknown + GOOD)] == ["After", "After"]
    assert decoder.statistics.skipped == {"NDARRAY": 2}
    assert not decoder.statistics.dropped


@pytest.mark.parametrize("version", [0, 3, 258])
def test_other_header_versions_end_the_link(version: int) -> None:
    decoder = Decoder()
    with pytest.raises(LinkError, match=f"version {version}"):
        decoder.feed(damaged(GOOD, 0, struct.pack(">H", version)))
    assert decoder.statistics.dropped == {"header version not supported": 1}


def test_declared_3_gb_end_the_link_before_memory_is_taken() -> None:
    with pytest.raises(LinkError, match="3000 MB, at most 537 MB"):
        Decoder().feed(damaged(GOOD, 42, struct.pack(">Q", 3_000_000_000))[:HEADER_BYTES])


def test_size_cap_is_exact() -> None:
    data = pack(image())
    assert len(Decoder(max_body_bytes=len(data) - HEADER_BYTES).feed(data)) == 1
    with pytest.raises(LinkError, match="too large"):
        Decoder(max_body_bytes=len(data) - HEADER_BYTES - 1).feed(data)


@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\nServer: nginx/1.18.0 (Ubuntu)\r\n\r\n<html>", b"\0" * 58]
)
def test_another_protocol_is_noticed(garbage: bytes) -> None:
    with pytest.raises(LinkError, match=r"not OpenIGTLink|version"):
        Decoder().feed(garbage)


@given(st.binary(min_size=0, max_size=300))
def test_random_bytes_never_crash_the_decoder(data: bytes) -> None:
    with contextlib.suppress(LinkError):
        assert Decoder().feed(data) == []


def test_progress_of_a_volume_under_way() -> None:
    decoder, data = Decoder(), pack(image((10, 10, 10)))
    decoder.feed(data[: HEADER_BYTES + 500])
    assert decoder.receiving == ("recvol_Reference", 500, 1072)
    assert decoder.unfinished == "'recvol_Reference' after 500 of 1072 bytes"
    decoder.feed(data[HEADER_BYTES + 500 :])
    assert decoder.receiving is None


def test_the_version_that_a_peer_has_shown_is_known() -> None:
    decoder = Decoder()
    decoder.feed(pack(transform(), 1))
    assert decoder.peer_version == 1
    decoder.feed(pack(transform(), 2) + pack(transform(), 1))
    assert decoder.peer_version == 2


def test_images_labelled_with_another_frame_are_counted() -> None:
    decoder = Decoder(PatientFrame.RAS)
    decoder.feed(pack(image(), frame=PatientFrame.LPS) + pack(image(), frame=PatientFrame.RAS))
    assert decoder.statistics.frame_label_differs == 1
    assert decoder.statistics.summary()["received"] == {"IMAGE": 2}


def test_several_types_of_one_name_are_all_delivered() -> None:
    got = Decoder().feed(pack(image(device="X")) + pack(transform("X")) + pack(transform("X", 1700000001.0)))
    assert [m.timestamp_s for m in got] == [1700000000.25, 1700000000.5, 1700000001.0]
    assert isinstance(got[0], ImageMessage)


def test_tap_gets_whole_messages_as_they_came_even_of_unknown_types() -> None:
    recorded_link: list[bytes] = []
    unknown = of_unknown_type(bytes(40))
    wrong = damaged(GOOD, HEADER_BYTES + 5, b"!")
    decoder = Decoder(on_message=lambda header, body: recorded_link.append(bytes(header) + bytes(body)))
    for data in (pack(image(), 2), unknown, wrong, GOOD):
        decoder.feed(data[:70])
        decoder.feed(data[70:])
    assert recorded_link == [pack(image(), 2), unknown, GOOD]
    assert decoder.statistics.skipped == {"NDARRAY": 1}
