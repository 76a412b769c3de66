"""Whether a recorder keeps up with six transforms at 60 Hz and 27 MB a second from a server in another process.

    cd Testing && python -m benchmarks.benchmark_recording [--seconds N] [--out FOLDER]

Then the same server as fast as the recorder takes it: volumes alone, and transforms alone. Exit code 1 when a
message is missing, or when the recorder needs more than half of a core for the first part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from CRLMSegmentationLib.igtl.messages import ImageMessage, TransformMessage
from CRLMSegmentationLib.igtl.packing import pack
from CRLMSegmentationLib.igtl.server import IgtlServer
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.recording.link_recorder import Account
from CRLMSegmentationLib.recording.message_log import ARRIVALS_FILE, MESSAGES_FILE, MessageLog, read_message_log
from CRLMSegmentationLib.recording.record import run_record
from CRLMSegmentationLib.recording.summary import Recorded

DEVICES = ("Probe", "Stylus", "Needle", "Camera", "Pedal", "Marker")
RATE_HZ = 60.0
VOLUME_SHAPE = (300, 300, 300)
VOLUME_DEVICE = "recvol_Reference"
FLOODED_VOLUMES, FLOODED_TRANSFORMS = 40, 40_000
MAX_CPU = 0.5
WAIT_S = 120.0


def volume(number: int) -> ImageMessage:
    array = np.random.default_rng(0).integers(0, 255, VOLUME_SHAPE, dtype=np.uint8)
    array[0, 0, 0] = number % 256
    return ImageMessage(VOLUME_DEVICE, time.time(), array, np.eye(4))


def serve(seconds: float) -> None:
    """Child: send at the rate of a workspace; each timestamp is when `broadcast` was called."""
    voxels = volume(0).array
    with IgtlServer() as server:
        print(server.port, flush=True)
        while not server.clients:
            server.poll(0.1)
        start_s, poses, volumes = time.monotonic(), 0, 0
        while poses < seconds * RATE_HZ:
            if volumes <= (time.monotonic() - start_s):
                server.broadcast(ImageMessage(VOLUME_DEVICE, time.time(), voxels, np.eye(4)))
                volumes += 1
            if poses / RATE_HZ <= time.monotonic() - start_s:
                for device in DEVICES:
                    server.broadcast(TransformMessage(f"{device}ToReference", time.time(), np.eye(4)))
                poses += 1
            server.poll(min(0.002, max(0.0, poses / RATE_HZ - (time.monotonic() - start_s))))
        left_out = sum(client.left_out for client in server.clients)
        took_s = time.monotonic() - start_s
        server.flush(WAIT_S)
        sent = {"sent": poses * len(DEVICES) + volumes, "volumes": volumes, "left_out": left_out, "took_s": took_s}
        print(json.dumps(sent), flush=True)
        while server.clients:
            server.poll(0.1)


def flood(kind: str) -> None:
    """Child: send what was packed before as fast as the peer takes it."""
    if kind == "volumes":
        messages = [pack(volume(0), 2)] * FLOODED_VOLUMES
    else:
        messages = [pack(TransformMessage("ProbeToReference", time.time(), np.eye(4)), 2)] * FLOODED_TRANSFORMS
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    connection, _ = listener.accept()
    for data in messages:
        connection.sendall(data)
    print(json.dumps({"sent": len(messages)}), flush=True)
    connection.recv(1 << 20)  # its introduction
    while connection.recv(1 << 20):
        pass


@dataclass(frozen=True)
class Run:
    """A recording that was measured; `seconds` from the first message to the last, `cpu` a share of one core."""

    recorded: Recorded
    message_log: MessageLog
    sent: dict
    seconds: float
    cpu: float
    finishing_s: float


def measure(folder: Path, *child: str) -> Run:
    command = [sys.executable, "-m", "benchmarks.benchmark_recording", *child]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    port = int(server.stdout.readline())
    os.set_blocking(server.stdout.fileno(), False)
    try:
        seen = _Seen(server)
        recorded = run_record("127.0.0.1", port, folder, on_account=seen.account, stop=seen.is_all)
        finished_s = time.monotonic()
    finally:
        server.kill()
        server.communicate()
    message_log = read_message_log(folder / MESSAGES_FILE, folder / ARRIVALS_FILE)
    load_case(folder)
    cpu = seen.cpu_s / max(message_log.duration_s, 1e-9)
    return Run(recorded, message_log, seen.sent, message_log.duration_s, cpu, finished_s - seen.ended_s)


class _Seen:
    """Knows when all that was sent is recorded, and takes the processor time until then."""

    def __init__(self, server: subprocess.Popen) -> None:
        self.sent: dict = {}
        self.cpu_s, self.ended_s = 0.0, 0.0
        self._server, self._latest = server, None
        self._began_cpu_s, self._give_up_s = None, time.monotonic() + WAIT_S

    def account(self, account: Account) -> None:
        self._latest = account
        if self._began_cpu_s is None:
            self._began_cpu_s = time.process_time()

    def is_all(self) -> bool:
        if not self.sent and self._latest is not None:
            line = self._server.stdout.readline()
            self.sent = json.loads(line) if line else {}
        count = self._latest.messages if self._latest else 0
        if (self.sent and count >= self.sent["sent"]) or time.monotonic() > self._give_up_s:
            self.cpu_s, self.ended_s = time.process_time() - self._began_cpu_s, time.monotonic()
            return True
        return False


def latencies_ms(message_log: MessageLog, is_volume: bool) -> np.ndarray:
    """From `broadcast` in the one process to the message being with the system in the other."""
    return 1000 * np.array([e.received_s - e.timestamp_s for e in message_log.entries if e.is_volume is is_volume])


def quantiles(milliseconds: np.ndarray) -> str:
    median, most, longest = np.percentile(milliseconds, [50, 95, 100])
    return f"median {median:.1f} ms, 95 % within {most:.1f} ms, longest {longest:.1f} ms"


def report_room(run: Run) -> bool:
    """Print how the rate of a workspace was met; returns whether it failed."""
    missing = run.sent.get("sent", 0) - run.recorded.messages
    print(f"six transforms at {RATE_HZ:.0f} Hz and 27 MB a second, sent in {run.sent.get('took_s', 0):.1f} s:")
    print(f"  sent {run.sent.get('sent')}, of them {run.sent.get('volumes')} volumes; recorded {run.recorded.messages}")
    print(f"  missing {missing}, left out by the server {run.sent.get('left_out')}, lost {run.recorded.lost or 'none'}")
    print(
        f"  {run.recorded.size_bytes / 1e6:.0f} MB in {run.seconds:.1f} s; recorder: {100 * run.cpu:.0f} % of one core"
    )
    print(f"  transforms: {quantiles(latencies_ms(run.message_log, False))} (behind a volume they wait for it)")
    print(f"  volumes: {quantiles(latencies_ms(run.message_log, True))}")
    print(f"  made into a case in {run.finishing_s:.1f} s", flush=True)
    return missing != 0 or bool(run.recorded.lost) or bool(run.sent.get("left_out")) or run.cpu > MAX_CPU


def report_flood(name: str, run: Run) -> bool:
    missing = run.sent.get("sent", 0) - run.recorded.messages
    mb_per_s, per_s = run.recorded.size_bytes / 1e6 / run.seconds, run.recorded.messages / run.seconds
    print(f"{name} as fast as they are taken: {per_s:.0f} a second, {mb_per_s:.1f} MB/s, missing {missing}", flush=True)
    return missing != 0


def run(seconds: float, out: Path | None) -> int:
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    machine = f"{os.cpu_count()} cores, load {load} before the start"
    print(f"Python {platform.python_version()}, {machine}")
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folder = Path(scratch)
        print(f"recorded into {folder.parent}", flush=True)
        failed = report_room(measure(folder / "room", "serve", str(seconds)))
        failed |= report_flood("volumes of 27 MB", measure(folder / "volumes", "flood", "volumes"))
        failed |= report_flood("transforms", measure(folder / "transforms", "flood", "transforms"))
    print("something is missing, or it took too much" if failed else "nothing is missing")
    return int(failed)


def main() -> int:
    if len(sys.argv) == 3 and sys.argv[1] == "serve":
        serve(float(sys.argv[2]))
        return 0
    if len(sys.argv) == 3 and sys.argv[1] == "flood":
        flood(sys.argv[2])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--out", type=Path, help="folder on the disk that is to be measured")
    arguments = parser.parse_args()
    return run(arguments.seconds, arguments.out)


if __name__ == "__main__":
    sys.exit(main())
