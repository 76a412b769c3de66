"""Frames between a program and its child process."""

import json

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import WorkerError
from CRLMSegmentationLib.core.frames import MAGIC, PREFIX, Frame, FrameReader, encode


def receive(data: bytes, piece_bytes: int) -> list[Frame]:
    reader, frames = FrameReader(), []
    while data:
        wanted = reader.wanted()
        count = min(len(wanted), len(data), piece_bytes)
        wanted[:count], data = data[:count], data[count:]
        frame = reader.filled(count)
        if frame is not None:
            frames.append(frame)
    return frames


@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
def test_frames_arrive_in_pieces_of_any_size(piece_bytes):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    parts = [*encode({"type": "job", "id": 1}, {"a": array, "none": np.zeros((0, 3))}), *encode({"type": "end"})]
    first, second = receive(b"".join(parts), piece_bytes)
    assert (first.type, first.header["id"], second.type) == ("job", 1, "end")
    np.testing.assert_array_equal(first.arrays()["a"], array)
    assert first.arrays()["none"].shape == (0, 3)
    assert second.arrays() == {}


@pytest.mark.parametrize("header", [{}, {"type": 5}, {"type": None}, [], "job"])
def test_header_without_a_type_is_no_frame(header):
    text = json.dumps(header).encode()
    with pytest.raises(WorkerError, match="has no type"):
        receive(PREFIX.pack(MAGIC, len(text), 0) + text, 1 << 20)
