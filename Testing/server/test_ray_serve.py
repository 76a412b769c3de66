"""Workers on a Ray cluster of several nodes, simulated on this machine: lost nodes and rolling restarts cost no answer.

`make test-cluster` runs it; it needs the optional packages `CRLMSegmentation[cluster]`, which `make test` leaves out.
"""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'CRLMSegmentation[server,cluster]'")
import ray
from CRLMSegmentationLib.segmentation.engine.engine import Cancelled, Event, Failed, Finished, Progress, Ready
from CRLMSegmentationLib.segmentation.models.package import model_or_default
from CRLMSegmentationLib.server.ray_serve import Cluster, RayWorker, deploy, ray_workers
from helpers.gated_worker import GATE
from helpers.paths import LIBRARY, TESTING
from helpers.server_helpers import dark_volume, job_in

pytestmark = pytest.mark.cluster
OPTIONS = {"device": "cpu", "precision": "float32", "cpu_threads": 1}
TIMEOUT_S = 240.0


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ray") / "gate"


@pytest.fixture(scope="module")
def nodes(gate: Path) -> Iterator[list]:
    """A cluster of a head without processors for replicas, and two nodes with one each."""
    from ray.cluster_utils import Cluster as LocalCluster

    os.environ[GATE] = str(gate)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTING), str(LIBRARY.parent)])
    cluster = LocalCluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made = [cluster.add_node(num_cpus=2, resources={"room": 1}) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    yield [cluster, *made]
    from ray import serve

    serve.shutdown()
    ray.shutdown()
    cluster.shutdown()


class Told:
    """The events of workers, as a server's dispatcher gets them."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[tuple[RayWorker, Event]] = queue.SimpleQueue()

    def __call__(self, worker: RayWorker, event: Event) -> None:
        self.events.put((worker, event))

    def until(self, done: Callable[[Event], bool]) -> Event:
        end_s = time.monotonic() + TIMEOUT_S
        while True:
            _, event = self.events.get(timeout=max(0.1, end_s - time.monotonic()))
            if done(event):
                return event

    def end_of(self, ticket: int) -> Event:
        return self.until(lambda e: isinstance(e, (Finished, Failed, Cancelled)) and e.job_id == ticket)


def is_progress(event: Event) -> bool:
    return isinstance(event, Progress)


@pytest.fixture
def workers(nodes: list, gate: Path) -> Iterator[tuple[list[RayWorker], Told]]:
    model, cluster, told = model_or_default(None), Cluster("auto", least=2, most=2, cpus=1.0), Told()
    handles = deploy([model], cluster, OPTIONS, "helpers.gated_worker")
    made = ray_workers([model], handles, cluster, told)
    for worker in made:
        worker.start()
    for _ in made:
        told.until(lambda event: isinstance(event, Ready))
    yield made, told
    gate.unlink(missing_ok=True)
    for worker in made:
        worker.stop(30.0)


def test_replicas_answer_cancel_and_survive_a_rolling_restart_and_a_lost_node(nodes, workers, gate):
    """One test: a cluster takes long to start."""
    (first, second), told = workers
    job = job_in(dark_volume())

    first.submit(1, job)
    second.submit(2, job)
    answers = {event.job_id: event for event in (told.until(lambda e: isinstance(e, Finished)) for _ in range(2))}
    assert set(answers) == {1, 2}
    assert answers[1].lesion.volume_ml == pytest.approx(2.1, abs=0.3)

    gate.write_text("wait")
    first.submit(3, job)
    told.until(is_progress)
    first.cancel(3, 1.0)
    assert isinstance(told.end_of(3), Cancelled)

    first.submit(4, job)
    told.until(is_progress)
    gate.unlink()
    model = model_or_default(None)
    deploy([model], Cluster("auto", least=2, most=2), {**OPTIONS, "cpu_threads": 2}, "helpers.gated_worker")
    assert isinstance(told.end_of(4), Finished)  # what ran when the replicas were replaced
    for ticket in range(5, 9):
        (first if ticket % 2 else second).submit(ticket, job)
        assert isinstance(told.end_of(ticket), Finished)

    gate.write_text("wait")
    first.submit(9, job)
    second.submit(10, job)
    told.until(is_progress)
    told.until(is_progress)
    cluster, lost, _ = nodes
    cluster.remove_node(lost, allow_graceful=False)
    gate.unlink()
    ends = _two_ends(told, {9, 10})
    assert all(isinstance(end, Finished) or end.is_lost for end in ends)
    second.submit(11, job)
    assert isinstance(told.end_of(11), (Finished, Failed))
    first.submit(12, job)
    assert isinstance(told.end_of(12), Finished)


def _two_ends(told: Told, tickets: set[int]) -> list[Event]:
    """The ends of two jobs, in whichever order they come."""
    ends: dict[int, Event] = {}
    while set(ends) != tickets:
        event = told.until(lambda e: isinstance(e, (Finished, Failed, Cancelled)) and e.job_id in tickets)
        ends[event.job_id] = event
    return list(ends.values())
