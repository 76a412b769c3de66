"""Tasks on the nodes of a Ray cluster. Ray is imported here alone, and only when a cluster is named.

Ray decides where a task runs, by the cores, GPUs and memory that it needs; runs it again elsewhere when its node is
lost; and starts nodes where its autoscaler may. It sends nothing home: its usage statistics are switched off here, and
by RAY_USAGE_STATS_ENABLED=0 where the administrator starts the cluster.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.errors import CrlmError
from ..core.parallel import PROCESSES_PER_GPU
from ..core.tasks import MOST_CORES, Job, OnIdle, OnOutcome, Outcome, TaskFailure, TaskNeeds, run_one

logger = logging.getLogger(__name__)

ADDRESS = re.compile(r"ray://[^/\s:]+:\d{1,5}")
LOCAL = "local"
RETRIES = 3
"""How often a task is begun anew after its node, or its process, was lost."""
WAITING_PER_CORE = 2
"""Tasks that are handed to the cluster for each of its cores: enough to keep it busy, however many cases there are."""
LEAST_WAITING = 16
POLL_S = 2.0
NOT_INSTALLED = (
    "a cluster needs Ray, which is not installed; install it with: pip install 'crlm-segmentation[cluster]' (80 MB), "
    "or leave out --cluster"
)
NODE_LOST = (
    f"its node or its process was lost {RETRIES + 1} times, as where memory runs out; allow more memory for each task "
    "with --task-memory, or look at the nodes of the cluster"
)
NOT_SHARED = (
    "{folder} is not seen by the node {node} of the cluster; mount the same share at the same path on all machines"
)
OTHER_VERSION = (
    "the nodes of the cluster have crlm-segmentation {theirs}, this machine has {ours}; install the same version on all"
)
NOT_ON_NODES = (
    "the nodes of the cluster cannot import CRLMSegmentationLib ({reason}); install crlm-segmentation {ours} on each"
)
TOO_SMALL = (
    "no node of the cluster has what a task needs (cores: {cpus:g}, GB of memory: {memory:g}, GPUs: {gpus:g}); the "
    "largest has {largest}; start larger nodes, or state less with --task-memory"
)


@dataclass(frozen=True)
class _Task:
    """Carries out a job on a node."""

    function: Callable[[Any], Any]
    memory_bytes: int | None

    def __call__(self, job: Any) -> Outcome[Any]:
        outcome = run_one(self.function, job, self.memory_bytes)
        # the error itself may be of a class that the other side cannot make again; its reason says all
        return TaskFailure(outcome.reason) if isinstance(outcome, TaskFailure) else outcome


class RayCluster:
    """Runs tasks on a Ray cluster (a `core.tasks.TaskRunner`).

    Args:
        address: of Ray's client server, `ray://HOST:PORT`.
        memory_gb: that each task needs and may take at most; None for what the step says.

    Raises:
        CrlmError: Ray is missing, the cluster cannot be reached, or its nodes have another version of this program.
    """

    is_remote = True

    def __init__(self, address: str, memory_gb: float | None = None) -> None:
        if not ADDRESS.fullmatch(address):
            raise CrlmError(f"a cluster is {LOCAL} or ray://HOST:PORT (Ray's usual port is 10001), got {address!r}")
        self._ray, self._memory_gb = _connected(address), memory_gb
        try:
            self._check_versions()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect from the cluster; what still runs for this program there is ended by Ray."""
        self._ray.shutdown()

    def workers_for(self, needs: TaskNeeds, jobs: int) -> int:
        return max(1, min(jobs, int(self._cores() / self._resolved(needs).cpus)))

    def check_folder(self, folder: Path) -> None:
        """Raise CrlmError unless every node sees a folder at the same path."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        alive, see, asked = self._nodes(), self._ray.remote(_is_folder), []
        with _lost_cluster_told():
            for node in alive:
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=True)  # a node may be lost meanwhile
                on_node = see.options(num_cpus=0, scheduling_strategy=there)
                asked.append(on_node.remote(os.path.abspath(folder)))
            seen = self._ray.get(asked)
        for node, is_there in zip(alive, seen):
            if not is_there:
                raise CrlmError(NOT_SHARED.format(folder=folder, node=node["NodeManagerAddress"]))

    def has_gpus(self) -> bool:
        """Return whether a node of the cluster has a GPU."""
        return any(node["Resources"].get("GPU", 0.0) >= 1 for node in self._nodes())

    def run(
        self,
        function: Callable[[Job], Any],
        jobs: Sequence[Job],
        needs: TaskNeeds,
        on_outcome: OnOutcome,
        on_idle: OnIdle = lambda: None,
    ) -> None:
        needs = self._resolved(needs)
        self._check_size(needs)
        task = _Task(function, needs.memory_bytes if needs.is_limited else None)
        remote = self._ray.remote(_carry_out).options(
            name=getattr(getattr(function, "func", function), "__name__", "task"),
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            memory=needs.memory_bytes,
            max_retries=RETRIES,
            scheduling_strategy="SPREAD",
        )
        waiting, running = deque(enumerate(jobs)), dict[Any, int]()
        with _lost_cluster_told(), self._cancelling(running):
            shared = self._ray.put(task)  # what all jobs have in common goes to each node once
            first_alone = needs.first_alone
            limit = 1 if first_alone else self._handed_over(needs)
            while waiting or running:
                while waiting and len(running) < limit:
                    number, job = waiting.popleft()
                    running[remote.remote(shared, job)] = number
                ended, _ = self._ray.wait(list(running), num_returns=1, timeout=POLL_S)
                for reference in ended:
                    on_outcome(running.pop(reference), self._outcome(reference))
                if not ended:
                    on_idle()
                first_alone = first_alone and not ended
                if not first_alone and (not ended or limit == 1):
                    limit = self._handed_over(needs)  # the autoscaler may have started nodes meanwhile

    def _outcome(self, reference: Any) -> Outcome[Any]:
        from ray.exceptions import RayError, RaySystemError, RayTaskError

        try:
            outcome: Outcome[Any] = self._ray.get(reference)
        except RayTaskError as error:  # before the task began, such as a job that cannot be unpickled
            return TaskFailure(f"could not be begun on its node: {_first_line(error.cause or error)}")
        except RaySystemError as error:
            return TaskFailure(f"{NODE_LOST} ({_first_line(error)})")
        except RayError as error:
            logger.warning("%s", error)
            return TaskFailure(NODE_LOST)
        return outcome

    @contextmanager
    def _cancelling(self, running: dict[Any, int]) -> Iterator[None]:
        """End what still runs on the nodes when the block ends with an exception, such as a Ctrl-C."""
        try:
            yield
        except BaseException:
            for reference in running:
                with contextlib.suppress(Exception):
                    self._ray.cancel(reference, force=True)
            raise

    def _handed_over(self, needs: TaskNeeds) -> int:
        """Return how many tasks may wait at the cluster at the same time."""
        return max(LEAST_WAITING, int(WAITING_PER_CORE * self._cores() / max(0.01, needs.cpus)))

    def _cores(self) -> float:
        return float(self._ray.cluster_resources().get("CPU", 1.0))

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _resolved(self, needs: TaskNeeds) -> TaskNeeds:
        """Return needs in numbers for the nodes of this cluster."""
        needs = needs.of_memory(self._memory_gb)
        if needs.gpus is None:
            needs = replace(needs, gpus=1 / PROCESSES_PER_GPU if needs.is_network and self.has_gpus() else 0.0)
        if needs.whole_machine:
            fitting = [node["Resources"] for node in self._nodes() if node["Resources"].get("GPU", 0.0) >= needs.gpus]
            cores = max((node.get("CPU", 0.0) for node in fitting), default=1.0)
            needs = replace(needs, cpus=max(1.0, min(float(MOST_CORES), cores)))
        return needs

    def _check_size(self, needs: TaskNeeds) -> None:
        wanted = {"CPU": needs.cpus, "GPU": needs.gpus or 0.0, "memory": float(needs.memory_bytes)}
        have = [node["Resources"] for node in self._nodes()]
        if any(all(node.get(name, 0.0) >= amount for name, amount in wanted.items()) for node in have):
            return
        largest: dict[str, float] = max(have, key=lambda node: node.get("memory", 0.0), default={})
        told = f"{largest.get('CPU', 0):g}, {largest.get('memory', 0) / 1e9:.1f} and {largest.get('GPU', 0):g}"
        raise CrlmError(TOO_SMALL.format(cpus=needs.cpus, memory=needs.memory_gb, gpus=needs.gpus or 0.0, largest=told))

    def _check_versions(self) -> None:
        with _lost_cluster_told():
            try:
                theirs = self._ray.get(self._ray.remote(_version).options(num_cpus=0).remote())
            except self._ray.exceptions.RayError as error:
                raise CrlmError(NOT_ON_NODES.format(reason=_first_line(error), ours=__version__)) from error
        if theirs != _version():
            raise CrlmError(OTHER_VERSION.format(theirs=theirs, ours=_version()))


def _carry_out(task: _Task, job: Any) -> Outcome[Any]:
    return task(job)


def _is_folder(folder: str) -> bool:
    return os.path.isdir(folder)


def _version() -> str:
    return f"{__version__} with Python {'.'.join(platform.python_version_tuple()[:2])}"


def _connected(address: str) -> Any:
    """Return the module of Ray, connected to a cluster."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise CrlmError(NOT_INSTALLED) from error
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of many classes, by what is missing
        reason = _first_line(error)
        raise CrlmError(
            f"the cluster {address} cannot be reached ({reason}); check the address, that the cluster runs, and that "
            "it has the same versions of Ray and Python as this machine"
        ) from error
    return ray


@contextmanager
def _lost_cluster_told() -> Iterator[None]:
    """Turn the loss of the connection to the cluster into an error that says what to do."""
    try:
        yield
    except ConnectionError as error:
        raise CrlmError(
            f"the connection to the cluster is lost ({_first_line(error)}); what is finished is kept: run the same "
            "command again when the cluster is back"
        ) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
