"""The runner of the tasks of a command: --cluster, --processes and --task-memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..core.parallel import LocalPool

if TYPE_CHECKING:
    from ..core.tasks import TaskRunner
    from ..recording.case_storage import RemoteCases
    from ..research.ray_cluster import RayCluster

LOCAL = "local"


@contextmanager
def task_runner(cluster: str, processes: int | None = None, task_memory: float | None = None) -> Iterator[TaskRunner]:
    """Provide the runner; a cluster is left at the end of the block.

    Raises:
        CrlmError: the cluster cannot be used; says why.
        typer.BadParameter: --processes with a cluster, which has nodes of its own.
    """
    if cluster == LOCAL:
        yield LocalPool(processes, task_memory)
        return
    if processes is not None:
        raise typer.BadParameter("a cluster has its own processes; leave out --processes", param_hint="--processes")
    with cluster_or_none(cluster, task_memory) as nodes:
        yield nodes or LocalPool(None, task_memory)


@contextmanager
def cluster_or_none(cluster: str, task_memory: float | None) -> Iterator[RayCluster | None]:
    """Provide the cluster of --cluster, None where it is this machine.

    Raises:
        CrlmError: the cluster cannot be used; says why.
    """
    if cluster == LOCAL:
        yield None
        return
    from ..research.ray_cluster import RayCluster

    with RayCluster(cluster, task_memory) as nodes:
        yield nodes


def place_for(runner: TaskRunner, path: Path) -> Path:
    """Return a path by which other machines find it as well, where tasks run there."""
    return path.absolute() if runner.is_remote else path


def cases_at(runner: TaskRunner, text: str) -> Path | RemoteCases:
    """Return the folder, or the storage, that an argument for cases names."""
    from ..recording.case_storage import RemoteCases, is_url

    return RemoteCases(text) if is_url(text) else place_for(runner, Path(text))
