"""Load on a segmentation server: rooms that each ask every two seconds, one worker and two, against the bare network.

Run as `python -m benchmarks.benchmark_server [--rooms 20] [--seconds 30]` in Testing. Each room is a thread with the
client's own connection, messages and checks, and a heartbeat ten times a second on a connection of its own; latency
counts from the moment at which a seed was due, so that a room that waits for an answer makes the next one late.
Other programs on the machine change latency and throughput; the processor time for an answer they hardly change. The
network is that of this machine (loopback, without TLS): what a real one adds is its own.
"""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from CRLMSegmentationLib.core.crop import part_for_crop
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.frames import FrameReader
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.segmentation.engine.engine import LesionJob
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, model_or_default
from CRLMSegmentationLib.segmentation.remote.http_connection import Connections, wait_for_sign
from CRLMSegmentationLib.segmentation.remote.message_format import (
    CLIENT_HEADER,
    LESION_HEADER,
    MEDIA_TYPE,
    PATH,
    REQUEST_HEADER,
    SEQUENCE_HEADER,
)
from CRLMSegmentationLib.segmentation.remote.messages import decode_answer, decode_request, encode_request
from CRLMSegmentationLib.segmentation.results import Options, Request
from helpers.cli_helpers import cpu_seconds_of
from helpers.server_helpers import RunningServer, plain

from .steady_worker import STEADY

EVERY_S = 2.0
HEARTBEAT_S = 0.1
STEADY_S = 0.05
"""Of a stand-in for a GPU: one pass of the network and its surroundings."""


class Room:
    """Asks for a segmentation every two seconds, and keeps a heartbeat."""

    def __init__(
        self, server: RunningServer, token: Path, body: bytes, model: ModelPackage, offset_s: float, end_s: float
    ) -> None:
        self._connections = Connections(plain(server, token_file=token))
        self._body, self._model = body, model
        self._due_s, self._end_s = offset_s, end_s
        self._client = secrets.token_hex(16)
        self.latencies_s: list[float] = []
        self.queue_s: list[float] = []
        self.round_trips_s: list[float] = []
        self.refused = 0
        self.threads = [threading.Thread(target=self._ask), threading.Thread(target=self._keep_heartbeat)]

    def _ask(self) -> None:
        connection, sent = self._connections.open(), decode_request(self._body)
        number = 0
        while self._due_s < self._end_s:
            time.sleep(max(0.0, self._due_s - time.monotonic()))
            number += 1
            request_id = secrets.token_hex(16)
            headers = {
                "Content-Type": MEDIA_TYPE,
                REQUEST_HEADER: request_id,
                CLIENT_HEADER: self._client,
                LESION_HEADER: str(number % 8),
                SEQUENCE_HEADER: str(number),
            }
            try:
                response = connection.post(PATH, headers, self._body, lambda: None)
                reader = FrameReader()
                while count := response.readinto(reader.wanted()):
                    frame = reader.filled(count)
                    if frame is not None and frame.type == "finished":
                        decode_answer(frame, request_id, self._body, sent, self._model.spacing_mm)
                        self.latencies_s.append(time.monotonic() - self._due_s)
                        self.queue_s.append(frame.header["queue_s"])
            except CrlmError:
                self.refused += 1
            self._due_s += EVERY_S
        connection.close()

    def _keep_heartbeat(self) -> None:
        connection = self._connections.open()
        while time.monotonic() < self._end_s:
            asked_s = time.monotonic()
            connection.get_json("/health", lambda raw: wait_for_sign(raw, lambda: 0.0, 60.0))
            self.round_trips_s.append(time.monotonic() - asked_s)
            time.sleep(max(0.0, asked_s + HEARTBEAT_S - time.monotonic()))
        connection.close()


def job_of_sample(model: ModelPackage) -> LesionJob:
    """The job of a sample case, with the part of its volume that the crop needs."""
    case = load_case(resource_path("SampleCases", "phantom-hypoechoic"))
    volume, (r, a, s) = case.volume(), case.lesions[0].seed_ras_mm
    part, _ = part_for_crop(volume, np.array([r, a, s]), model.crop_size_mm, model.spacing_mm)
    return LesionJob(Request("", (r, a, s), volume.identity, Options(model.crop_size_mm)), part)


def bare_network_s(request_bytes: int, answer_bytes: int, count: int = 200) -> list[float]:
    """Return the times to send so many bytes and to get so many back, over this machine's own network."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        accepted, _ = listening.accept()
        with accepted:
            for _ in range(count):
                left = request_bytes
                while left:
                    left -= len(accepted.recv(min(left, 1 << 16)))
                accepted.sendall(bytes(answer_bytes))

    threading.Thread(target=answer, daemon=True).start()
    times_s = []
    with socket.create_connection(listening.getsockname()) as raw:
        body = bytes(request_bytes)
        for _ in range(count):
            began_s = time.perf_counter()
            raw.sendall(body)
            left = answer_bytes
            while left:
                left -= len(raw.recv(min(left, 1 << 16)))
            times_s.append(time.perf_counter() - began_s)
    listening.close()
    return times_s


def row(name: str, times_s: list[float], rest: str = "") -> str:
    p50, p99 = np.percentile(times_s, [50, 99]) * 1000
    return f"{name:<44} p50 {p50:8.1f} ms   p99 {p99:8.1f} ms   {rest}".rstrip()


def processor_s(server: RunningServer) -> tuple[float, float]:
    """Return the processor time, s, of the server's own process and of its workers, so far."""
    pid = server.process.pid
    listing = ["ps", "-o", "pid=", "--ppid", str(pid)]
    children = subprocess.run(listing, capture_output=True, text=True, check=False).stdout.split()
    return cpu_seconds_of(pid), sum(cpu_seconds_of(int(child)) for child in children)


def measure(name: str, rooms: int, seconds: float, module: str, workers: int, *options: object) -> None:
    """Print the figures of one server; each room has a token of its own."""
    model = model_or_default(None)
    body = encode_request(job_of_sample(model), model.sha256)
    folder = Path(tempfile.mkdtemp())
    tokens = [secrets.token_hex(16) for _ in range(rooms)]
    for number, token in enumerate(tokens):
        (folder / f"token-{number}").write_text(token)
    (folder / "tokens").write_text("".join(f"room-{n} {token}\n" for n, token in enumerate(tokens)))
    arguments = ("--workers", workers, "--token-file", folder / "tokens", *options)
    with RunningServer(folder, *arguments, module=module) as server:
        server.wait_until_ready()
        allowed = {"Authorization": f"Bearer {tokens[0]}"}
        while server.metric("crlm_workers_ready", allowed) < workers:
            time.sleep(0.1)
        before_s = processor_s(server)
        began_s = time.monotonic() + 0.5
        made = [
            Room(server, folder / f"token-{n}", body, model, began_s + n * EVERY_S / rooms, began_s + seconds)
            for n in range(rooms)
        ]
        threads = [thread for room in made for thread in room.threads]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall_s = time.monotonic() - began_s
        used_s = np.subtract(processor_s(server), before_s)
        latencies_s = [latency for room in made for latency in room.latencies_s]
        queue_s = [latency for room in made for latency in room.queue_s]
        beats_s = [beat for room in made for beat in room.round_trips_s]
        slowest = max(float(np.median(room.latencies_s or [np.inf])) for room in made) * 1000
        rest = f"{len(latencies_s) / wall_s:5.1f} answers/s   median of the slowest room {slowest:.0f} ms"
        refused = sum(room.refused for room in made)
        print(row(name, latencies_s, rest + (f"   {refused} refused" if refused else "")))
        each_ms = 1000 * used_s / len(latencies_s)
        print(
            f"  processor time for an answer: server {each_ms[0]:.1f} ms (heartbeats of all rooms included), workers",
            end=" ",
        )
        print(f"{each_ms[1]:.1f} ms; load average {os.getloadavg()[0]:.1f}", flush=True)
        print(row("  of which waiting for a worker", queue_s))
        print(row("  heartbeat", beats_s, f"longest {max(beats_s) * 1000:.0f} ms"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    model = model_or_default(None)
    job = job_of_sample(model)
    voxels = round(model.crop_size_mm / model.spacing_mm) ** 3
    sizes = len(encode_request(job, model.sha256)), 4 * voxels
    print(f"{options.rooms} rooms, a seed every {EVERY_S:.0f} s each, {options.seconds:.0f} s; {os.cpu_count()} cores")
    print(f"load average {os.getloadavg()[0]:.1f} before it began")
    print(f"request {sizes[0] / 1e6:.2f} MB, answer {sizes[1] / 1e6:.2f} MB")
    print(row("bare network (loopback), both ways", bare_network_s(*sizes)))
    os.environ[STEADY] = str(STEADY_S)
    for workers in (1, 2):
        name = f"stand-in for a GPU ({STEADY_S * 1000:.0f} ms), {workers} worker(s)"
        measure(name, options.rooms, options.seconds, "benchmarks.steady_worker", workers)
    for workers in (1, 2):
        name = f"shipped model on the processor, {workers} worker(s)"
        threads = max(1, (os.cpu_count() or 1) // workers)
        measure(name, options.rooms, options.seconds, "CRLMSegmentationLib.cli.main", workers, "--threads", threads)


if __name__ == "__main__":
    main()
