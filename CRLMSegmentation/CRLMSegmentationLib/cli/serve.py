"""The command `serve`: a segmentation server for rooms whose GPU stands elsewhere."""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from ..core.errors import ServerError
from ..segmentation.remote.address import DEFAULT_PORT
from .console import print_text
from .options import NetworkPrecision, PrecisionOption

MISSING = (
    "{error}; the server needs further packages: pip install 'CRLMSegmentation[server]' "
    "(fastapi, uvicorn, prometheus-client)"
)


class Device(str, Enum):
    """On what the network is run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that others can reach needs a certificate and tokens.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")] = DEFAULT_PORT,
    model: Annotated[
        Optional[list[str]],
        typer.Option(metavar="MODEL", help="Name or folder of a model; may be repeated. Default: the default model."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes for each model.")] = 1,
    device: Annotated[Device, typer.Option(help="On what the network is run.")] = Device.AUTO,
    precision: PrecisionOption = NetworkPrecision.AUTO,
    threads: Annotated[
        Optional[int], typer.Option(min=1, help="Processor threads of each worker; default: all, at most 8.")
    ] = None,
    tls_cert: Annotated[Optional[Path], typer.Option(help="Certificate with its chain, PEM.")] = None,
    tls_key: Annotated[Optional[Path], typer.Option(help="Key of the certificate, PEM, without a password.")] = None,
    token_file: Annotated[
        Optional[Path], typer.Option(help="File of tokens, a line NAME TOKEN for each room (32 characters or more).")
    ] = None,
    max_request_mb: Annotated[float, typer.Option(min=0.1, max=1024, help="Largest request, MB.")] = 64,
    max_waiting: Annotated[int, typer.Option(min=1, help="Requests that may wait, of all clients.")] = 256,
    max_waiting_of_client: Annotated[int, typer.Option(min=1, help="Requests of one client that may wait.")] = 8,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests of one client a second; twice as many at once.")] = 20,
    max_connections_of_address: Annotated[int, typer.Option(min=1, help="Connections from one address.")] = 256,
    header_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for the headers of a request.")] = 5,
    body_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for the body of a request.")] = 30,
    job_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for the answer to a request.")] = 120,
    ray: Annotated[
        Optional[str],
        typer.Option(metavar="ADDRESS", help="Run the workers on a Ray cluster: auto for that of this node, or local."),
    ] = None,
    min_replicas: Annotated[int, typer.Option(min=1, help="With --ray: workers of each model that always run.")] = 1,
    max_replicas: Annotated[int, typer.Option(min=1, help="With --ray: workers of each model at most.")] = 4,
    gpus_per_replica: Annotated[float, typer.Option(min=0, help="With --ray: GPUs of each worker.")] = 0,
) -> None:
    """Serve segmentations to other computers, over HTTP; see Documentation/server.md.

    Ctrl-C ends it with exit code 0.
    """
    from ..segmentation.models.registry import find_model

    try:
        from ..server.run import run_server
        from ..server.settings import Limits, server_settings
    except ImportError as error:
        raise ServerError(MISSING.format(error=error)) from error
    limits = Limits(
        request_bytes=round(max_request_mb * (1 << 20)),
        waiting=max_waiting,
        waiting_of_client=max_waiting_of_client,
        rate_per_s=rate,
        burst=max(1.0, 2 * rate),
        connections_of_peer=max_connections_of_address,
        header_s=header_timeout,
        body_s=body_timeout,
        body_pause_s=min(Limits.body_pause_s, body_timeout),
        job_s=job_timeout,
    )
    settings = server_settings(host, port, tls_cert, tls_key, token_file, limits)
    models = [find_model(name) for name in model] if model else [find_model()]

    def show(url: str) -> None:
        names = ", ".join(f"{found.name} {found.version} {found.sha256[:8]}" for found in models)
        print_text(f"Serving {names} on {url}; Ctrl-C ends it")
        if settings.tokens:
            print_text(f"Clients: {', '.join(settings.tokens.values())}")

    cluster = None
    if ray is not None:
        from ..server.ray_serve import Cluster

        cluster = Cluster(
            None if ray == "local" else ray, min_replicas, max(min_replicas, max_replicas), gpus_per_replica
        )
    with suppress(KeyboardInterrupt):
        run_server(settings, models, workers, device.value, precision.value, threads, cluster, show)
