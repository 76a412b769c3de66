"""Loopback links whose ends are polled in turns by the test itself."""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from collections.abc import Callable

import numpy as np
from CRLMSegmentationLib.igtl.client import IgtlClient, LinkState
from CRLMSegmentationLib.igtl.messages import ImageMessage, Message, TransformMessage
from CRLMSegmentationLib.igtl.packing import HEADER, HEADER_BYTES
from CRLMSegmentationLib.igtl.server import IgtlServer
from pyigtl.messages import CRC64

OBLIQUE_LEFT_HANDED = np.array(
    [
        [0.0, -0.4, 0.36, 12.5],
        [0.5, 0.0, 0.0, -30.25],
        [0.0, 0.3, 0.48, 71.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
) @ np.diag([1.0, 1.0, -1.0, 1.0])
"""Spacings 0.5, 0.5, 0.6 mm; axes permuted, turned and mirrored."""
PATIENCE_S = 120.0
"""After this time a test gives up that waits for something; a busy machine may take seconds over milliseconds."""


def free_port() -> int:
    """A port below those that the system hands out, lest another test be given it meanwhile."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def image(shape: tuple[int, ...] = (4, 3, 2), device: str = "recvol_Reference") -> ImageMessage:
    """An IMAGE whose voxels count upwards."""
    array = np.arange(np.prod(shape), dtype=np.int32).astype(np.uint8).reshape(shape)
    return ImageMessage(device, 1700000000.25, array, OBLIQUE_LEFT_HANDED)


def transform(device: str = "ProbeToReference", time_s: float = 1700000000.5, status: str = "OK") -> TransformMessage:
    """A pose 10 mm to the right."""
    matrix = np.eye(4)
    matrix[0, 3] = 10.0
    return TransformMessage(device, time_s, matrix, {"TransformStatus": status})


def with_right_checksum(data: bytes | bytearray) -> bytes:
    """The first message of some bytes with the checksum of the body that it has now; no message stays as it is."""
    if len(data) < HEADER_BYTES:
        return bytes(data)
    *head, body_bytes, _ = HEADER.unpack(data[:HEADER_BYTES])
    crc = CRC64(bytes(data[HEADER_BYTES : HEADER_BYTES + body_bytes]))
    return HEADER.pack(*head, body_bytes, crc) + bytes(data[HEADER_BYTES:])


class Link:
    """A server and its clients, polled in turns."""

    def __init__(self, server: IgtlServer) -> None:
        self.server = server
        self.got_by_server: list[Message] = []
        self.clients: list[IgtlClient] = []

    def client(self, **options: object) -> IgtlClient:
        """A client that is served already."""
        count = len(self.server.clients)
        client = IgtlClient("127.0.0.1", self.server.port, **options)
        self.clients.append(client)
        self.poll_until(lambda: len(self.server.clients) > count)
        return client

    def poll_until(self, done: Callable[[], bool], timeout_s: float = PATIENCE_S) -> dict[IgtlClient, list[Message]]:
        """Poll all ends until something holds; fails when it does not."""
        got: dict[IgtlClient, list[Message]] = {c: [] for c in self.clients}
        end_s = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < end_s, "the link did not get there in time"
            self.got_by_server += self.server.poll(0.001)
            for client in self.clients:
                got[client] += client.poll()
        return got

    def receive(self, client: IgtlClient, count: int = 1) -> list[Message]:
        """The next messages of one client."""
        before = sum(client.statistics.received.values())
        return self.poll_until(lambda: sum(client.statistics.received.values()) >= before + count)[client]


class RawServer:
    """A server that sends whatever bytes it is told, broken ones among them."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def accept(self, client: IgtlClient) -> socket.socket:
        """The connection of a client that is on its way."""
        end_s = time.monotonic() + PATIENCE_S
        self.listener.settimeout(0.02)
        while time.monotonic() < end_s:
            client.poll()
            try:
                sock, _ = self.listener.accept()
            except socket.timeout:
                continue
            poll_client_until(client, lambda: client.state is LinkState.CONNECTED)
            return sock
        raise AssertionError("the client has not come")


def poll_client_until(client: IgtlClient, done: Callable[[], bool], timeout_s: float = PATIENCE_S) -> list[Message]:
    """Poll a client until something holds; fails when it does not."""
    got: list[Message] = []
    end_s = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < end_s, f"timed out: {client.state} {client.state_reason} {client.statistics}"
        got += client.poll()
        time.sleep(0.001)
    return got
