"""The process that speaks to a segmentation server: `python -m ...client_process URL --model-hash ... --spacing ...`.

To its parent it looks like a worker: it reads the same frames (job, cancel) from stdin and writes the same ones (ready,
progress, finished, failed, cancelled) to stdout, and in addition "server", the `ServerStatus`. The main thread keeps a
heartbeat on a connection of its own; each job has a thread. Names of lesions and identities of volumes end here.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import secrets
import signal
import socket
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ...core.errors import CrlmError, ServerError, WorkerError
from ...core.frames import Frame, FrameReader
from ...core.parent_process import ParentProcess
from ...core.text import printable
from ..engine.engine import LesionJob
from ..engine.wire import decode_job, encode_answer
from .address import server_address
from .http_connection import Connections, HttpConnection, RefusedError, UnusableError, unusable, wait_for_sign
from .message_format import (
    BACKGROUND_HEADER,
    CLIENT_HEADER,
    FORMAT,
    LESION_HEADER,
    MAX_ANSWER_BYTES,
    MEDIA_TYPE,
    PATH,
    REQUEST_HEADER,
    SEQUENCE_HEADER,
    Code,
)
from .messages import WireError, check_update, decode_answer, decode_request, encode_request
from .status import ServerProblem, ServerState, ServerStatus

HEARTBEAT_S = 0.1
SILENCE_LIMIT_S = 0.28
"""Without any sign of the server; with the intervals of heartbeat and panel within the promised 0.5 s."""
STATUS_S = 1.0
"""How often the round-trip time is told."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
"""Between attempts to connect; doubled each time, until the server has been there for a while."""
STEADY_S = 30.0
MAX_ATTEMPTS = 3
BUSY_PATIENCE_S = 2.0
"""How long a server that is busy is asked again before the job is given back."""
RETRIED = (Code.BUSY, Code.RATE)
LOST_BY_SERVER = "the server {host} has lost the request: {reason}"


class Job:
    """A job of the parent on its way to the server and back."""

    def __init__(self, job_id: int, job: LesionJob, lesion_number: int) -> None:
        self.job_id, self.job, self.lesion_number = job_id, job, lesion_number
        self.request_id = secrets.token_hex(16)
        self.ended = threading.Event()
        """Cancelled, or answered: nothing more is told of it."""
        self.connection: HttpConnection | None = None


class Client:
    """Speaks to one server for one parent process."""

    def __init__(self, connections: Connections, host: str, model_sha256: str, spacing_mm: float, silence_s: float):
        self._connections, self._model_sha256, self._spacing_mm = connections, model_sha256, spacing_mm
        self._silence_s = silence_s
        self._client_id = secrets.token_hex(16)
        self._parent = ParentProcess()
        self._status = ServerStatus(host)
        self._was_ready = False
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._lesions: dict[str, int] = {}
        self._idle: HttpConnection | None = None
        self._sign_s = 0.0

    def run(self) -> None:
        """Read the parent's frames in a thread, and keep the heartbeat; ends with the parent."""
        self._parent.read(self._receive, on_end=lambda: os._exit(0))
        pause_s = FIRST_PAUSE_S
        while True:
            began_s = time.monotonic()
            try:
                self._keep_heartbeat()
            except UnusableError as error:
                self._lose_server(error.problem, error.detail)
            pause_s = FIRST_PAUSE_S if time.monotonic() - began_s > STEADY_S else min(2 * pause_s, LONGEST_PAUSE_S)
            time.sleep(pause_s if self._was_ready else FIRST_PAUSE_S)

    def _keep_heartbeat(self) -> None:
        """Connect, and ask for signs of life until there is none.

        Raises:
            UnusableError: why the server cannot be used.
        """
        connection = self._connections.open()
        try:
            self._check_server(connection)
            told_s = 0.0
            instance = None
            while True:
                asked_s = time.monotonic()
                health = _answer_of(connection, "/health", self._wait)
                now_s = self._sign_s = time.monotonic()
                instance = instance or health.get("instance")
                if health.get("instance") != instance:
                    raise UnusableError(ServerProblem.UNREACHABLE, "it was restarted")
                if health.get("status") != "ok":
                    raise UnusableError(ServerProblem.NOT_READY, str(health.get("status")))
                if now_s - told_s >= STATUS_S:
                    told_s = now_s
                    days = connection.certificate_days
                    self._tell(state=ServerState.READY, round_trip_s=now_s - asked_s, certificate_days=days)
                    self._tell_ready()
                time.sleep(max(0.0, asked_s + HEARTBEAT_S - time.monotonic()))
        finally:
            connection.close()

    def _wait(self, connection: socket.socket) -> None:
        wait_for_sign(connection, lambda: self._sign_s, self._silence_s)

    def _check_server(self, connection: HttpConnection) -> None:
        found = _answer_of(connection, "/models")
        formats, models = found.get("formats"), found.get("models")
        if not isinstance(formats, list) or FORMAT not in formats or not isinstance(models, list):
            raise UnusableError(ServerProblem.NOT_A_SERVER, f"it speaks the formats {formats}, this program {FORMAT}")
        same = [model for model in models if isinstance(model, dict) and model.get("sha256") == self._model_sha256]
        if not same:
            names = ", ".join(f"{m.get('name')} {m.get('version')}" for m in models[:5] if isinstance(m, dict))
            raise UnusableError(ServerProblem.MODEL, f"it has {names}" if names else "it has none")
        about = same[0]
        if about.get("state") != "ready":
            raise UnusableError(ServerProblem.NOT_READY, str(about.get("state")))
        versions, pass_s = about.get("versions"), about.get("pass_s")
        self._status = replace(
            self._status,
            device=printable(str(about.get("device", "")), 200),
            versions=_texts(versions),
            pass_s=float(pass_s) if isinstance(pass_s, (int, float)) else None,
        )

    def _tell(self, **changes: Any) -> None:
        self._status = replace(self._status, problem=ServerProblem.NONE, detail="", **changes)
        self._send_status()

    def _tell_ready(self) -> None:
        """Let the parent hand over jobs; once, since it keeps them until then."""
        if self._was_ready:
            return
        self._was_ready = True
        status = self._status
        about: dict[str, object] = {
            "device": status.device,
            "versions": status.versions,
            "warnings": [],
            "pass_s": status.pass_s,
        }
        self._parent.send({"type": "ready", "model_name": "", "model_sha256": self._model_sha256, **about})

    def _send_status(self) -> None:
        status = self._status
        entries = {**asdict(status), "state": status.state.value, "problem": status.problem.value}
        self._parent.send({"type": "server", "status": entries})

    def _lose_server(self, problem: ServerProblem, detail: str) -> None:
        self._status = replace(self._status, state=ServerState.GONE, problem=problem, detail=detail, round_trip_s=None)
        self._send_status()
        with self._lock:
            job, idle, self._idle = self._job, self._idle, None
        if job is not None:
            self._fail(job, self._status.reason, is_lost=True)
        if idle is not None:
            idle.close()

    # ---- jobs

    def _receive(self, frame: Frame) -> None:
        if frame.type == "cancel":
            with self._lock:
                job = self._job
            if job is not None and job.job_id == frame.header["job_id"] and self._end(job):
                self._parent.send({"type": "cancelled", "job_id": job.job_id})
                threading.Thread(target=self._ask_to_cancel, args=(job,), daemon=True).start()
        elif frame.type == "job":
            self._begin(frame)

    def _begin(self, frame: Frame) -> None:
        job_id = frame.header["job_id"]
        try:
            decoded = decode_job(frame)
            if not isinstance(decoded, LesionJob):
                raise WorkerError("a server segments lesions; crops for comparisons are run on this computer")
        except CrlmError as error:
            self._parent.send({"type": "failed", "job_id": job_id, "reason": str(error)})
            return
        number = self._lesions.setdefault(decoded.request.lesion, len(self._lesions) + 1)
        job = Job(job_id, decoded, number)
        with self._lock:
            older, self._job = self._job, job
        if older is not None and self._end(older):
            self._parent.send({"type": "cancelled", "job_id": older.job_id})
        threading.Thread(target=self._run, args=(job,), daemon=True).start()

    def _end(self, job: Job) -> bool:
        """End a job; whoever does so, and only that one, tells the parent what has become of it."""
        with self._lock:
            if job.ended.is_set():
                return False
            job.ended.set()
            if self._job is job:
                self._job = None
            if job.connection is not None:
                job.connection.abort()
        return True

    def _fail(self, job: Job, reason: str, is_lost: bool) -> None:
        if self._end(job):
            self._parent.send({"type": "failed", "job_id": job.job_id, "reason": reason, "is_lost": is_lost})

    def _run(self, job: Job) -> None:
        """Send a job until it is answered, refused for good, or the server is gone."""
        try:
            body = encode_request(job.job, self._model_sha256)
        except CrlmError as error:
            self._fail(job, str(error), is_lost=False)
            return
        patient_until_s = time.monotonic() + BUSY_PATIENCE_S
        attempt = 0
        while not job.ended.is_set():
            attempt += 1
            try:
                self._exchange(job, body)
                return
            except RefusedError as error:
                if error.code in RETRIED and time.monotonic() + error.retry_after_s <= patient_until_s:
                    job.ended.wait(error.retry_after_s)
                    continue
                self._fail(job, f"the server {self._status.host} refuses the request: {error}", is_lost=True)
            except (WireError, WorkerError) as error:  # an answer that is none: it is not asked for again
                self._fail(job, f"the answer of {self._status.host} cannot be used: {error}", is_lost=True)
            except (OSError, http.client.HTTPException, UnusableError) as error:
                if attempt >= MAX_ATTEMPTS:
                    problem = error if isinstance(error, UnusableError) else unusable(error)
                    self._fail(job, f"the connection to {self._status.host} was lost: {problem.detail}", is_lost=True)
                job.ended.wait(HEARTBEAT_S)

    def _exchange(self, job: Job, body: bytes) -> None:
        """Send a request, and tell the parent what comes of it.

        Raises:
            OSError, HTTPException, UnusableError: the connection failed; the same request may be sent again.
            RefusedError: the server refuses it.
            WireError, WorkerError: its answer is none.
        """
        with self._lock:
            connection, self._idle = self._idle, None
        connection = connection or self._connections.open()
        with self._lock:
            if job.ended.is_set():
                self._idle, job.connection = connection, None
                return
            job.connection = connection
        is_whole = False
        try:
            asked_s = time.monotonic()
            response = connection.post(PATH, self._headers_of(job), body, self._note_sign)
            self._read_answer(job, body, response, asked_s)
            is_whole = not response.read(1)  # the end of the stream: the connection can be used again
        finally:
            with self._lock:
                job.connection = None
                is_kept = is_whole and self._idle is None
                if is_kept:
                    self._idle = connection
            if not is_kept:
                connection.close()

    def _headers_of(self, job: Job) -> dict[str, str]:
        return {
            "Content-Type": MEDIA_TYPE,
            "Accept": MEDIA_TYPE,
            REQUEST_HEADER: job.request_id,
            CLIENT_HEADER: self._client_id,
            LESION_HEADER: str(job.lesion_number),
            SEQUENCE_HEADER: str(job.job_id),
            BACKGROUND_HEADER: "1" if job.job.request.purpose.is_background else "0",
        }

    def _note_sign(self) -> None:
        self._sign_s = time.monotonic()

    def _read_answer(self, job: Job, body: bytes, response: http.client.HTTPResponse, asked_s: float) -> None:
        reader = FrameReader(MAX_ANSWER_BYTES)
        while True:
            count = response.readinto(reader.wanted())
            if not count:
                raise ConnectionResetError("the answer was cut off")
            self._note_sign()
            frame = reader.filled(count)
            if frame is None:
                continue
            header = check_update(frame)
            if frame.type == "progress":
                if not job.ended.is_set():
                    progress = {name: header[name] for name in ("stage", "done", "total")}
                    self._parent.send({"type": "progress", "job_id": job.job_id, **progress})
            elif frame.type == "finished":
                sent = decode_request(body)
                answer = decode_answer(frame, job.request_id, body, sent, self._spacing_mm)
                network_s = max(0.0, time.monotonic() - asked_s - header["server_s"])
                timings_s = {**answer.timings_s, "network": network_s, "queue": header["queue_s"]}
                if self._end_kept(job):
                    self._parent.write(encode_answer(replace(answer, job_id=job.job_id, timings_s=timings_s)))
                return
            elif frame.type in ("failed", "cancelled"):
                self._fail_by_server(job, header)
                return

    def _end_kept(self, job: Job) -> bool:
        """End a job that is answered; its connection is kept for the next one."""
        with self._lock:
            job.connection = None
        return self._end(job)

    def _fail_by_server(self, job: Job, header: dict[str, Any]) -> None:
        if header["request"] != job.request_id:
            raise WireError("the server has answered another request")
        reason = printable(header["reason"], 500)
        if header["code"] != Code.INPUT.value:
            reason = LOST_BY_SERVER.format(host=self._status.host, reason=reason)
        with self._lock:
            job.connection = None
        self._fail(job, reason, is_lost=header["code"] != Code.INPUT.value)

    def _ask_to_cancel(self, job: Job) -> None:
        """Tell the server that an answer is not wanted; where that fails, it notices the closed connection."""
        with contextlib.suppress(OSError, http.client.HTTPException, ServerError):
            connection = self._connections.open()
            try:
                connection.delete(f"{PATH}/{job.request_id}", {CLIENT_HEADER: self._client_id})
            finally:
                connection.close()


def _answer_of(connection: HttpConnection, path: str, wait: Any = None) -> dict[str, Any]:
    """Return a small answer.

    Raises:
        UnusableError: there is none; says why.
    """
    try:
        return connection.get_json(path, wait)
    except RefusedError as error:
        problem = {401: ServerProblem.TOKEN, 503: ServerProblem.NOT_READY}.get(error.status, ServerProblem.NOT_A_SERVER)
        raise UnusableError(problem, str(error)) from error


def _texts(value: object) -> dict[str, str]:
    entries = value.items() if isinstance(value, dict) else ()
    return {printable(str(name), 40): printable(str(text), 60) for name, text in list(entries)[:20]}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Client of a segmentation server; started by the program.")
    parser.add_argument("url")
    parser.add_argument("--model-hash", required=True)
    parser.add_argument("--spacing", type=float, required=True)
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--ca-file", type=Path)
    parser.add_argument("--silence", type=float, default=SILENCE_LIMIT_S)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent decides
    try:
        address = server_address(options.url, options.token_file, options.ca_file)
        connections = Connections(address)
    except CrlmError as error:
        ParentProcess().send({"type": "fatal", "reason": str(error)})
        sys.stderr.flush()
        os._exit(3)
    host = f"{address.host}:{address.port}"
    Client(connections, host, options.model_hash, options.spacing, options.silence).run()


if __name__ == "__main__":
    main()
