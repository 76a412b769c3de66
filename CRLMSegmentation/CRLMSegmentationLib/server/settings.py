"""The settings of a segmentation server, and what is refused before it listens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import ServerError
from ..segmentation.remote.address import DEFAULT_PORT, is_loopback, read_tokens
from ..segmentation.remote.message_format import MAX_REQUEST_BYTES


@dataclass(frozen=True)
class Limits:
    """Upper limits, so that no client can take the server from the others.

    Attributes:
        request_bytes: of the body of a request.
        bytes_in_flight: of the bodies of all requests that are received, wait or run; a client may take a quarter.
        waiting, waiting_of_client: requests that wait, altogether and of one client.
        rate_per_s, burst: requests of one client.
        connections, connections_of_peer: open ones, altogether and from one address.
        header_bytes: of the line and the headers of a request.
        header_s: from the first byte of a request (or the opening of a connection) to the end of its headers, and for
            the TLS handshake.
        body_s, body_pause_s: for the whole body, and between two pieces of it.
        write_s: until a piece of an answer is accepted by the client.
        keep_alive_s: between two requests of a connection.
        job_s: for the computation of one request.
        disconnected_s: for which a request goes on without its client, which may ask again.
        kept_s, kept_answers, kept_bytes: how long, and how many, answers are kept for a client that asks again.
    """

    request_bytes: int = MAX_REQUEST_BYTES
    bytes_in_flight: int = 1 << 30
    waiting: int = 256
    waiting_of_client: int = 8
    rate_per_s: float = 20.0
    burst: float = 40.0
    connections: int = 1024
    connections_of_peer: int = 256
    header_bytes: int = 16 << 10
    header_s: float = 5.0
    body_s: float = 30.0
    body_pause_s: float = 5.0
    write_s: float = 10.0
    keep_alive_s: float = 75.0
    job_s: float = 120.0
    disconnected_s: float = 2.0
    kept_s: float = 60.0
    kept_answers: int = 128
    kept_bytes: int = 256 << 20


@dataclass(frozen=True)
class ServerSettings:
    """How a server listens, and whom it serves.

    Attributes:
        port: 0 for a free one.
        tokens: name of the client by its token; empty where none is asked for, on this computer only.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    limits: Limits = Limits()

    @property
    def is_tls(self) -> bool:
        return self.tls_cert is not None


def server_settings(
    host: str, port: int, tls_cert: Path | None, tls_key: Path | None, token_file: Path | None, limits: Limits
) -> ServerSettings:
    """Return settings after checking them.

    Raises:
        ServerError: other computers could reach the server without TLS or without a token, or a file is missing.
    """
    if (tls_cert is None) != (tls_key is None):
        raise ServerError("give both --tls-cert and --tls-key, or neither")
    if not is_loopback(host):
        missing = [
            option
            for option, given in (("--tls-cert and --tls-key", tls_cert), ("--token-file", token_file))
            if not given
        ]
        if missing:
            raise ServerError(
                f"other computers could reach {host}: give {' and '.join(missing)} as well, or listen on 127.0.0.1; "
                "see Documentation/server.md"
            )
    for path in (tls_cert, tls_key):
        if path is not None and not path.is_file():
            raise ServerError(f"{path} is not there; see Documentation/server.md for how a certificate is made")
    tokens = {} if token_file is None else read_tokens(token_file)
    return ServerSettings(host, port, tls_cert, tls_key, tokens, limits)
