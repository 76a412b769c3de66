"""uvicorn with bounds to its connections: how many, and how long they may say nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .settings import Limits, ServerSettings


class BoundedProtocol(H11Protocol):
    """A connection that is closed when the headers of a request do not come in time, or when there are too many."""

    limits: Limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._timer: asyncio.TimerHandle | None = None
        self.peer = ""
        super().connection_made(transport)
        self.peer = peer = self.client[0] if self.client else ""
        of_peer = sum(isinstance(other, BoundedProtocol) and other.peer == peer for other in self.connections)
        if len(self.connections) > self.limits.connections or of_peer > self.limits.connections_of_peer:
            transport.abort()
            return
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        is_between_requests = self.cycle is None or self.cycle.response_complete
        if is_between_requests and self._timer is None:
            self._start_timer()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.limits.header_s, self._end_silent)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_silent(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


class BoundedServer(uvicorn.Server):
    """uvicorn on a socket that listens, with a limit to the time of a TLS handshake."""

    def __init__(self, config: uvicorn.Config, limits: Limits, listening: socket.socket) -> None:
        super().__init__(config)
        self._limits, self._listening = limits, listening

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Start the application and listen."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            return
        config, loop = self.config, asyncio.get_running_loop()

        def make_protocol() -> asyncio.Protocol:
            protocol: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return protocol

        server = await loop.create_server(
            make_protocol,
            sock=self._listening,
            ssl=config.ssl,
            backlog=config.backlog,
            ssl_handshake_timeout=self._limits.header_s if config.ssl else None,
        )
        self.servers = [server]
        self.started = True


def bounded_server(application: Any, settings: ServerSettings, listening: socket.socket) -> BoundedServer:
    """Return a server of an application with the limits of its settings."""
    limits = settings.limits

    class Protocol(BoundedProtocol):
        """A connection of this server."""

    Protocol.limits = limits
    config = uvicorn.Config(
        application,
        http=Protocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=round(limits.keep_alive_s),
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=limits.header_bytes,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return BoundedServer(config, limits, listening)
