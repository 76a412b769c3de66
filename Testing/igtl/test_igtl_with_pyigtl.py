"""Stock pyigtl at the other end of the link: what it can carry arrives the same."""

from __future__ import annotations

import signal
import time

import numpy as np
import pyigtl
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.server import IgtlServer
from helpers.igtl_links import OBLIQUE_LEFT_HANDED, PATIENCE_S, image, poll_client_until, transform


def test_pyigtl_client_reads_what_our_server_sends() -> None:
    with IgtlServer() as server:
        client = pyigtl.OpenIGTLinkClient("127.0.0.1", server.port)
        end_s = time.monotonic() + PATIENCE_S
        while not server.clients and time.monotonic() < end_s:
            server.poll(0.05)
        server.broadcast(image())
        server.broadcast(transform())
        assert server.flush(PATIENCE_S)
        got = client.wait_for_message("recvol_Reference", timeout=PATIENCE_S)
        pose = client.wait_for_message("ProbeToReference", timeout=PATIENCE_S)
        client.stop()
    np.testing.assert_array_equal(got.image, image().array)
    np.testing.assert_allclose(got.ijk_to_world_matrix, OBLIQUE_LEFT_HANDED, atol=2e-5)
    assert got.world_coordinate_system == "ras"
    np.testing.assert_allclose(pose.matrix, transform().matrix)


def test_our_client_reads_what_the_pyigtl_server_sends() -> None:
    with IgtlServer() as free:
        port = free.port
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    server = pyigtl.OpenIGTLinkServer(port=port)
    try:
        with IgtlClient("127.0.0.1", port) as client:
            poll_client_until(client, lambda: server.is_connected())
            server.send_message(
                pyigtl.ImageMessage(image().array, OBLIQUE_LEFT_HANDED, "ras", device_name="Scan"), wait=False
            )
            (got,) = poll_client_until(client, lambda: bool(client.statistics.received))
            np.testing.assert_array_equal(got.array, image().array)
            np.testing.assert_allclose(got.ijk_to_ras, OBLIQUE_LEFT_HANDED, atol=2e-5)
            assert not client.statistics.dropped
    finally:
        server.stop()
        for number, handler in handlers.items():  # pyigtl takes them over and keeps them
            signal.signal(number, handler)
