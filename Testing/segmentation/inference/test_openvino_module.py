"""OpenVINO is imported without its telemetry, which would report each import to its maker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.inference_helpers import without_openvino

pytestmark = without_openvino
OWN = "CRLMSegmentationLib.segmentation.inference.openvino_module"
TELEMETRY = """
calls = []
class Telemetry:
    def __init__(self, **kwargs):
        pass
    def send_event(self, *args, **kwargs):
        calls.append("send_event")
"""
"""In place of the real one, so that no test reports anything."""


@pytest.fixture
def run(tmp_path):
    """Runs code in a process whose home is empty, where a stand-in of the telemetry is installed; returns its words."""
    (tmp_path / "openvino_telemetry" / "backend").mkdir(parents=True)
    (tmp_path / "openvino_telemetry" / "__init__.py").write_text(TELEMETRY)
    (tmp_path / "openvino_telemetry" / "backend" / "__init__.py").touch()
    (tmp_path / "openvino_telemetry" / "backend" / "backend_ga4.py").touch()
    (tmp_path / "home").mkdir()
    home = str(tmp_path / "home")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment = {**os.environ, "HOME": home, "USERPROFILE": home, "XDG_CONFIG_HOME": home, "PYTHONPATH": path}

    def run_code(code: str) -> list[str]:
        command = [sys.executable, "-c", f"import sys\n{code}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=240)
        return done.stdout.split()

    run_code.home = Path(home)
    return run_code


def test_import_reports_nothing_and_writes_nothing_into_the_home(run):
    told = run(
        f"import {OWN} as own\n"
        "import openvino\n"
        "print(sys.modules['openvino_telemetry'], own.openvino is openvino, openvino.tools.ovc.telemetry is not None)"
    )
    assert told == ["None", "True", "True"]
    assert list(run.home.rglob("*")) == []


def test_plain_import_would_report_it(run):
    """So that the test above tests something."""
    assert "send_event" in " ".join(run("import openvino, openvino_telemetry\nprint(openvino_telemetry.calls)"))


def test_where_openvino_was_imported_before_it_is_taken_as_it_is(run):
    """Nothing can be taken back then; in the worker nothing imports it before."""
    told = run(
        "import openvino, openvino_telemetry\n"
        "before = len(openvino_telemetry.calls)\n"
        f"import {OWN} as own\n"
        "print(own.openvino is openvino, sys.modules['openvino_telemetry'] is openvino_telemetry)\n"
        "print(len(openvino_telemetry.calls) - before)"
    )
    assert told == ["True", "True", "0"]
