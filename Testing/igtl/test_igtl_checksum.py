"""The checksum is that of the standard and of pyigtl, whether it is calculated at once or part by part."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.checksum import crc64
from hypothesis import given
from hypothesis import strategies as st
from pyigtl.messages import CRC64


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0x6C40DF5F0B497347),  # the check value of CRC-64/ECMA-182
        (b"\x01", 0x42F0E1EBA9EA3693),  # one bit gives the polynomial
        (bytes(1 << 20), 0),  # zeros leave a checksum of zero as it is
    ],
    ids=["nothing", "check value", "one bit", "zeros"],
)
def test_known_values(data: bytes, crc: int) -> None:
    assert crc64(data) == crc


@given(st.binary(max_size=5000), st.integers(0, 2**64 - 1))
def test_same_as_pyigtl(data: bytes, crc: int) -> None:
    assert crc64(data, crc) == CRC64(data, crc)


@given(st.lists(st.one_of(st.binary(max_size=300), st.integers(0, 1000).map(bytes)), max_size=6))
def test_parts_one_after_another_give_the_checksum_of_the_whole(parts: list[bytes]) -> None:
    crc = 0
    for part in parts:
        crc = crc64(memoryview(part), crc)
    assert crc == CRC64(b"".join(parts))


def test_memory_of_arrays_is_read_in_place() -> None:
    array = np.zeros((4, 200, 300), np.uint8)
    array[2, 100, 100] = 1
    assert crc64(array.reshape(-1).data) == CRC64(array.tobytes())
