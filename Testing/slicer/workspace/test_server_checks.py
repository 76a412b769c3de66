"""The checks of a server before the incision, and what the strip says of it; without a server."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from CRLMSegmentationLib.segmentation.models.package import model_or_default
from CRLMSegmentationLib.segmentation.remote.remote_engine import RemoteEngine
from CRLMSegmentationLib.segmentation.remote.status import ACTIONS, SENTENCES, ServerProblem
from CRLMSegmentationLib.slicer.panel.server_texts import server_text
from CRLMSegmentationLib.slicer.state import State
from CRLMSegmentationLib.slicer.workspace.server_checks import server_checks
from helpers.stub_engine import StubEngine
from helpers.stub_server import StubServer


@pytest.fixture
def server() -> StubServer:
    return StubServer()


@pytest.fixture
def workspace(server):
    """As much of a workspace as the checks look at."""
    engine = RemoteEngine(server, StubEngine())
    engine.start()
    session = SimpleNamespace(engine=engine, model=model_or_default(None))
    results = SimpleNamespace(self_check=None, self_check_problem="")
    return SimpleNamespace(session=session, results=results, engine_problem="")


def states(workspace) -> list[State]:
    return [check.state for check in server_checks(workspace)]


def test_no_checks_where_this_computer_computes(workspace):
    workspace.session.engine = StubEngine()
    assert server_checks(workspace) == []
    assert server_text(workspace) is None


def test_everything_waits_while_it_connects(workspace):
    assert states(workspace) == [State.PENDING] * 6
    assert server_text(workspace)[0] is State.WARNING


def test_a_server_that_is_well(workspace, server):
    server.come()
    server.status = replace(server.status, round_trip_s=0.002, certificate_days=80.0)
    workspace.results.self_check = SimpleNamespace(device="H200 (server gpu:8443)", timings_s={"network": 0.012})
    checks = server_checks(workspace)
    assert [check.state for check in checks] == [State.OK] * 6
    texts = "\n".join(check.text for check in checks)
    for part in ("gpu:8443", "80 days", workspace.session.model.sha256[:12], "2.0 ms", "12 ms on the network"):
        assert part in texts
    assert server_text(workspace) == (State.OK, "Server gpu:8443: H200, round trip 2 ms")


@pytest.mark.parametrize(
    ("problem", "red"),
    [
        (ServerProblem.UNREACHABLE, 0),
        (ServerProblem.NAME, 0),
        (ServerProblem.SILENT, 0),
        (ServerProblem.CERTIFICATE, 1),
        (ServerProblem.TOKEN, 2),
        (ServerProblem.MODEL, 3),
        (ServerProblem.NOT_READY, 3),
        (ServerProblem.NOT_A_SERVER, 3),
    ],
)
def test_what_is_wrong_is_named_with_the_next_action(workspace, server, problem, red):
    server.come()
    server.go(problem)
    checks = server_checks(workspace)
    assert [check.state for check in checks[:4]] == [State.OK] * red + [State.ERROR] + [State.PENDING] * (3 - red)
    assert SENTENCES[problem] in checks[red].text
    assert checks[red].action == ACTIONS[problem]
    state, text = server_text(workspace)
    assert (state, "computing on this computer" in text) == (State.WARNING, True)


def test_what_is_not_well_is_amber(workspace, server):
    server.come()
    server.status = replace(server.status, round_trip_s=0.2, certificate_days=3.0)
    workspace.results.self_check = SimpleNamespace(device="CPU (this computer)", timings_s={})
    assert states(workspace) == [State.OK, State.WARNING, State.OK, State.OK, State.WARNING, State.WARNING]


def test_failed_self_check_is_red(workspace, server):
    server.come()
    workspace.results.self_check_problem = "nothing came"
    assert states(workspace)[-1] is State.ERROR


def test_every_problem_has_a_sentence_and_an_action():
    assert set(SENTENCES) == set(ACTIONS) == set(ServerProblem)
    assert all(
        SENTENCES[problem] and ACTIONS[problem] for problem in ServerProblem if problem is not ServerProblem.NONE
    )
