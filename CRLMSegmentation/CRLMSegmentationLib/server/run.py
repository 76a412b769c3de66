"""Run a segmentation server until it is ended by a signal."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..core.errors import ServerError
from ..segmentation.engine.worker_engine import WorkerEngine
from ..segmentation.models.package import ModelPackage
from .application import Service, make_application
from .connections import bounded_server
from .served_request import OnEvent, Worker
from .settings import ServerSettings
from .worker_thread import WorkerThread

if TYPE_CHECKING:
    from .ray_serve import Cluster


def run_server(
    settings: ServerSettings,
    models: Sequence[ModelPackage],
    workers: int = 1,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    cluster: Cluster | None = None,
    on_listening: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        models: to be held warm; they must take crops.
        workers: processes of each model.
        device, precision, threads: of each worker, see `WorkerEngine`.
        cluster: where Ray runs the workers, and how many; None for processes of this server.
        on_listening: called with the address when the server can be reached; the models are loaded meanwhile.

    Raises:
        ServerError: a model sees whole volumes, the certificate cannot be read, or the port cannot be listened to.
    """
    whole = [model.name for model in models if model.region != "crop"]
    if whole:
        raise ServerError(f"{', '.join(whole)}: a server is sent crops, and this model sees whole volumes")

    def make_workers(on_event: OnEvent) -> Sequence[Worker]:
        return [
            WorkerThread(model, _maker(model, device, precision, threads), on_event)
            for model in models
            for _ in range(workers)
        ]

    with _listening(settings) as listening:
        service = Service(settings, make_workers)
        if cluster is not None:
            from .ray_serve import deploy, ray_workers

            options = {"device": device, "precision": precision, "cpu_threads": threads}
            handles = deploy(models, cluster, options)  # here: it waits for the replicas, as no event loop may
            service = Service(settings, lambda on_event: ray_workers(models, handles, cluster, on_event))
        try:
            server = bounded_server(make_application(service), settings, listening)
        except (ssl.SSLError, OSError) as error:
            raise ServerError(f"the certificate {settings.tls_cert} or its key cannot be used: {error}") from error
        scheme, host = "https" if settings.is_tls else "http", settings.host
        shown = f"[{host}]" if ":" in host else host
        on_listening(f"{scheme}://{shown}:{listening.getsockname()[1]}")
        server.run()


def _listening(settings: ServerSettings) -> socket.socket:
    """Return a socket that listens; before the models are loaded, so that a port in use is told at once.

    Raises:
        ServerError: it cannot.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ServerError(
            f"{settings.host} port {settings.port} cannot be listened to: {reason}; choose another --port or --host"
        ) from error


def _maker(model: ModelPackage, device: str, precision: str, threads: int | None) -> Callable[[], WorkerEngine]:
    return lambda: WorkerEngine(model, device=device, precision=precision, cpu_threads=threads)
