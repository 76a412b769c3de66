"""A real server, asked by hand over real sockets: order, turns, limits, and what is refused."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import socket
from pathlib import Path

import pytest
from CRLMSegmentationLib.segmentation.remote.message_format import CLIENT_HEADER, MEDIA_TYPE, PATH, Wanted
from CRLMSegmentationLib.segmentation.remote.messages import encode_request
from helpers.cli_helpers import wait_until
from helpers.server_helpers import TOKEN, Asked, RunningServer, connect, job_in


def test_answer_with_progress_and_timings(ask):
    frames = list(ask().frames())
    assert frames[0].type == "waiting"
    assert frames[-1].type == "finished"
    header = frames[-1].header
    assert set(header["timings_s"]) == {"crop", "preprocess", "inference", "postprocess"}
    assert 0 <= header["queue_s"] <= header["server_s"]
    assert header["lesion"]["volume_ml"] == pytest.approx(2.1, abs=0.3)


def test_progress_is_streamed_while_the_network_computes(gate, ask):
    gate.hold()
    asked = ask()
    header = asked.wait_for_frame("progress").header
    assert (header["stage"], header["done"]) in [("inference", 0), ("crop", 0)]
    gate.let_go()
    assert asked.end()["type"] == "finished"


def test_mask_only(ask, volume, model):
    body = encode_request(job_in(volume), model.sha256, Wanted.MASK)
    frame = ask(body=body).wait_for_frame("finished")
    assert set(frame.arrays()) == {"part"}


def test_models_and_health(server, model):
    status, data = server.get("/models")
    (found,) = json.loads(data)["models"]
    assert (status, found["sha256"], found["name"]) == (200, model.sha256, model.name)
    assert (found["state"], found["device"]) == ("ready", "stub")
    assert json.loads(server.get("/health")[1])["status"] == "ok"


def test_metrics_are_those_of_prometheus(server, ask):
    before = server.metric('crlm_requests_total{outcome="finished"}')
    ask().end()
    assert server.metric('crlm_requests_total{outcome="finished"}') == before + 1
    text = server.get("/metrics")[1].decode()
    for name in ("crlm_queue_seconds_bucket", "crlm_server_seconds_count", "crlm_workers_ready 1.0", "# TYPE"):
        assert name in text


def test_newest_request_of_a_lesion_wins(gate, ask):
    gate.hold()
    older = ask(sequence=1)
    older.wait_for_frame("progress")
    newer = ask(sequence=2)
    end = older.end()
    assert (end["type"], end["code"]) == ("cancelled", "superseded")
    gate.let_go()
    assert newer.end()["type"] == "finished"


def test_newest_wins_among_those_that_wait_and_other_lesions_stay(gate, ask):
    gate.hold()
    running = ask(lesion=1, sequence=1)
    running.wait_for_frame("progress")
    waiting = ask(lesion=2, sequence=2)
    waiting.wait_for_frame("waiting")
    newer = ask(lesion=2, sequence=3)
    assert waiting.end()["code"] == "superseded"
    gate.let_go()
    assert [running.end()["type"], newer.end()["type"]] == ["finished", "finished"]


def test_an_older_request_that_comes_late_is_not_run(ask):
    assert ask(sequence=7).end()["type"] == "finished"
    late = ask(sequence=6)
    assert (late.status, late.refusal()["code"]) == (409, "superseded")


def test_a_request_that_is_sent_again_is_computed_once(gate, ask):
    before = gate.lines("begin")
    gate.hold()
    request_id = secrets.token_hex(16)
    first = ask(request_id)
    first.wait_for_frame("progress")
    second = ask(request_id)
    assert second.wait_for_frame("waiting")
    assert first.end() is None  # its answer goes to the connection that came last
    gate.let_go()
    assert second.end()["request"] == request_id
    third = ask(request_id)
    assert third.end()["request"] == request_id
    assert gate.lines("begin") == before + 1


def test_a_connection_that_breaks_may_ask_again(gate, ask):
    before = gate.lines("begin")
    gate.hold()
    request_id = secrets.token_hex(16)
    first = ask(request_id)
    first.wait_for_frame("progress")
    first.close()
    again = ask(request_id)
    again.wait_for_frame("waiting")
    gate.let_go()
    assert again.end()["type"] == "finished"
    assert gate.lines("begin") == before + 1


def test_the_same_id_with_another_body_is_refused(ask, volume, model):
    request_id = secrets.token_hex(16)
    ask(request_id).end()
    other = encode_request(job_in(volume, crop_mm=30.0), model.sha256)
    refused = ask(request_id, body=other)
    assert (refused.status, refused.refusal()["code"]) == (409, "conflict")


def test_ids_of_other_clients_are_not_known(gate, ask):
    gate.hold()
    request_id = secrets.token_hex(16)
    mine = ask(request_id)
    mine.wait_for_frame("progress")
    assert cancel(gate, request_id, "e" * 32) == 404
    gate.let_go()
    assert mine.end()["type"] == "finished"


def cancel(server: RunningServer, request_id: str, client: str) -> int:
    connection = connect(server)
    connection.request("DELETE", f"{PATH}/{request_id}", headers={CLIENT_HEADER: client})
    status = connection.getresponse().status
    connection.close()
    return status


def test_cancel_stops_the_computation(gate, ask, client):
    before = gate.lines("cancelled")
    gate.hold()
    request_id = secrets.token_hex(16)
    asked = ask(request_id)
    asked.wait_for_frame("progress")
    assert cancel(gate, request_id, client) == 204
    assert asked.end()["code"] == "cancelled"
    assert wait_until(lambda: gate.lines("cancelled") == before + 1)


def test_nobody_who_listens_stops_the_computation(gate, ask):
    before = gate.lines("cancelled")
    gate.hold()
    asked = ask()
    asked.wait_for_frame("progress")
    asked.close()
    assert wait_until(lambda: gate.lines("cancelled") == before + 1)


def test_clients_take_turns(gate, ask, volume, model):
    gate.hold()
    first = ask(lesion=1)
    first.wait_for_frame("progress")
    greedy = [ask(lesion=number, sequence=number) for number in range(2, 6)]
    for asked in greedy:
        asked.wait_for_frame("waiting")
    modest = ask(client=secrets.token_hex(16), body=encode_request(job_in(volume, crop_mm=30.0), model.sha256))
    modest.wait_for_frame("waiting")
    gate.let_go()
    assert [asked.end()["type"] for asked in (first, *greedy, modest)] == ["finished"] * 6
    assert gate.sizes()[-5:] == [24, 32, 32, 32, 32]  # the client that asked once is not behind all others


def test_background_gives_way_and_is_answered_later(gate, ask):
    gate.hold()
    background = ask(is_background=True)
    background.wait_for_frame("progress")
    begun = gate.lines("begin")
    urgent = ask(client=secrets.token_hex(16))
    assert wait_until(lambda: gate.lines("begin") == begun + 1)  # although the gate is closed
    gate.let_go()
    assert urgent.end()["type"] == "finished"
    assert background.end()["type"] == "finished"


def test_too_many_that_wait_are_refused_with_a_time(gate, ask):
    gate.hold()
    ask(lesion=0).wait_for_frame("progress")
    waiting = [ask(lesion=number, sequence=number) for number in range(1, 9)]
    for asked in waiting:
        asked.wait_for_frame("waiting")
    refused = ask(lesion=99, sequence=99)
    assert (refused.status, refused.refusal()["code"]) == (429, "busy")
    assert int(refused.response.headers["Retry-After"]) >= 1
    other = ask(client=secrets.token_hex(16))
    assert other.status == 429  # of the same name: without tokens, all are one
    replacing = ask(lesion=8, sequence=100)
    assert replacing.status == 200
    gate.let_go()
    assert replacing.end()["type"] == "finished"


def test_wrong_model_is_refused(ask, volume):
    refused = ask(body=encode_request(job_in(volume), "0" * 64))
    assert (refused.status, refused.refusal()["code"]) == (409, "model")


def test_what_is_no_request_is_refused(ask):
    refused = ask(body=b"no request at all, but long enough to be one" * 10)
    assert (refused.status, refused.refusal()["code"]) == (422, "malformed")


def test_what_the_network_refuses_is_told(ask, volume, model):
    outside = encode_request(job_in(volume, seed=(500.0, 20.0, 20.0)), model.sha256)
    refused = ask(body=outside)
    assert (refused.status, refused.refusal()["code"]) == (422, "malformed")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CRLM_Request", "1" * 31),
        ("CRLM_Request", "../" * 10 + "ab"),
        ("CRLM_Client", "X" * 32),
        ("CRLM_Lesion", "-1"),
        ("CRLM_Lesion", "99999999999"),
        ("CRLM_Sequence", "1e5"),
    ],
)
def test_headers_are_checked(ask, name, value):
    refused = ask(**{name: value})
    assert (refused.status, refused.refusal()["code"]) == (400, "malformed")


def test_a_type_or_length_that_is_missing_is_refused(server, ask):
    assert ask(Content_Type="application/json").status == 415
    connection = connect(server)
    connection.request("POST", PATH, iter([b"abc"]), {"Content-Type": MEDIA_TYPE}, encode_chunked=True)
    assert connection.getresponse().status == 411
    connection.close()


def test_an_oversized_body_is_refused_by_its_length_alone(server):
    with socket.create_connection((server.host, server.port)) as raw:
        raw.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {MEDIA_TYPE}\r\n".encode())
        raw.sendall(f"Content-Length: {1 << 40}\r\n\r\n".encode())
        assert b" 411 " in raw.recv(1000)  # more digits than any size
    with socket.create_connection((server.host, server.port)) as raw:
        raw.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {MEDIA_TYPE}\r\n".encode())
        raw.sendall(f"Content-Length: {1 << 30}\r\n\r\n".encode())
        assert b" 413 " in raw.recv(1000)


@pytest.mark.parametrize(
    "line",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"GET /health HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 40000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 400000,
        b"POST /v1/segmentations HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v1/segmentations HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    ],
    ids=["TLS", "header name", "long header", "endless header", "two lengths", "negative length"],
)
def test_what_is_no_http_is_refused(server, line):
    with socket.create_connection((server.host, server.port)) as raw:
        raw.settimeout(60)
        raw.sendall(line)
        data = raw.recv(1000)
        assert data == b"" or data.split(b" ")[1] in (b"400", b"431")
    assert server.get("/health")[0] == 200


def test_a_body_that_is_cut_off_is_never_computed(server, body, ask):
    begun, refused = server.lines("begin"), server.metric('crlm_refused_total{code="malformed"}')
    with socket.create_connection((server.host, server.port)) as raw:
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        head += f"CRLM-Request: {'7' * 32}\r\nCRLM-Client: {'7' * 32}\r\nCRLM-Lesion: 1\r\nCRLM-Sequence: 1\r\n\r\n"
        raw.sendall(head.encode() + body[: len(body) // 2])
    assert wait_until(lambda: server.metric('crlm_refused_total{code="malformed"}') == refused + 1)
    assert wait_until(lambda: server.metric("crlm_request_bytes_in_flight") == 0)
    assert server.lines("begin") == begun


def test_other_paths_and_methods(server):
    assert server.get("/")[0] == 404
    assert server.get("/docs")[0] == 404
    assert server.get("/openapi.json")[0] == 404
    connection = connect(server)
    connection.request("PUT", PATH)
    assert connection.getresponse().status == 405
    connection.close()


def test_a_worker_that_is_killed_in_the_middle_costs_nothing(gate, ask):
    lost = gate.metric("crlm_workers_lost_total")
    gate.hold("die")
    assert ask().end()["type"] == "finished"
    assert gate.metric("crlm_workers_lost_total") == lost + 1


def test_a_request_that_kills_its_workers_is_told_and_stopped(gate, ask):
    begun = gate.lines("begin")
    gate.hold("die")
    asked = ask()
    asked.wait_for_frame("waiting")
    assert wait_until(lambda: gate.lines("begin") == begun + 1)
    assert wait_until(lambda: not gate.gate.exists())
    gate.hold("die")
    assert asked.end()["code"] == "lost"
    gate.wait_until_ready()
    assert gate.lines("begin") == begun + 2


def test_slow_bodies_and_silent_connections_end(tmp_path: Path, body: bytes):
    with RunningServer(tmp_path, "--header-timeout", "0.3", "--body-timeout", "0.3") as server:
        server.wait_until_ready()
        silent = [socket.create_connection((server.host, server.port)) for _ in range(100)]
        slow = socket.create_connection((server.host, server.port))
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: ")
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        head += f"CRLM-Request: {'8' * 32}\r\nCRLM-Client: {'8' * 32}\r\nCRLM-Lesion: 1\r\nCRLM-Sequence: 1\r\n\r\n"
        stopped = socket.create_connection((server.host, server.port))
        stopped.sendall(head.encode() + body[:1000])
        asked = Asked(server, body, "9" * 32)
        assert asked.end()["type"] == "finished"  # while they all say nothing
        asked.close()
        for raw in (*silent, slow):
            raw.settimeout(60)
            with contextlib.suppress(ConnectionResetError):
                assert raw.recv(100) == b""
        stopped.settimeout(60)
        assert b" 408 " in stopped.recv(1000)
        for raw in (*silent, slow, stopped):
            raw.close()


def test_one_address_cannot_take_all_connections(tmp_path: Path):
    with RunningServer(tmp_path, "--max-connections-of-address", "5") as server:
        server.wait_until_ready()
        held = [socket.create_connection((server.host, server.port)) for _ in range(5)]

        def is_refused() -> bool:
            with socket.create_connection((server.host, server.port)) as raw:
                raw.settimeout(60)
                try:
                    raw.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                    return raw.recv(10) == b""
                except ConnectionError:
                    return True

        assert is_refused()
        for raw in held:
            raw.close()
        assert wait_until(lambda: not is_refused())


def test_requests_above_the_rate_are_refused_with_a_time(tmp_path: Path, body: bytes):
    with RunningServer(tmp_path, "--rate", "0.1") as server:
        server.wait_until_ready()
        statuses = []
        for number in range(3):
            asked = Asked(server, body, f"{number:032x}", lesion=number)
            statuses.append(asked.status)
            if asked.status == 429:
                assert asked.refusal()["code"] == "rate"
                assert int(asked.response.headers["Retry-After"]) >= 1
            else:
                asked.end()
            asked.close()
        assert statuses == [200, 429, 429]


def test_a_request_that_takes_too_long_is_told(tmp_path: Path, body: bytes):
    with RunningServer(tmp_path, "--job-timeout", "0.5") as server:
        server.wait_until_ready()
        server.hold()
        asked = Asked(server, body, "1" * 32)
        assert asked.end()["code"] == "time limit"
        asked.close()


def test_tokens_are_checked_before_the_body(tmp_path: Path, body: bytes):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"room-1 {TOKEN}\n")
    with RunningServer(tmp_path, "--token-file", tokens) as server:
        server.wait_until_ready()
        for token in ("", "x" * 40, TOKEN[:-1], f"{TOKEN}x", TOKEN.upper()):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            assert server.get("/models", headers)[0] == 401
            assert server.get("/metrics", headers)[0] == 401
        assert server.get("/models", {"Authorization": f"Basic {TOKEN}"})[0] == 401
        assert json.loads(server.get("/health")[1]) == {"status": "ok"}
        assert server.get("/health", {"Authorization": "Bearer wrong"})[0] == 401
        with socket.create_connection((server.host, server.port)) as raw:  # not a byte of the body is sent
            head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
            raw.sendall(f"{head}Authorization: Bearer wrong\r\n\r\n".encode())
            raw.settimeout(60)
            answer = http.client.HTTPResponse(raw)
            answer.begin()
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        asked = Asked(server, body, "1" * 32, token=TOKEN)
        assert asked.end()["type"] == "finished"
        asked.close()


def test_ctrl_c_ends_it_with_all_it_has_started(tmp_path: Path):
    import signal

    with RunningServer(tmp_path) as server:
        server.wait_until_ready()
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        assert server.end(signal.SIGINT) == 0
        assert not children.exists()
