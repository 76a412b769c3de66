"""How long a volume takes over the loopback, and how many transforms a second pass: ours, pyigtl's, the C++ library's.

    cd Testing && python -m benchmarks.benchmark_igtl [--repeats N]

A volume's time runs from `broadcast` (or the library's Pack) in one process to the array in another. Of our receiving
there are two ways: asleep until bytes come (command line), and a timer of 10 ms that may use 4 ms (as in Slicer).
Every sender calculates the checksum, and every receiver but pyigtl checks it. Stock pyigtl cannot send more than some
megabytes.
The C++ library (Debian's libopenigtlink-dev, header version 1) is left out where it is absent. Under two minutes.
Exit code 1 when 27 MB take 1 s or 108 MB take 3 s.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyigtl
from CRLMSegmentationLib.core.errors import LinkError
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.messages import ImageMessage, Message, StringMessage, TransformMessage
from CRLMSegmentationLib.igtl.server import IgtlServer
from helpers.cpp_peer import CppPeer, PeerAbsentError, build_peer

VOLUMES = {
    "8 MB": ((200, 200, 200), "uint8"),
    "27 MB": ((300, 300, 300), "uint8"),
    "108 MB": ((300, 300, 300), "float32"),
}
LIMITS_S = {"27 MB": 1.0, "108 MB": 3.0}
TIMEOUT_S = 20.0
STOCK_TIMEOUT_S = 6.0
"""What pyigtl cannot send never arrives; what it can is there in a fraction of a second."""
DEVICE = "recvol_Reference"
POSE = "ProbeToReference"
TRANSFORMS = 20000
STOCK_TRANSFORMS = 200
"""Each waits for its turn in a queue of 10 ms steps."""
IGTL_SCALARS = {"uint8": 3, "float32": 10}


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
    time.sleep(STOCK_TIMEOUT_S)


def receive_stock(name: str) -> None:
    """Child: pyigtl's own client prints the seconds, or nothing."""
    client = pyigtl.OpenIGTLinkClient("127.0.0.1", int(sys.argv[3]))
    message = client.wait_for_message(DEVICE, timeout=STOCK_TIMEOUT_S)
    print(time.time() - message.timestamp if message else "", flush=True)


def serve_transforms(count: str) -> None:
    """Child: send so many poses when a client asks."""
    with IgtlServer() as server:
        print(server.port, flush=True)
        while not any(isinstance(m, StringMessage) for m in server.poll(1.0)):
            pass
        broadcast_transforms(server, int(count))
        while server.clients:  # until the last has been read
            server.poll(0.1)


def serve_transforms_stock(count: str) -> None:
    """Child: the same with pyigtl's own server, under a name each, since its client keeps one message a name."""
    port = int(sys.argv[3])
    server = pyigtl.OpenIGTLinkServer(port=port)
    print(port, flush=True)
    while not server.is_connected():
        time.sleep(0.01)
    for number in range(int(count)):
        server.send_message(pyigtl.TransformMessage(np.eye(4), device_name=f"{POSE[:10]}{number}"), wait=True)
    time.sleep(STOCK_TIMEOUT_S)


def receive_transforms_stock(count: str) -> None:
    """Child: pyigtl's own client prints the seconds from the first to the last."""
    client = pyigtl.OpenIGTLinkClient("127.0.0.1", int(sys.argv[3]))
    got, times_s, end_s = 0, [], time.monotonic() + STOCK_TIMEOUT_S
    while got < int(count) and time.monotonic() < end_s:
        new = len(client.get_latest_messages())
        got += new
        times_s += [time.monotonic()] * bool(new)
        time.sleep(0.0005)
    print(times_s[-1] - times_s[0] if got == int(count) else "", flush=True)
    os._exit(0)  # its thread would hold the process


def broadcast_transforms(server: IgtlServer, count: int) -> None:
    pose = TransformMessage(POSE, 1700000000.0, np.eye(4))
    for number in range(count):
        server.broadcast(pose)
        if number % 100 == 0:
            server.poll(0)


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "benchmarks.benchmark_igtl", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def measure_stock(name: str, serving: str = "serve_stock", receiving: str = "receive_stock") -> float | None:
    with IgtlServer() as free:
        port = str(free.port)
    server = start(serving, name, port)
    server.stdout.readline()
    client = start(receiving, name, port)
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


def measure(name: str, poll: Callable[[IgtlClient], list[Message]], repeats: int) -> float:
    """Median seconds; the voxels are compared with those that were sent."""
    child, expected, seconds = start("serve", name), make_voxels(name), []
    try:
        with IgtlClient("127.0.0.1", int(child.stdout.readline())) as client:
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


def image_line(name: str) -> str:
    (k, j, i), dtype = VOLUMES[name]
    return f'image "{DEVICE}" now 0 {IGTL_SCALARS[dtype]} 1 2 1 {i} {j} {k} 1 0 0 0 0 1 0 0 0 0 1 0'


def cpp_to_ours(program: Path, name: str, repeats: int) -> float:
    seconds = []
    with (
        CppPeer(program, "answer", lines=[image_line(name)]) as peer,
        IgtlClient("127.0.0.1", peer.port, introduce=False) as client,
    ):
        for _ in range(repeats):
            message, arrived_s = _ask_for_volume(client, asleep)
            seconds.append(arrived_s - message.timestamp_s)
    return statistics.median(seconds)


@contextmanager
def counting(program: Path, server: IgtlServer, count: int) -> Iterator[CppPeer]:
    """A C++ receiver that is served already."""
    with CppPeer(program, "count", count, port=server.port) as peer:
        while not server.clients:
            server.poll(0.01)
        yield peer


def ours_to_cpp(program: Path, name: str, repeats: int) -> float:
    array = make_voxels(name)
    with IgtlServer() as server, counting(program, server, repeats) as peer:
        for _ in range(repeats):
            server.broadcast(ImageMessage(DEVICE, time.time(), array, np.eye(4)))
            server.flush(TIMEOUT_S)
            time.sleep(0.5)  # the receiver is done with it
        return statistics.median(_printed(peer)["ages_s"])


def cpp_to_cpp(program: Path, name: str, repeats: int) -> float:
    lines = [f"repeat {repeats}", image_line(name)]
    return statistics.median(_between_cpp(program, lines, repeats)["ages_s"])


def _between_cpp(program: Path, lines: list[str], count: int) -> dict:
    with CppPeer(program, "count", count) as receiver, CppPeer(program, "send", lines=lines, port=receiver.port):
        return _printed(receiver)


def _printed(peer: CppPeer) -> dict:
    code, printed, complaint = peer.finish()
    if code:
        raise LinkError(f"the C++ peer failed: {complaint}")
    return printed[0]


def rate_of_our_client(client: IgtlClient) -> float:
    """Messages a second, from the first to the last."""
    received, first_s = client.statistics.received, 0.0
    while received["TRANSFORM"] < TRANSFORMS:
        if client.wait(TIMEOUT_S) == []:
            raise LinkError(f"{received['TRANSFORM']} of {TRANSFORMS} transforms arrived: {client.state_reason}")
        first_s = first_s or time.monotonic()
    return TRANSFORMS / (time.monotonic() - first_s)


def rate_ours() -> float:
    child = start("serve_transforms", str(TRANSFORMS))
    try:
        with IgtlClient("127.0.0.1", int(child.stdout.readline())) as client:
            while not client.statistics.connections:
                client.poll()
            client.send(StringMessage("go", time.time(), ""))
            return rate_of_our_client(client)
    finally:
        child.kill()
        child.communicate()


def rate_cpp_to_ours(program: Path) -> float:
    with (
        CppPeer(program, "send", lines=_pose_lines()) as peer,
        IgtlClient("127.0.0.1", peer.port, introduce=False) as client,
    ):
        return rate_of_our_client(client)


def rate_ours_to_cpp(program: Path) -> float:
    with IgtlServer() as server, counting(program, server, TRANSFORMS) as peer:
        broadcast_transforms(server, TRANSFORMS)
        server.flush(TIMEOUT_S)
        return TRANSFORMS / _printed(peer)["seconds"]


def rate_cpp(program: Path) -> float:
    return TRANSFORMS / _between_cpp(program, _pose_lines(), TRANSFORMS)["seconds"]


def _pose_lines() -> list[str]:
    return [f"repeat {TRANSFORMS}", f'transform "{POSE}" now 0 1 0 0 10 0 1 0 0 0 0 1 0']


def report_volumes(repeats: int) -> bool:
    """Ours against pyigtl; whether all was fast enough."""
    print(f"\n{'volume':>8} {'asleep':>9} {'timer':>9} {'pyigtl':>14} {'ratio':>7}")
    fast_enough = True
    for name in VOLUMES:
        cells = [measure(name, poll, repeats) for poll in (asleep, timer)]
        stock = measure_stock(name)
        theirs = f"{stock:14.3f} {stock / cells[0]:6.1f}x" if stock else f"{'never arrives':>14} {'-':>7}"
        print(f"{name:>8} " + " ".join(f"{c:9.3f}" for c in cells) + f" {theirs}", flush=True)
        fast_enough &= max(cells) < LIMITS_S.get(name, TIMEOUT_S)
    return fast_enough


def report_volumes_with_cpp(program: Path, repeats: int) -> None:
    """Each pair of sender and receiver; the ratio is that to C++ on both sides."""
    print(f"\n{'volume':>8} {'C++ to C++':>11} {'C++ to ours':>19} {'ours to C++':>19}")
    for name in LIMITS_S:
        both, *mixed = [f(program, name, repeats) for f in (cpp_to_cpp, cpp_to_ours, ours_to_cpp)]
        cells = " ".join(f"{seconds:11.3f} {seconds / both:6.2f}x" for seconds in mixed)
        print(f"{name:>8} {both:11.3f} {cells}", flush=True)


def report_rates(program: Path | None) -> None:
    """Transforms a second, CRC checked but by pyigtl."""
    stock = measure_stock(str(STOCK_TRANSFORMS), "serve_transforms_stock", "receive_transforms_stock")
    rates = {"ours to ours": rate_ours(), "pyigtl to pyigtl": stock and STOCK_TRANSFORMS / stock}
    if program:
        rates |= {"C++ to ours": rate_cpp_to_ours(program), "ours to C++": rate_ours_to_cpp(program)}
        rates["C++ to C++"] = rate_cpp(program)
    print(f"\n{'transforms':>18} {'a second':>9} {'to ours':>8}")
    for pair, rate in rates.items():
        cells = f"{rate:9.0f} {rate / rates['ours to ours']:7.2f}x" if rate else f"{'lost':>9}"
        print(f"{pair:>18} {cells}", flush=True)


def run(repeats: int) -> int:
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    machine = f"{os.cpu_count()} cores, load {load} before the start"
    print(f"Python {platform.python_version()}, {machine}; median of {repeats}, seconds")
    with tempfile.TemporaryDirectory() as folder:
        try:
            program = build_peer(Path(folder))
        except PeerAbsentError as error:
            print(f"without the C++ library: {error}")
            program = None
        fast_enough = report_volumes(repeats)
        if program:
            report_volumes_with_cpp(program, repeats)
        report_rates(program)
    limits = "within the limits: " + ", ".join(f"{name} in {limit_s:.0f} s" for name, limit_s in LIMITS_S.items())
    print(f"\n{limits if fast_enough else 'too slow'}")
    return int(not fast_enough)


def main() -> int:
    roles = (serve, serve_stock, receive_stock, serve_transforms, serve_transforms_stock, receive_transforms_stock)
    for role in roles:
        if len(sys.argv) > 2 and sys.argv[1] == role.__name__:
            role(sys.argv[2])
            return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    return run(parser.parse_args().repeats)


if __name__ == "__main__":
    sys.exit(main())
