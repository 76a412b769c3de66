"""Workers of a segmentation server as replicas of a Ray Serve deployment, on the nodes of a cluster.

The server itself stays one process with its TLS, tokens, turns and request ids; what computes are replicas that Ray
starts, moves, restarts and scales. Jobs and answers travel within the cluster by Ray's own means, which trust its
nodes; no port of it may be reachable from the rooms. It needs the packages of `CRLMSegmentation[server,cluster]`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import CrlmError, ServerError, WorkerError
from ..segmentation.engine import worker_engine
from ..segmentation.engine.engine import (
    Cancelled,
    EngineState,
    Event,
    Failed,
    Finished,
    LesionJob,
    Progress,
    Ready,
)
from ..segmentation.models.package import ModelPackage
from .served_request import OnEvent

logger = logging.getLogger(__name__)

APPLICATION = "crlm-segmentation"
START_TIMEOUT_S = 300.0
POLL_S = 0.005
RETRY_S = 1.0
ENDS = (Finished, Failed, Cancelled)


@dataclass(frozen=True)
class Cluster:
    """How replicas are spread.

    Attributes:
        address: of the cluster, "auto" for that of this node; None for one on this computer alone.
        least, most: replicas of each model; as many run as requests wait for.
        gpus, cpus: of each replica.
    """

    address: str | None
    least: int = 1
    most: int = 4
    gpus: float = 0.0
    cpus: float = 1.0


class Segmenter:
    """A replica: a worker process with its warm model. Ray calls its methods."""

    def __init__(self, package: ModelPackage, options: dict[str, Any], worker_module: str | None = None) -> None:
        if worker_module is not None:
            worker_engine.WORKER_MODULE = worker_module
        self._engine = worker_engine.WorkerEngine(package, **options)
        self._engine.start()
        self._ready = self._wait_until_ready()

    def _wait_until_ready(self) -> Ready:
        end_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end_s:
            for event in self._engine.wait(1.0):
                if isinstance(event, Ready):
                    return event
                if isinstance(event, Failed):
                    raise WorkerError(event.reason)
        raise WorkerError(f"the worker has not become ready in {START_TIMEOUT_S:.0f} s")

    def about(self) -> Ready:
        """Return what the engine said when its model was loaded."""
        return self._ready

    def check_health(self) -> None:
        """Raise where the engine has given up; Ray then starts another replica."""
        if self._engine.state is EngineState.FAILED:
            raise WorkerError("the worker has given up")

    async def segment(self, job: LesionJob) -> AsyncIterator[Event]:
        """Yield the progress of a job, and its end."""
        job_id = self._engine.submit(job)
        try:
            while True:
                for event in self._engine.poll():
                    if getattr(event, "job_id", None) == job_id:
                        yield event
                    if isinstance(event, ENDS) and event.job_id == job_id:
                        return
                await asyncio.sleep(POLL_S)
        finally:
            self._engine.cancel(10.0)


class RayWorker:
    """One request at a time on any replica of a deployment: a `dispatcher.Worker`, driven by a thread of its own.

    Attributes:
        ready: what a replica said of its device; None before the first, and while there is none.
    """

    pid = None

    def __init__(self, package: ModelPackage, handle: Any, on_event: OnEvent) -> None:
        self.package, self._handle, self._on_event = package, handle, on_event
        self.ready: Ready | None = None
        self.state = EngineState.STARTING
        self._jobs: queue.SimpleQueue[tuple[int, LesionJob] | None] = queue.SimpleQueue()
        self._running: tuple[int, Any] | None = None
        self._lock = threading.Lock()
        self._unwanted: set[int] = set()
        self._has_stopped = threading.Event()
        self._thread = threading.Thread(target=self._drive, name=f"replica of {package.name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, ticket: int, job: LesionJob) -> None:
        """Run a job; one that still runs is cancelled."""
        with self._lock:
            running = self._running
        if running is not None:
            self.cancel(running[0], 0.0)
        self._jobs.put((ticket, job))

    def cancel(self, ticket: int, timeout_s: float) -> None:
        """Cancel a job; does nothing where it has ended."""
        with self._lock:
            self._unwanted.add(ticket)
            running = self._running
        if running is not None and running[0] == ticket:
            running[1].cancel()

    def stop(self, timeout_s: float) -> None:
        """End the thread."""
        self._has_stopped.set()
        self._jobs.put(None)
        with self._lock:
            running = self._running
        if running is not None:
            running[1].cancel()
        self._thread.join(timeout_s)

    def _drive(self) -> None:
        while not self._has_stopped.is_set():
            if self.ready is None:
                self._wait_for_a_replica()
                continue
            found = self._jobs.get()
            if found is not None:
                self._run(*found)

    def _wait_for_a_replica(self) -> None:
        try:
            self.ready = self._handle.about.remote().result(timeout_s=START_TIMEOUT_S)
        except Exception as error:  # Ray has many kinds; it is asked again
            logger.warning("no replica of %s is ready: %s", self.package.name, error)
            self._has_stopped.wait(RETRY_S)
            return
        self.state = EngineState.READY
        if self.ready is not None:
            self._on_event(self, self.ready)

    def _run(self, ticket: int, job: LesionJob) -> None:
        response = self._handle.options(stream=True).segment.remote(job)
        with self._lock:
            self._running = ticket, response
            is_unwanted = ticket in self._unwanted
        end: Event | None = None
        try:
            if is_unwanted:
                response.cancel()
            for event in response:
                if isinstance(event, Progress):
                    self._on_event(self, replace(event, job_id=ticket))
                elif isinstance(event, ENDS):
                    end = replace(event, job_id=ticket)
        except CrlmError as error:
            end = Failed(ticket, str(error), is_lost=True)
        except Exception as error:  # the replica, or its node, was lost
            logger.warning("a replica was lost: %s", error)
            end = None
        with self._lock:
            self._running = None
            is_unwanted = ticket in self._unwanted
            self._unwanted.discard(ticket)
        if end is None:
            end = Cancelled(ticket) if is_unwanted else Failed(ticket, "the replica was lost", is_lost=True)
        self._on_event(self, end)


def deploy(
    models: Sequence[ModelPackage], cluster: Cluster, options: dict[str, Any], worker_module: str | None = None
) -> dict[str, Any]:
    """Start, or change, a deployment for each model; replicas of an earlier one are replaced one after another.

    Returns:
        The handle of each deployment, by the hash of its model.

    Raises:
        ServerError: the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use over the network otherwise
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise ServerError(f"{error}; a cluster needs more: pip install 'CRLMSegmentation[server,cluster]'") from error
    if not ray.is_initialized():
        try:
            ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ServerError(f"the Ray cluster {cluster.address or 'here'} cannot be used: {error}") from error
    handles = {}
    for model in models:
        deployment = serve.deployment(
            Segmenter,
            name=f"{model.name}-{model.version}",
            max_ongoing_requests=1,
            ray_actor_options={"num_cpus": cluster.cpus, "num_gpus": cluster.gpus},
            autoscaling_config={
                "min_replicas": cluster.least,
                "max_replicas": cluster.most,
                "target_ongoing_requests": 1,
                "upscale_delay_s": 1.0,
                "downscale_delay_s": 300.0,
            },
            health_check_period_s=2.0,
            health_check_timeout_s=10.0,
            graceful_shutdown_timeout_s=60.0,
        )
        name = f"{APPLICATION}-{model.sha256[:12]}"
        handles[model.sha256] = serve.run(deployment.bind(model, options, worker_module), name=name, route_prefix=None)
    return handles


def ray_workers(
    models: Sequence[ModelPackage], handles: Mapping[str, Any], cluster: Cluster, on_event: OnEvent
) -> list[RayWorker]:
    """Return as many workers for each model as its deployment, see `deploy`, may have replicas."""
    return [RayWorker(model, handles[model.sha256], on_event) for model in models for _ in range(cluster.most)]
