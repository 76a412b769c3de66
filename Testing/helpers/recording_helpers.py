"""Messages as bytes, a server that sends bytes, and a recorder as a process of its own that can be killed.

python -m helpers.recording_helpers PORT OUT      records until a signal comes; prints each account as JSON
"""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
from CRLMSegmentationLib.igtl.messages import (
    ImageMessage,
    Message,
    PointMessage,
    StatusMessage,
    StringMessage,
    TransformMessage,
)
from CRLMSegmentationLib.igtl.packing import HEADER, HEADER_BYTES, pack
from CRLMSegmentationLib.recording.message_log_writer import MessageLogWriter
from pyigtl.messages import CRC64

from .paths import TESTING

START_S = 1700000000.0
PATIENCE_S = 120.0
"""After which something has gone wrong, on a busy machine too."""
OBLIQUE = np.array([[0.4, -0.24, 0.1, 12.5], [0.3, 0.32, -0.2, -30.25], [0, 0.3, 0.6, 71.0], [0, 0, 0, 1]])
OBLIQUE[:3, 2] = np.cross(OBLIQUE[:3, 0], OBLIQUE[:3, 1])
OBLIQUE[:3, 2] *= 0.6 / np.linalg.norm(OBLIQUE[:3, 2])
LEFT_HANDED = OBLIQUE @ np.diag([1.0, 1.0, -1.0, 1.0])
SCALAR_TYPES = {"i1": 2, "u1": 3, "i2": 4, "u2": 5, "i4": 6, "u4": 7, "f4": 10, "f8": 11}


def pose(number: int = 0, device: str = "ProbeToReference", status: str = "OK") -> TransformMessage:
    """A pose so many millimetres to the right, so many 60ths of a second after the start."""
    matrix = np.eye(4)
    matrix[0, 3] = number % 1000
    return TransformMessage(device, START_S + number / 60, matrix, {"TransformStatus": status})


def volume(number: int = 0, shape: tuple[int, ...] = (4, 3, 2)) -> ImageMessage:
    array = (np.arange(np.prod(shape)) + number).astype(np.uint8).reshape(shape)
    return ImageMessage("recvol_Reference", START_S + number / 60, array, LEFT_HANDED)


def every_kind() -> list[Message]:
    """One of each type, and several images."""
    frame = ImageMessage("Image_Reference", START_S + 1, np.full((1, 3, 4), 7, np.uint8), np.eye(4))
    colour = ImageMessage("Video", START_S + 1, np.full((1, 3, 4, 3), 7, np.uint8), np.eye(4))
    return [
        pose(1),
        pose(2, "StylusToReference", "MISSING"),
        frame,
        colour,
        volume(3),
        StringMessage("ACK_1", START_S + 2, "a snapshot"),
        StatusMessage("PlusServer", START_S + 2, 1, 0, "", "all is well"),
        PointMessage("Targets", START_S + 2, np.array([[1.0, 2.0, 3.0]]), ("A",)),
        pose(200, "ReferenceToTracker"),
    ]


def raw(kind: str, body: bytes, device: str = "Device", version: int = 1, crc: int | None = None) -> bytes:
    """A message of any type."""
    crc = CRC64(body) if crc is None else crc
    return HEADER.pack(version, kind.encode(), device.encode(), int(START_S), 0, len(body), crc) + body


def raw_image(array: np.ndarray, ijk_to_ras: np.ndarray, version: int = 1) -> bytes:
    """An IMAGE in the byte order and type of the array (K, J, I)."""
    k, j, i = array.shape
    center = ijk_to_ras @ [(i - 1) / 2, (j - 1) / 2, (k - 1) / 2, 1]
    kind, endian = SCALAR_TYPES[array.dtype.str[1:]], 1 if array.dtype.byteorder == ">" else 2
    content = struct.pack(">HBBBB3H", 1, 1, kind, endian, 1, i, j, k)
    content += struct.pack(">12f", *ijk_to_ras[:3, 0], *ijk_to_ras[:3, 1], *ijk_to_ras[:3, 2], *center[:3])
    content += struct.pack(">6H", 0, 0, 0, i, j, k) + array.tobytes()
    extended = struct.pack(">HHII", 12, 2, 0, 5) if version == 2 else b""
    return raw("IMAGE", extended + content + (b"\0\0" if version == 2 else b""), "recvol_Reference", version)


def write_recording(folder: Path, messages: Iterable[bytes]) -> bytes:
    """Record messages without a link; returns all of them."""
    messages = list(messages)
    writer = MessageLogWriter(folder)
    for data in messages:
        writer.append(memoryview(data)[:HEADER_BYTES], memoryview(data)[HEADER_BYTES:])
    writer.close()
    return b"".join(messages)


def stream_of_messages(volume_every: int = 30, voxels: int = 60) -> Iterator[bytes]:
    """Poses without end, no two alike, with a volume now and then."""
    for number in count():
        if number % volume_every == volume_every - 1:
            yield pack(volume(number, (voxels, voxels, voxels)), 2)
        yield pack(pose(number), 2)


class Sender:
    """Sends messages to the first client that comes, as fast as told, in a thread of its own."""

    def __init__(self, messages: Iterable[bytes], per_s: float = 600.0, port: int = 0) -> None:
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.sent: list[bytes] = []
        self.is_done = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(messages, per_s), daemon=True)
        self._thread.start()

    def _serve(self, messages: Iterable[bytes], per_s: float) -> None:
        self.listener.settimeout(PATIENCE_S)
        try:
            connection, _ = self.listener.accept()
            with connection:
                connection.settimeout(PATIENCE_S)
                start_s = time.monotonic()
                for number, data in enumerate(messages):
                    self.sent.append(data)  # before: what was handed over in part counts as sent
                    connection.sendall(data)
                    if self._stop.wait(max(0.0, start_s + number / per_s - time.monotonic())):
                        return
                self.is_done.set()
                self._stop.wait(PATIENCE_S)
        except OSError:
            pass

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        self.listener.close()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def after(done: Callable[[], bool], timeout_s: float = PATIENCE_S) -> Callable[[], bool]:
    """A question for `run_record` that becomes true when something holds; fails when it does not."""
    end_s = time.monotonic() + timeout_s

    def stop() -> bool:
        assert time.monotonic() < end_s, "the recording did not get there in time"
        return done()

    return stop


@contextmanager
def recorder_process(port: int, out: Path, limit_bytes: int = 0) -> Iterator[subprocess.Popen]:
    """A recorder that is killed at the end of the block where it still runs."""
    command = [sys.executable, "-m", "helpers.recording_helpers", str(port), str(out), str(limit_bytes)]
    process = subprocess.Popen(command, cwd=TESTING, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def reports_of(process: subprocess.Popen) -> Iterator[dict]:
    """What a recorder prints, as it prints it."""
    for line in process.stdout:
        yield json.loads(line)


def main(port: int, out: str, limit_bytes: int) -> int:
    from CRLMSegmentationLib.core.errors import CrlmError
    from CRLMSegmentationLib.recording.link_recorder import Account
    from CRLMSegmentationLib.recording.record import run_record

    for number in (signal.SIGTERM, signal.SIGINT):  # a background shell has the second ignored
        signal.signal(number, signal.default_int_handler)
    if limit_bytes:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    def report(account: Account) -> None:
        entry = {"messages": account.messages, "bytes": account.recorded_bytes, "state": account.state.value}
        print(json.dumps(entry), flush=True)

    try:
        recorded = run_record("127.0.0.1", port, out, on_account=report)
    except CrlmError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    print(json.dumps({"recorded": recorded.messages, "ended_by": recorded.ended_by}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
