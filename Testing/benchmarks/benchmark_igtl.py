"""How long a volume takes over the loopback, from `broadcast` in one process to the array in another.

    python Testing/benchmarks/benchmark_igtl.py [--repeats N]

Three ways of receiving: asleep until bytes come (command line), a timer of 10 ms that may use 4 ms (as in
Slicer), and stock pyigtl, which cannot send more than some megabytes. Exit code 1 when 27 MB take 1 s or
108 MB take 3 s.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pyigtl
from CRLMSegmentationLib.core.errors import LinkError
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.messages import ImageMessage, Message, StringMessage
from CRLMSegmentationLib.igtl.protocol import CRC_IS_FAST
from CRLMSegmentationLib.igtl.server import IgtlServer

VOLUMES = {
    "1 MB": ((100, 100, 100), "uint8"),
    "8 MB": ((200, 200, 200), "uint8"),
    "27 MB": ((300, 300, 300), "uint8"),
    "108 MB": ((300, 300, 300), "float32"),
}
LIMITS_S = {"27 MB": 1.0, "108 MB": 3.0}
TIMEOUT_S = 20.0
DEVICE = "recvol_Reference"


def make_voxels(name: str) -> np.ndarray:
    shape, dtype = VOLUMES[name]
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8).astype(dtype)


def serve(name: str) -> None:
    """Child: send the volume each time that a client asks; its timestamp is when sending began."""
    array = make_voxels(name)
    with IgtlServer() as server:
        print(server.port, flush=True)
        while True:
            if any(isinstance(m, StringMessage) for m in server.poll(1.0)):
                server.broadcast(ImageMessage(DEVICE, time.time(), array, np.eye(4)))


def serve_stock(name: str) -> None:
    """Child: the same with pyigtl's own server."""
    port = int(sys.argv[3])
    server = pyigtl.OpenIGTLinkServer(port=port)
    message = pyigtl.ImageMessage(make_voxels(name), np.eye(4), device_name=DEVICE)
    print(port, flush=True)
    while not server.is_connected():
        time.sleep(0.01)
    message.timestamp = time.time()
    server.send_message(message, wait=False)
    time.sleep(TIMEOUT_S)


def receive_stock(name: str) -> None:
    """Child: pyigtl's own client prints the seconds, or nothing."""
    client = pyigtl.OpenIGTLinkClient("127.0.0.1", int(sys.argv[3]))
    message = client.wait_for_message(DEVICE, timeout=TIMEOUT_S / 2)
    print(time.time() - message.timestamp if message else "", flush=True)


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, __file__, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def measure_stock(name: str) -> float | None:
    with IgtlServer() as free:
        port = str(free.port)
    server = start("serve_stock", name, port)
    server.stdout.readline()
    client = start("receive_stock", name, port)
    try:
        answer = client.communicate(timeout=TIMEOUT_S)[0].strip()
    except subprocess.TimeoutExpired:
        answer = ""
    for child in (client, server):
        child.kill()
        child.communicate()
    return float(answer) if answer else None


def asleep(client: IgtlClient) -> list[Message]:
    return client.wait(1.0)


def timer(client: IgtlClient) -> list[Message]:
    time.sleep(0.01)
    return client.poll(0.004)


def measure(name: str, poll: Callable[[IgtlClient], list[Message]], check_crc: bool, repeats: int) -> float:
    """Median seconds; the voxels are compared with those that were sent."""
    child, expected, seconds = start("serve", name), make_voxels(name), []
    try:
        with IgtlClient("127.0.0.1", int(child.stdout.readline()), check_crc=check_crc) as client:
            for _ in range(repeats):
                message, arrived_s = _ask_for_volume(client, poll)
                seconds.append(arrived_s - message.timestamp_s)
                if not np.array_equal(message.array, expected):
                    raise LinkError(f"the {name} that arrived are not those that were sent")
    finally:
        child.kill()
        child.communicate()
    return statistics.median(seconds)


def _ask_for_volume(client: IgtlClient, poll: Callable[[IgtlClient], list[Message]]) -> tuple[ImageMessage, float]:
    end_s = time.monotonic() + TIMEOUT_S
    asked = False
    while time.monotonic() < end_s:
        for message in poll(client):
            if isinstance(message, ImageMessage):
                return message, time.time()
        if not asked and client.statistics.connections:
            client.send(StringMessage("go", time.time(), ""))
            asked = True
    raise LinkError(f"no volume within {TIMEOUT_S:.0f} s: {client.state} {client.state_reason} {client.statistics}")


def run(repeats: int) -> int:
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    machine = f"{os.cpu_count()} cores, load {load} before the start"
    print(f"Python {platform.python_version()}, {machine}, fast CRC: {CRC_IS_FAST}; median of {repeats}, seconds")
    print(f"{'volume':>8} {'asleep':>9} {'+ CRC':>9} {'timer':>9} {'+ CRC':>9} {'pyigtl':>14} {'ratio':>7}")
    failed = False
    for name in VOLUMES:
        cells = [measure(name, poll, crc, repeats) for poll in (asleep, timer) for crc in (False, True)]
        stock = measure_stock(name)
        theirs = f"{stock:14.3f} {stock / cells[0]:6.1f}x" if stock else f"{'never arrives':>14} {'-':>7}"
        print(f"{name:>8} " + " ".join(f"{c:9.3f}" for c in cells) + f" {theirs}", flush=True)
        failed |= max(cells) >= LIMITS_S.get(name, TIMEOUT_S)
    print("too slow" if failed else "within the limits: " + ", ".join(f"{k} in {v:.0f} s" for k, v in LIMITS_S.items()))
    return int(failed)


def main() -> int:
    roles = {"serve": serve, "serve_stock": serve_stock, "receive_stock": receive_stock}
    if len(sys.argv) > 2 and sys.argv[1] in roles:
        roles[sys.argv[1]](sys.argv[2])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    return run(parser.parse_args().repeats)


if __name__ == "__main__":
    sys.exit(main())
