"""The checksum that skips zeros is the checksum that does not."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.checksum import BLOCK_BYTES, crc64
from hypothesis import given, settings
from hypothesis import strategies as st
from pyigtl.messages import CRC64


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=20), st.lists(st.integers(0, 5 * BLOCK_BYTES - 1), max_size=4), st.integers(0, 2**64 - 1))
def test_same_as_the_plain_checksum(head: bytes, filled: list[int], crc: int) -> None:
    data = bytearray(5 * BLOCK_BYTES + len(head))
    data[: len(head)] = head
    for position in filled:
        data[position] = 1 + position % 255
    assert crc64(bytes(data), crc) == CRC64(bytes(data), crc)


@pytest.mark.parametrize("count", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES])
@pytest.mark.parametrize("value", [0, 7])
def test_lengths_around_whole_blocks(count: int, value: int) -> None:
    data = bytes([value]) * count
    assert crc64(data, 12345) == CRC64(data, 12345)


def test_views_of_arrays_are_taken() -> None:
    array = np.zeros((4, 200, 300), np.uint8)
    array[2, 100, 100] = 1
    assert crc64(memoryview(array).cast("B")) == CRC64(array.tobytes())
