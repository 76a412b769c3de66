"""The checksum of OpenIGTLink messages: CRC-64/ECMA-182 (polynomial 0x42F0E1EBA9EA3693, start 0, not reflected)."""

from __future__ import annotations

from fastcrc import crc64 as algorithms


def crc64(data: bytes | memoryview, crc: int = 0) -> int:
    """Return the checksum of some bytes, or of those before them and these, where `crc` is that of those before."""
    return algorithms.ecma_182(data, crc)
