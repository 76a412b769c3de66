"""Which computer answers: the server, or this one while it is gone; each job ends once. No process, a stub clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from CRLMSegmentationLib.core.errors import WorkerError
from CRLMSegmentationLib.segmentation.engine.engine import (
    Cancelled,
    EngineState,
    Failed,
    Finished,
    Progress,
    Ready,
)
from CRLMSegmentationLib.segmentation.remote.remote_engine import CONNECT_PATIENCE_S, RemoteEngine
from CRLMSegmentationLib.segmentation.remote.status import ServerProblem, ServerState, ServerStatus
from helpers.server_helpers import dark_volume, job_in
from helpers.stub_engine import StubEngine
from helpers.stub_server import StubServer


@dataclass
class Setting:
    server: StubServer = field(default_factory=StubServer)
    local: StubEngine | None = field(default_factory=StubEngine)
    now_s: float = 0.0

    def __post_init__(self):
        self.engine = RemoteEngine(self.server, self.local, lambda: self.now_s)
        self.engine.start()


@pytest.fixture
def with_local() -> Setting:
    return Setting()


@pytest.fixture
def without_local() -> Setting:
    return Setting(local=None)


def kinds(events):
    return [type(event) for event in events]


JOB = job_in(dark_volume())


def test_server_answers_while_it_is_there(with_local):
    server, engine = with_local.server, with_local.engine
    server.come()
    (ready,) = engine.poll()
    assert ready.device == "H200 (server gpu:8443)"
    job_id = engine.submit(JOB)
    server.finish()
    progress, answer = engine.poll()
    assert isinstance(progress, Progress)
    assert (answer.job_id, answer.device, answer.warnings) == (job_id, "stub (server gpu:8443)", ())
    assert with_local.local.jobs == []


def test_nothing_is_told_of_this_computer_while_the_server_may_still_come(with_local):
    assert with_local.engine.poll() == []
    assert with_local.engine.state is EngineState.STARTING


def test_jobs_wait_for_the_first_word_on_the_server(with_local):
    with_local.engine.submit(JOB)
    with_local.engine.poll()
    assert with_local.local.jobs == []
    with_local.server.come()
    with_local.engine.poll()
    assert with_local.server.jobs == [JOB]


def test_a_server_that_is_never_heard_of_is_not_waited_for(with_local):
    job_id = with_local.engine.submit(JOB)
    with_local.now_s = CONNECT_PATIENCE_S + 0.1
    with_local.engine.poll()
    with_local.local.finish()
    answer = with_local.engine.poll()[-1]
    assert isinstance(answer, Finished)
    assert answer.job_id == job_id
    assert "computed on this computer" in answer.warnings[-1]


def test_a_job_that_the_server_loses_is_answered_here_and_says_so(with_local):
    with_local.server.come()
    with_local.engine.poll()
    job_id = with_local.engine.submit(JOB)
    with_local.server.go()
    told = with_local.engine.poll()
    (ready,) = [event for event in told if isinstance(event, Ready)]
    assert "it does not answer" in ready.warnings[-1]
    assert with_local.engine.is_computing_here
    with_local.local.finish()
    answers = [event for event in with_local.engine.poll() if isinstance(event, Finished)]
    assert [answer.job_id for answer in answers] == [job_id]
    assert "computed on this computer, since the server gpu:8443 was not used" in answers[0].warnings[-1]
    assert answers[0].device == "stub (this computer)"


def test_a_late_answer_of_the_server_is_dropped(with_local):
    with_local.server.come()
    with_local.engine.poll()
    with_local.engine.submit(JOB)
    with_local.server.status = ServerStatus("gpu:8443", ServerState.GONE, ServerProblem.SILENT)
    with_local.engine.poll()
    with_local.server.finish()  # it was only slow
    with_local.local.finish()
    assert kinds(with_local.engine.poll()).count(Finished) == 1
    assert with_local.engine.poll() == []


def test_the_server_is_used_again_when_it_comes_back(with_local):
    for _ in range(3):
        with_local.server.come()
        assert [event.device for event in with_local.engine.poll() if isinstance(event, Ready)] == [
            "H200 (server gpu:8443)"
        ]
        with_local.server.go()
        ready = [event for event in with_local.engine.poll() if isinstance(event, Ready)]
        assert [event.device for event in ready] == ["stub (this computer)"]
    with_local.server.come()
    with_local.engine.submit(JOB)
    assert len(with_local.server.jobs) == 1


def test_without_this_computer_a_lost_job_is_told(without_local):
    without_local.server.come()
    without_local.engine.poll()
    job_id = without_local.engine.submit(JOB)
    without_local.server.go()
    ended, gone = without_local.engine.poll()
    assert (ended.job_id, gone.job_id) == (job_id, None)
    assert "it does not answer" in gone.reason
    assert without_local.engine.state is EngineState.FAILED
    with pytest.raises(WorkerError, match="cannot be used"):
        without_local.engine.submit(JOB)
    without_local.server.come()
    assert kinds(without_local.engine.poll()) == [Ready]
    without_local.engine.submit(JOB)


def test_a_job_is_told_while_no_server_was_ever_there(without_local):
    job_id = without_local.engine.submit(JOB)
    without_local.server.go(ServerProblem.CERTIFICATE)
    events = without_local.engine.poll()
    assert [event.job_id for event in events] == [job_id, None]
    assert "certificate" in events[-1].reason


def test_what_the_network_refuses_is_not_computed_again(with_local):
    with_local.server.come()
    with_local.engine.poll()
    job_id = with_local.engine.submit(JOB)
    with_local.server.fail("the seed lies where the probe has not been")
    (failed,) = with_local.engine.poll()
    assert (failed.job_id, failed.reason) == (job_id, "the seed lies where the probe has not been")
    assert with_local.local.jobs == []


def test_what_the_server_loses_is_computed_here_while_it_stays(with_local):
    with_local.server.come()
    with_local.engine.poll()
    job_id = with_local.engine.submit(JOB)
    with_local.server.events.append(Failed(with_local.server.pending, "its worker was lost 2 times", is_lost=True))
    with_local.engine.poll()
    with_local.local.finish()
    answer = with_local.engine.poll()[-1]
    assert (answer.job_id, "its worker was lost 2 times" in answer.warnings[-1]) == (job_id, True)
    with_local.engine.submit(JOB)
    assert len(with_local.server.jobs) == 2


def test_newest_job_wins_on_whichever_computer(with_local):
    with_local.server.come()
    with_local.engine.poll()
    first = with_local.engine.submit(JOB)
    second = with_local.engine.submit(JOB)
    with_local.server.go()
    with_local.engine.poll()
    third = with_local.engine.submit(JOB)
    with_local.local.finish()
    events = with_local.engine.poll()
    ended = [event for event in events if isinstance(event, (Finished, Cancelled, Failed))]
    assert [(type(event), event.job_id) for event in ended] == [(Cancelled, second), (Finished, third)]
    assert first not in [event.job_id for event in ended]  # it was told before


def test_cancel_and_close_end_what_runs(with_local):
    with_local.server.come()
    with_local.engine.poll()
    first = with_local.engine.submit(JOB)
    with_local.engine.cancel()
    assert with_local.engine.poll() == [Cancelled(first)]
    second = with_local.engine.submit(JOB)
    with_local.engine.close()
    assert with_local.engine.poll() == [Cancelled(second)]
    assert with_local.server.closed
    assert with_local.local.closed


def test_both_gone_is_told_once(with_local):
    with_local.local.events = [Failed(None, "torch is missing")]
    with_local.server.go()
    (failed,) = with_local.engine.poll()
    assert "torch is missing" in failed.reason
    assert with_local.engine.poll() == []
    with_local.server.come()
    assert kinds(with_local.engine.poll()) == [Ready]


def test_a_broken_engine_here_is_not_told_while_the_server_is_there(with_local):
    with_local.local.events = [Failed(None, "torch is missing")]
    with_local.server.come()
    assert kinds(with_local.engine.poll()) == [Ready]
