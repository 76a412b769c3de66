"""A real server in a process of its own, whose workers the test holds or kills; certificates; a network that stalls."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import ipaddress
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from CRLMSegmentationLib.core.frames import Frame, FrameReader
from CRLMSegmentationLib.core.points import CorrectionPoint
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.segmentation.engine.engine import Cancelled, Engine, Event, Failed, Finished, LesionJob
from CRLMSegmentationLib.segmentation.models.package import ModelPackage
from CRLMSegmentationLib.segmentation.remote.address import ServerAddress, server_address
from CRLMSegmentationLib.segmentation.remote.message_format import (
    BACKGROUND_HEADER,
    CLIENT_HEADER,
    LESION_HEADER,
    MEDIA_TYPE,
    PATH,
    REQUEST_HEADER,
    SEQUENCE_HEADER,
)
from CRLMSegmentationLib.segmentation.remote.messages import encode_request
from CRLMSegmentationLib.segmentation.results import Options, Purpose, Request

from .cli_helpers import TIMEOUT_S, wait_until
from .gated_worker import GATE
from .paths import TESTING

TOKEN, OTHER_TOKEN = "a" * 40, "b" * 40
SEED = (20.0, 20.0, 20.0)
CROP_MM = 40.0
PATIENT_S = 60.0
"""Silence after which a client counts the server as gone, in tests that are about something else: on any machine."""


class RunningServer:
    """`crlm-seg serve` in a process group of its own, with a gate for its workers; see `gated_worker`."""

    def __init__(
        self, folder: Path, *arguments: object, port: int = 0, module: str = "helpers.cli_with_gated_worker"
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.gate = folder / "gate"
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, "serve", "--port", str(port), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=(folder / "server.log").open("ab"),
            text=True,
            cwd=TESTING,
            env={**os.environ, "PYTHONPATH": str(TESTING), GATE: str(self.gate), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert " on http" in line, f"{line} {(folder / 'server.log').read_text()}"
        self.url = line.split(" on ")[1].split(";")[0]
        self.host, self.port = "127.0.0.1", int(self.url.rsplit(":", 1)[1])

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.unlink(missing_ok=True)
        self.end()

    def end(self, number: int = signal.SIGTERM) -> int:
        """End the server; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(TIMEOUT_S / 8)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def hold(self, word: str = "wait") -> None:
        """Hold all predictions, or let the next one kill its worker."""
        unfinished = self.gate.with_suffix(".new")
        unfinished.write_text(word)
        unfinished.replace(self.gate)

    def let_go(self) -> None:
        self.gate.unlink(missing_ok=True)

    def lines(self, word: str) -> int:
        """How many predictions have begun ("begin"), ended ("end") or were cancelled."""
        log = self.gate.with_suffix(".log")
        return log.read_text().split("\n").count(word) if log.exists() else 0

    def sizes(self) -> list[int]:
        """The sizes, in voxels, of the crops of all predictions, in the order in which they began."""
        lines = self.gate.with_suffix(".log").read_text().splitlines()
        return [int(line.split()[1]) for line in lines if line.startswith("size ")]

    def wait_until_ready(self, headers: dict[str, str] | None = None, context: ssl.SSLContext | None = None) -> None:
        def is_ready() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.get("/health", headers, context)[0] == 200
            return False

        assert wait_until(is_ready)

    def get(
        self, path: str, headers: dict[str, str] | None = None, context: ssl.SSLContext | None = None
    ) -> tuple[int, bytes]:
        connection = connect(self, context)
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        found = response.status, response.read()
        connection.close()
        return found

    def metric(self, name: str, headers: dict[str, str] | None = None) -> float:
        """The value of a metric, labels included in its name; 0 where it is not there."""
        for line in self.get("/metrics", headers)[1].decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0


def connect(server: RunningServer, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
    if context is None:
        return http.client.HTTPConnection(server.host, server.port, timeout=TIMEOUT_S)
    return http.client.HTTPSConnection(server.host, server.port, timeout=TIMEOUT_S, context=context)


class Asked:
    """A request by hand, whose answer is read frame by frame."""

    def __init__(
        self,
        server: RunningServer,
        body: bytes,
        request_id: str,
        client: str = "c" * 32,
        lesion: int = 1,
        sequence: int = 1,
        is_background: bool = False,
        token: str | None = None,
        **headers: str,
    ) -> None:
        self._connection = connect(server)
        sent = {
            "Content-Type": MEDIA_TYPE,
            REQUEST_HEADER: request_id,
            CLIENT_HEADER: client,
            LESION_HEADER: str(lesion),
            SEQUENCE_HEADER: str(sequence),
            BACKGROUND_HEADER: "1" if is_background else "0",
            **({"Authorization": f"Bearer {token}"} if token else {}),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        self._connection.connect()
        self._socket = self._connection.sock
        self._connection.request("POST", PATH, body, sent)
        self._response: http.client.HTTPResponse | None = None
        self._reader = FrameReader()

    @property
    def response(self) -> http.client.HTTPResponse:
        if self._response is None:
            self._response = self._connection.getresponse()
        return self._response

    @property
    def status(self) -> int:
        return self.response.status

    def refusal(self) -> dict[str, Any]:
        return json.loads(self.response.read())

    def frames(self) -> Iterator[Frame]:
        assert self.status == 200, self.response.read()
        while count := self.response.readinto(self._reader.wanted()):
            frame = self._reader.filled(count)
            if frame is not None:
                yield frame

    def end(self) -> dict[str, Any] | None:
        """The header of the last part; None where the answer ends without one."""
        ends = [frame.header for frame in self.frames() if frame.type in ("finished", "failed", "cancelled")]
        assert len(ends) <= 1
        return ends[0] if ends else None

    def wait_for_frame(self, kind: str) -> Frame:
        return next(frame for frame in self.frames() if frame.type == kind)

    def close(self) -> None:
        """Go away in the midst."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()
        if self._response is not None:
            self._response.close()


def job_in(
    volume: Volume,
    seed: tuple[float, float, float] = SEED,
    lesion: str = "Tumour 1",
    purpose: Purpose = Purpose.ANSWER,
    points: Sequence[CorrectionPoint] = (),
    crop_mm: float = CROP_MM,
) -> LesionJob:
    request = Request(lesion, seed, volume.identity, Options(crop_mm), purpose, tuple(points))
    return LesionJob(request, volume)


def body_in(volume: Volume, model: ModelPackage, **about: Any) -> bytes:
    return encode_request(job_in(volume, **about), model.sha256)


def dark_volume(radius_mm: float = 8.0, size: int = 40) -> Volume:
    """A dark ball at the middle in bright speckle, 1 mm voxels."""
    rng = np.random.default_rng(1)
    k, j, i = np.indices((size,) * 3) - size // 2
    inside = k**2 + j**2 + i**2 < radius_mm**2
    array = np.where(inside, 40, 120) + rng.integers(-20, 20, inside.shape)
    return Volume(array.astype(np.uint8), np.eye(4), "Patient Smith", 100.0)


def plain(server: RunningServer, **about: Any) -> ServerAddress:
    """The address of a server without TLS."""
    return server_address(server.url, **about)


def events_until(engine: Engine, done: Callable[[list[Event]], bool], timeout_s: float = TIMEOUT_S) -> list[Event]:
    """Poll an engine until its events so far are enough."""
    events: list[Event] = []
    end_s = time.monotonic() + timeout_s
    while not done(events):
        assert time.monotonic() < end_s, [type(event).__name__ for event in events]
        found = engine.poll()
        events += found
        if not found:
            time.sleep(0.002)
    return events


def end_of(engine: Engine, job_id: int) -> Event:
    """The one event that ends a job."""

    def ends(events: list[Event]) -> list[Event]:
        kinds = (Finished, Failed, Cancelled)
        return [event for event in events if isinstance(event, kinds) and event.job_id == job_id]

    events = events_until(engine, lambda events: bool(ends(events)))
    assert len(ends(events)) == 1
    return ends(events)[0]


class Certificates:
    """A CA of the test, and certificates that it has signed."""

    def __init__(self, folder: Path) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA of a test")])
        self._write("ca", self._signed(self._name, self._key, is_ca=True), self._key)
        self.ca = folder / "ca.pem"

    def make(self, name: str, host: str = "127.0.0.1", expired: bool = False) -> tuple[Path, Path]:
        """Return the files of a certificate and its key, for an address."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        self._write(name, self._signed(subject, key, host=host, expired=expired), key)
        return self._folder / f"{name}.pem", self._folder / f"{name}.key"

    def _signed(self, subject: Any, key: Any, host: str = "", is_ca: bool = False, expired: bool = False) -> Any:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * day)
            .not_valid_after(now - day if expired else now + 10 * day)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if is_ca:
            forbidden = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
            usage = dict.fromkeys((*forbidden, "key_agreement", "encipher_only", "decipher_only"), False)
            builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        else:
            names = [x509.IPAddress(ipaddress.ip_address(host))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, certificate: Any, key: Any) -> None:
        from cryptography.hazmat.primitives import serialization as s

        (self._folder / f"{name}.pem").write_bytes(certificate.public_bytes(s.Encoding.PEM))
        private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
        (self._folder / f"{name}.key").write_bytes(private)


class Network:
    """A TCP proxy in front of a server that can stand still: nothing is forwarded, and nothing closed."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._is_stalled, self._is_closed = False, False
        self._thread = threading.Thread(target=self._forward, daemon=True)
        self._thread.start()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        self._thread.join()
        self._listening.close()

    def stall(self) -> None:
        self._is_stalled = True

    def flow(self) -> None:
        self._is_stalled = False

    def cut(self) -> None:
        """Break all connections, as a switch that is restarted."""
        for pair in list(self._pairs):
            self._close(pair)

    def _forward(self) -> None:
        while not self._is_closed:
            if self._is_stalled:
                time.sleep(0.01)
                continue
            ends = {}
            for pair in list(self._pairs):
                ends[pair[0]], ends[pair[1]] = (pair[1], pair), (pair[0], pair)
            try:
                readable = select.select([self._listening, *ends], [], [], 0.01)[0]
            except (OSError, ValueError):
                continue
            for ready in readable:
                if ready is self._listening:
                    accepted, _ = self._listening.accept()
                    try:
                        onward = socket.create_connection(("127.0.0.1", self._target), timeout=TIMEOUT_S)
                        self._pairs.append((accepted, onward))
                    except OSError:
                        accepted.close()
                elif ready in ends and ends[ready][1] in self._pairs:
                    self._pass(ready, *ends[ready])

    def _pass(self, source: socket.socket, target: socket.socket, pair: tuple[socket.socket, socket.socket]) -> None:
        try:
            data = source.recv(1 << 16)
            if data:
                target.sendall(data)
                return
        except OSError:
            pass
        self._close(pair)

    def _close(self, pair: tuple[socket.socket, socket.socket]) -> None:
        if pair in self._pairs:
            self._pairs.remove(pair)
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
