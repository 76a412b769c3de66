"""Options that say which computer computes, shared by `segment` and `rerun`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from ..segmentation.engine.engine import Engine
    from ..segmentation.models.package import ModelPackage

ServerOption = Annotated[
    Optional[str],
    typer.Option(metavar="URL", help="Compute on a server (crlm-seg serve), such as https://gpu.example:8443."),
]
ServerTokenOption = Annotated[
    Optional[Path], typer.Option("--server-token-file", metavar="FILE", help="File that holds the server's token.")
]
ServerCaOption = Annotated[
    Optional[Path],
    typer.Option("--server-ca", metavar="FILE", help="Certificate of the CA that has signed the server's, PEM."),
]
ServerOnlyOption = Annotated[
    bool, typer.Option("--server-only", help="Fail where the server cannot be used; default: compute here then.")
]


def engine_maker(
    server: str | None, token_file: Path | None, ca_file: Path | None, server_only: bool
) -> Callable[..., Engine] | None:
    """Return what makes the engine of a model on a server; None where none is named.

    Raises:
        typer.BadParameter: options of a server without a server.
        ServerError: the address cannot be used.
    """
    if server is None:
        if token_file or ca_file or server_only:
            raise typer.BadParameter("name the server with --server URL as well", param_hint="--server")
        return None
    from ..segmentation.engine.worker_engine import WorkerEngine
    from ..segmentation.remote.address import server_address
    from ..segmentation.remote.remote_engine import RemoteEngine
    from ..segmentation.remote.server_engine import ServerEngine

    address = server_address(server, token_file, ca_file)

    def make(model: ModelPackage, precision: str = "auto") -> Engine:
        local = None if server_only else WorkerEngine(model, precision=precision)
        return RemoteEngine(ServerEngine(model, address), local)

    return make
