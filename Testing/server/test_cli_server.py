"""`crlm-seg serve`, and `segment --server`, as from a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from CRLMSegmentationLib.core.volume import Volume, write_volume
from helpers.cli_helpers import Done, Run
from helpers.server_helpers import SEED, RunningServer


class DarkRun(Run):
    MODULE = "helpers.cli_with_dark_worker"


def crlm_seg(*arguments: object) -> Done:
    from helpers.paths import TESTING

    with DarkRun(*arguments, folder=TESTING, PYTHONPATH=str(TESTING)) as run:
        done = run.finish()
        assert run.leaves_nothing()
    return done


@pytest.fixture
def path(tmp_path: Path, volume: Volume) -> Path:
    write_volume(volume, tmp_path / "volume.nrrd")
    return tmp_path / "volume.nrrd"


def test_segment_on_a_server(server: RunningServer, path: Path, tmp_path: Path):
    out, report = tmp_path / "out.nrrd", tmp_path / "report.json"
    done = crlm_seg(
        *("segment", path, "--seed", *SEED, "--out", out, "--report", report, "--size", 40),
        *("--server", server.url, "--server-only"),
    )
    assert done.code == 0, done.err
    entry = json.loads(report.read_text())
    assert entry["device"] == f"stub (server 127.0.0.1:{server.port})"
    assert entry["timings_s"]["network"] >= 0
    assert not [text for text in entry["warnings"] if "this computer" in text]
    assert out.exists()


def test_segment_here_where_the_server_is_not_there(path: Path, tmp_path: Path):
    report = tmp_path / "report.json"
    done = crlm_seg(
        *("segment", path, "--seed", *SEED, "--out", tmp_path / "out.nrrd", "--report", report, "--size", 40),
        *("--server", "http://127.0.0.1:9"),
    )
    assert done.code == 0, done.err
    entry = json.loads(report.read_text())
    assert entry["device"] == "stub (this computer)"
    assert "computed on this computer" in entry["warnings"][-1]
    assert "computed on this computer" in done.out


def test_server_only(path: Path, tmp_path: Path):
    done = crlm_seg(
        *("segment", path, "--seed", *SEED, "--out", tmp_path / "out.nrrd"),
        *("--server", "http://127.0.0.1:9", "--server-only"),
    )
    assert done.code == 1
    assert len(done.error_lines) == 1
    assert "cannot be used" in done.err


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (("serve", "--host", "0.0.0.0"), 1, "--tls-cert"),
        (("serve", "--tls-cert", "missing.pem"), 1, "both --tls-cert and --tls-key"),
        (("serve", "--token-file", "missing"), 1, "cannot be read"),
        (("serve", "--workers", "0"), 2, "workers"),
        (("serve", "--model", "missing"), 1, "missing"),
    ],
)
def test_wrong_options_of_serve(options, code, text):
    done = crlm_seg(*options)
    assert done.code == code
    assert text in done.err


def test_options_of_a_server_without_one(path: Path, tmp_path: Path):
    done = crlm_seg("segment", path, "--seed", *SEED, "--out", tmp_path / "o.nrrd", "--server-only")
    assert done.code == 2
    assert "--server" in done.err


def test_a_port_in_use_is_told(server: RunningServer):
    done = crlm_seg("serve", "--port", server.port)
    assert done.code == 1
    assert "cannot be listened to" in done.err
    assert len(done.error_lines) == 1
