"""The client engine against a real server and a network that fails: every job is answered or told, none twice.

No test waits for a time to pass: a network stands still until the client has noticed, a server is gone until it is
started again. How soon silence is noticed is tested on its own, with the time that the client was given.
"""

from __future__ import annotations

import contextlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import ServerError, WorkerError
from CRLMSegmentationLib.segmentation.engine.engine import Cancelled, Failed, Finished, Progress, Ready
from CRLMSegmentationLib.segmentation.engine.worker_engine import ProcessEngine
from CRLMSegmentationLib.segmentation.remote.address import ServerAddress, server_address
from CRLMSegmentationLib.segmentation.remote.client_process import HEARTBEAT_S, SILENCE_LIMIT_S
from CRLMSegmentationLib.segmentation.remote.remote_engine import RemoteEngine
from CRLMSegmentationLib.segmentation.remote.server_engine import ServerEngine
from CRLMSegmentationLib.segmentation.remote.status import ServerProblem, ServerState
from CRLMSegmentationLib.segmentation.session import Session
from helpers.cli_helpers import wait_until
from helpers.paths import LIBRARY
from helpers.server_helpers import (
    OTHER_TOKEN,
    PATIENT_S,
    TOKEN,
    Certificates,
    Network,
    RunningServer,
    dark_volume,
    end_of,
    events_until,
    job_in,
    plain,
)
from helpers.stub_engine import StubEngine

QUICK_S = 1.0
"""Silence after which a client of these tests gives a server up; a busy machine may make it do so once too often, which
changes who answers, and is not what is tested there."""


@pytest.fixture
def engines() -> Iterator[Callable[..., ProcessEngine]]:
    """Makes engines, which are closed at the end."""
    made = []

    def make(engine):
        made.append(engine)
        engine.start()
        return engine

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def network(server: RunningServer) -> Iterator[Network]:
    with Network(server.port) as between:
        yield between


def through(network: Network) -> ServerAddress:
    return server_address(f"http://127.0.0.1:{network.port}")


def wait_for_state(engine: ServerEngine, state: ServerState, *problems: ServerProblem) -> list:
    return events_until(
        engine, lambda _: engine.status.state is state and (not problems or engine.status.problem in problems)
    )


def test_answer_through_the_client(gate, model, volume, engines):
    engine = engines(ServerEngine(model, plain(gate), silence_s=PATIENT_S))
    gate.hold()
    job_id = engine.submit(job_in(volume))
    events = events_until(engine, lambda events: any(isinstance(event, Progress) for event in events))
    assert Ready in [type(event) for event in events]
    gate.let_go()
    events = events_until(engine, lambda events: any(isinstance(event, Finished) for event in events))
    assert events[-1].job_id == job_id
    assert events[-1].lesion.volume_ml == pytest.approx(2.1, abs=0.3)
    status = engine.status
    assert (status.state, status.device, status.problem) == (ServerState.READY, "stub", ServerProblem.NONE)
    assert status.round_trip_s > 0


def test_session_on_a_server(server, model, volume, engines):
    from CRLMSegmentationLib.segmentation.wait import wait_for_lesion, wait_for_model

    engine = RemoteEngine(ServerEngine(model, plain(server), silence_s=PATIENT_S))
    with Session(engine, model) as session:
        session.use_volume(volume)
        assert wait_for_model(session).device == f"stub (server 127.0.0.1:{server.port})"
        for number in range(3):
            session.segment(f"Tumour {number}", np.array([20.0, 20.0, 20.0]))
            result = wait_for_lesion(session, f"Tumour {number}")
            assert result.volume is volume
            assert result.device == f"stub (server 127.0.0.1:{server.port})"


def test_newest_job_wins_and_cancel_is_quick(gate, model, volume, engines):
    engine = engines(ServerEngine(model, plain(gate), silence_s=PATIENT_S))
    begun = gate.lines("begin")
    gate.hold()
    first = engine.submit(job_in(volume))
    events_until(engine, lambda events: any(isinstance(event, Progress) for event in events))
    second = engine.submit(job_in(volume, lesion="Tumour 2"))
    assert isinstance(end_of(engine, first), Cancelled)
    assert wait_until(lambda: gate.lines("begin") == begun + 2)
    engine.cancel()
    assert isinstance(end_of(engine, second), Cancelled)
    gate.let_go()
    third = engine.submit(job_in(volume))
    assert isinstance(end_of(engine, third), Finished)


def test_a_silent_server_is_noticed_within_half_a_second():
    module = (LIBRARY.parent / "CRLMSegmentation.py").read_text()
    tick_ms, turns = (int(re.search(rf"^{name} = (\d+)", module, re.M)[1]) for name in ("TICK_MS", "REFRESH_TURNS"))
    panel_s = tick_ms * (turns + 1) / 1000  # until the panel is drawn again
    assert HEARTBEAT_S + SILENCE_LIMIT_S + panel_s <= 0.5


def test_silence_is_noticed_in_the_time_that_was_given(server, network, model, engines):
    engine = engines(ServerEngine(model, through(network), silence_s=QUICK_S))
    wait_for_state(engine, ServerState.READY)
    stalled_s = time.monotonic()
    network.stall()
    wait_for_state(engine, ServerState.GONE, ServerProblem.SILENT)
    assert time.monotonic() - stalled_s >= QUICK_S - HEARTBEAT_S  # not earlier: that would be for another reason


def test_network_that_stalls_in_the_middle(gate, network, model, volume, engines):
    local = StubEngine()
    engine = engines(RemoteEngine(ServerEngine(model, through(network), silence_s=QUICK_S), local))
    events_until(engine, lambda events: any(isinstance(event, Ready) for event in events))
    gate.hold()
    job_id = engine.submit(job_in(volume))
    events_until(engine, lambda events: any(isinstance(event, Progress) for event in events))
    network.stall()
    events = events_until(engine, lambda _: bool(local.jobs))
    events += engine.poll()
    ready = [event for event in events if isinstance(event, Ready)]
    assert "it does not answer" in ready[-1].warnings[-1]
    local.finish()
    answer = end_of(engine, job_id)
    assert isinstance(answer, Finished)
    assert "computed on this computer" in answer.warnings[-1]
    gate.let_go()
    network.flow()
    back = events_until(engine, lambda events: any(isinstance(event, Ready) for event in events))
    assert not [event for event in back if isinstance(event, (Finished, Failed, Cancelled))]  # not answered twice
    on_server = engine.submit(job_in(volume))
    assert end_of(engine, on_server).device == f"stub (server 127.0.0.1:{network.port})"


def test_connection_that_is_cut_in_the_middle_is_asked_again_and_computed_once(gate, network, model, volume, engines):
    engine = engines(ServerEngine(model, through(network), silence_s=PATIENT_S))
    begun = gate.lines("begin")
    gate.hold()
    job_id = engine.submit(job_in(volume))
    events_until(engine, lambda events: any(isinstance(event, Progress) for event in events))
    network.cut()
    gate.let_go()
    ended = end_of(engine, job_id)  # by whoever notices first: the heartbeat, or the job's own connection
    assert isinstance(ended, Finished) or ended.is_lost
    assert gate.lines("begin") == begun + 1


def test_server_that_is_killed_and_started_again(tmp_path, model, volume, engines):
    local = StubEngine()
    first = RunningServer(tmp_path)
    first.wait_until_ready()
    port = first.port
    engine = engines(RemoteEngine(ServerEngine(model, plain(first), silence_s=PATIENT_S), local))
    events_until(engine, lambda events: any(isinstance(event, Ready) for event in events))
    first.hold()
    job_id = engine.submit(job_in(volume))
    events_until(engine, lambda events: any(isinstance(event, Progress) for event in events))
    first.end(signal.SIGKILL)
    events_until(engine, lambda _: bool(local.jobs))
    local.finish()
    assert isinstance(end_of(engine, job_id), Finished)
    first.let_go()
    with RunningServer(tmp_path, port=port):
        events_until(engine, lambda events: any(isinstance(e, Ready) and "stub (server" in e.device for e in events))
        again = engine.submit(job_in(volume))
        assert end_of(engine, again).device == f"stub (server 127.0.0.1:{port})"


def test_server_that_is_restarted_without_this_computer(tmp_path, model, volume, engines):
    first = RunningServer(tmp_path)
    first.wait_until_ready()
    port = first.port
    engine = engines(RemoteEngine(ServerEngine(model, plain(first), silence_s=PATIENT_S)))
    events_until(engine, lambda events: any(isinstance(event, Ready) for event in events))
    first.hold()
    job_id = engine.submit(job_in(volume))
    events_until(engine, lambda events: any(isinstance(event, Progress) for event in events))
    first.end(signal.SIGKILL)
    told = events_until(engine, lambda events: any(isinstance(e, Failed) and e.job_id is None for e in events))
    assert [event.job_id for event in told if isinstance(event, Failed)] == [job_id, None]
    with pytest.raises(WorkerError, match="cannot be used"):
        engine.submit(job_in(volume))
    first.let_go()
    with RunningServer(tmp_path, port=port):
        events_until(engine, lambda events: any(isinstance(event, Ready) for event in events))
        assert isinstance(end_of(engine, engine.submit(job_in(volume))), Finished)


def test_worker_that_dies_is_answered_here_at_once(gate, model, volume, engines):
    local = StubEngine()
    engine = engines(RemoteEngine(ServerEngine(model, plain(gate), silence_s=PATIENT_S), local))
    events_until(engine, lambda events: any(isinstance(event, Ready) for event in events))
    gate.hold("die")
    job_id = engine.submit(job_in(volume))
    ends: list = []

    def has_ended(events: list) -> bool:
        if local.pending is not None:
            local.finish()
        ends[:] = [event for event in events if isinstance(event, (Finished, Failed, Cancelled))]
        return bool(ends)

    events_until(engine, has_ended)  # here, or on the server where its worker was back before that was noticed
    assert [(type(end), end.job_id) for end in ends] == [(Finished, job_id)]


def test_nobody_is_there(model, volume, engines):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = server_address(f"http://127.0.0.1:{free.getsockname()[1]}")
        engine = engines(ServerEngine(model, address, silence_s=PATIENT_S))
        wait_for_state(engine, ServerState.GONE, ServerProblem.UNREACHABLE)


def test_another_server_is_there(model, engines, tmp_path):
    import http.server
    import threading

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "15")
            self.end_headers()
            self.wfile.write(b"<html>Hi</html>")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        address = server_address(f"http://127.0.0.1:{other.server_address[1]}")
        engine = engines(ServerEngine(model, address, silence_s=PATIENT_S))
        wait_for_state(engine, ServerState.GONE, ServerProblem.NOT_A_SERVER)
        other.shutdown()


def test_wrong_model_hash(server, tiny_copy, engines):
    engine = engines(ServerEngine(tiny_copy, plain(server), silence_s=PATIENT_S))
    wait_for_state(engine, ServerState.GONE, ServerProblem.MODEL)
    assert tiny_copy.name in engine.status.reason


@pytest.fixture
def tiny_copy(model):
    """A model of another hash."""
    from dataclasses import replace

    return replace(model, sha256="0" * 64)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    pytest.importorskip("cryptography")
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    path.write_text(f"room-1 {TOKEN}\nroom-2 {OTHER_TOKEN}\n")
    return path


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"room-1 {TOKEN}\n")
    return path


@pytest.fixture(scope="module")
def secure(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, tokens: Path
) -> Iterator[RunningServer]:
    """A server as other computers reach it: on all addresses, with TLS and tokens."""
    certificate, key = certificates.make("good")
    options = ("--host", "0.0.0.0", "--tls-cert", certificate, "--tls-key", key, "--token-file", tokens)
    with RunningServer(tmp_path_factory.mktemp("secure"), *options) as running:
        yield running


def address_of(server: RunningServer, token: Path, ca: Path | None) -> ServerAddress:
    return server_address(f"https://127.0.0.1:{server.port}", token, ca)


def test_certificate_and_token_that_are_right(secure, certificates, token, model, volume, engines):
    engine = engines(ServerEngine(model, address_of(secure, token, certificates.ca), silence_s=PATIENT_S))
    assert isinstance(end_of(engine, engine.submit(job_in(volume))), Finished)
    assert 8 < engine.status.certificate_days < 11


def test_certificate_that_nobody_has_signed_whom_we_trust(secure, token, model, engines):
    engine = engines(ServerEngine(model, address_of(secure, token, None), silence_s=PATIENT_S))
    wait_for_state(engine, ServerState.GONE, ServerProblem.CERTIFICATE)


def test_certificate_of_another_host(secure, certificates, token, model, engines):
    address = server_address(f"https://localhost:{secure.port}", token, certificates.ca)
    engine = engines(ServerEngine(model, address, silence_s=PATIENT_S))
    wait_for_state(engine, ServerState.GONE, ServerProblem.CERTIFICATE)


def test_certificate_that_has_expired(tmp_path, certificates, tokens, token, model, volume, engines):
    certificate, key = certificates.make("expired", expired=True)
    with RunningServer(tmp_path, "--tls-cert", certificate, "--tls-key", key, "--token-file", tokens) as server:
        engine = engines(ServerEngine(model, address_of(server, token, certificates.ca), silence_s=PATIENT_S))
        wait_for_state(engine, ServerState.GONE, ServerProblem.CERTIFICATE)
        assert "expired" in engine.status.reason


def test_wrong_token(secure, certificates, tmp_path, model, engines):
    wrong = tmp_path / "wrong"
    wrong.write_text("x" * 40)
    engine = engines(ServerEngine(model, address_of(secure, wrong, certificates.ca), silence_s=PATIENT_S))
    wait_for_state(engine, ServerState.GONE, ServerProblem.TOKEN)


def test_token_is_seen_in_no_list_of_processes(secure, certificates, token, model, engines):
    engine = engines(ServerEngine(model, address_of(secure, token, certificates.ca), silence_s=PATIENT_S))
    command = (
        Path(f"/proc/{engine.worker_pid}/cmdline").read_bytes() + secure.gate.parent.joinpath("server.log").read_bytes()
    )
    assert TOKEN.encode() not in command


def test_plain_http_is_not_understood_by_a_secure_server(secure):
    import socket

    with socket.create_connection((secure.host, secure.port)) as raw:
        raw.settimeout(60)
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"200" not in raw.recv(1000)


@pytest.mark.parametrize(
    ("host", "given", "missing"),
    [
        ("0.0.0.0", (), "--tls-cert and --tls-key and --token-file"),
        ("0.0.0.0", ("tls",), "--token-file"),
        ("192.0.2.1", ("token",), "--tls-cert"),
        ("gpu.example", (), "--tls-cert"),
        ("::", (), "--tls-cert"),
    ],
)
def test_other_computers_only_with_tls_and_token(host, given, missing, certificates, tokens):
    from CRLMSegmentationLib.server.settings import Limits, server_settings

    certificate, key = certificates.make("good") if "tls" in given else (None, None)
    with pytest.raises(ServerError, match=missing):
        server_settings(host, 0, certificate, key, tokens if "token" in given else None, Limits())


def test_half_a_certificate_and_unreadable_ones(tmp_path, certificates):
    from CRLMSegmentationLib.server.run import run_server
    from CRLMSegmentationLib.server.settings import Limits, server_settings

    certificate, _ = certificates.make("good")
    with pytest.raises(ServerError, match="both"):
        server_settings("127.0.0.1", 0, certificate, None, None, Limits())
    with pytest.raises(ServerError, match="is not there"):
        server_settings("127.0.0.1", 0, certificate, tmp_path / "no.key", None, Limits())
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no certificate")
    with pytest.raises(ServerError, match="cannot be used"):
        run_server(server_settings("127.0.0.1", 0, rubbish, rubbish, None, Limits()), [])


def test_a_client_whose_process_is_killed_goes_on(server, model, volume, engines):
    import os

    engine = engines(RemoteEngine(ServerEngine(model, plain(server), silence_s=PATIENT_S), StubEngine()))
    events_until(engine, lambda events: any(isinstance(event, Ready) for event in events))
    pid = engine._server.worker_pid
    os.kill(pid, signal.SIGKILL)
    events_until(engine, lambda events: any(isinstance(e, Ready) and "this computer" in e.device for e in events))
    events_until(engine, lambda events: any(isinstance(e, Ready) and "stub (server" in e.device for e in events))
    answer = end_of(engine, engine.submit(job_in(volume)))
    assert answer.device.startswith("stub (server")


def test_a_volume_that_came_later_gets_no_earlier_answer(gate, model, engines):
    """The seed is asked for in one volume, and again in the next, while the first answer is on its way."""
    from CRLMSegmentationLib.segmentation.results import LesionSegmented
    from CRLMSegmentationLib.segmentation.wait import wait_for_model

    small, large = dark_volume(5.0), dark_volume(9.0)
    with Session(RemoteEngine(ServerEngine(model, plain(gate), silence_s=PATIENT_S)), model) as session:
        session.use_volume(small)
        wait_for_model(session)
        gate.hold()
        begun = gate.lines("begin")
        session.segment("Tumour 1", np.array([20.0, 20.0, 20.0]))
        assert wait_until(lambda: bool(session.poll()) is None or gate.lines("begin") > begun)
        session.use_volume(large)
        session.segment("Tumour 1", np.array([20.0, 20.0, 20.0]))
        gate.let_go()
        results: list = []
        assert wait_until(
            lambda: bool(results.extend(e.result for e in session.poll() if isinstance(e, LesionSegmented)) or results)
        )
        assert [result.volume for result in results] == [large]
        assert results[0].mask.volume_ml > 2.5
